"""What is fetched by address: from a server in this process that stands in for the public ones."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from pcakd.cli.main import run
from pcakd.errors import FatalError, TransientError
from tests.assets import fetch as module
from tests.assets import places
from tests.assets.addresses import Public, addresses
from tests.assets.fetch import fetch, main
from tests.assets.places import UNCHECKED, Assets, not_checked, shared_folder

CONTENT = {"/a%20folder/one.bin": bytes(range(256)) * 1000, "/two.bin": b"two"}


class Server:
    """cut: answers end after so many bytes, so many times. ranges: whether it knows them. asked: (path, range)."""

    def __init__(self) -> None:
        self.content, self.cut, self.ranges = dict(CONTENT), 0, True
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers["Range"]))
                data, start = server.content.get(self.path), 0
                if data is None:
                    self.send_error(404)
                    return
                if self.headers["Range"] and server.ranges:
                    start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                    if start >= len(data):
                        self.send_error(416)
                        return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                end = len(data)
                if server.cut:
                    server.cut, end, self.close_connection = server.cut - 1, start + 50_000, True
                self.wfile.write(data[start:end])

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    found = Server()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def written_down(server: Server) -> list[Public]:
    lines = ["# a comment", "", server.url]
    for path, data in zip(("x/one.bin", "two.bin"), CONTENT.values(), strict=True):
        digest, name = hashlib.sha256(data).hexdigest(), {"x/one.bin": "a folder/one.bin"}.get(path, path)
        lines.append(f"{path} {len(data)} {digest} {name}")
    return addresses("\n".join(lines))


def there(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_files_are_fetched_once_and_appear_under_their_names(server, tmp_path):
    wanted = written_down(server)
    assert fetch(tmp_path, wanted) == wanted
    assert there(tmp_path) == dict(zip(("x/one.bin", "two.bin"), CONTENT.values(), strict=True))
    asked = len(server.asked)
    assert fetch(tmp_path, wanted) == []
    assert len(server.asked) == asked == 2


def test_one_that_is_cut_goes_on_where_it_stopped_in_the_same_run_and_in_the_next(server, tmp_path):
    wanted, server.cut = written_down(server), 1
    fetch(tmp_path / "a", wanted)
    assert server.asked[:2] == [("/a%20folder/one.bin", None), ("/a%20folder/one.bin", "bytes=50000-")]
    server.asked.clear()
    server.cut = module.TRIES
    with pytest.raises(TransientError, match="cannot be fetched"):
        fetch(tmp_path / "b", wanted[:1])
    assert list(there(tmp_path / "b")) == ["x/one.bin.part"]
    fetch(tmp_path / "b", wanted)
    assert there(tmp_path / "b") == there(tmp_path / "a")
    # One whose last byte had come is only looked at, and a server without ranges begins anew.
    (tmp_path / "a" / "two.bin").rename(tmp_path / "a" / "two.bin.part")
    fetch(tmp_path / "a", wanted)
    server.ranges = False
    (tmp_path / "a" / "two.bin").unlink()
    (tmp_path / "a" / "two.bin.part").write_bytes(b"tw")
    fetch(tmp_path / "a", wanted)
    assert there(tmp_path / "a") == there(tmp_path / "b")


@pytest.mark.parametrize("other", [b"owt", b"two more"])
def test_another_file_at_the_address_is_refused(server, tmp_path, other):
    server.content["/two.bin"] = other
    with pytest.raises(FatalError, match="another file than the one that is written down"):
        fetch(tmp_path, written_down(server))
    assert list(there(tmp_path)) == ["x/one.bin"]
    with pytest.raises(FatalError, match="another file"):
        fetch(tmp_path, [replace(one, size=None) for one in written_down(server)])


def test_what_does_not_answer_is_told_in_one_line(server, tmp_path, monkeypatch, capsys):
    del server.content["/two.bin"]
    monkeypatch.setattr(module, "addresses", lambda: written_down(server))
    assert run(main, [str(tmp_path)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "two.bin: cannot be fetched (Not Found); try again" in line
    assert len(server.asked) == 2, "what is not there is asked for once"
    server.content["/two.bin"] = CONTENT["/two.bin"]
    assert run(main, [str(tmp_path)]) == 0
    assert "2 files, 256.0 kB; 1 of them fetched now" in capsys.readouterr().out


def test_tests_fetch_once_and_find_their_parts_wherever_they_are(server, tmp_path, monkeypatch):
    tries = []

    def fetch_once() -> None:
        tries.append(1)
        for public in addresses():
            if public.path.startswith("released_tf/vgg/") or public.path.endswith("mobilenet/sencoder.index"):
                (tmp_path / "fetched" / public.path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "fetched" / public.path).touch()

    (tmp_path / "shared" / "teachers").mkdir(parents=True)
    assets = Assets(tmp_path / "shared", tmp_path / "fetched", fetch_once)
    assert assets / "teachers" == tmp_path / "shared" / "teachers"
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{UNCHECKED}there is no photos_small in .*: set PCAKD_ASSETS"):
        assets / "photos_small"
    assert not tries, "no address has photographs"
    assert assets / "released_tf/vgg" == tmp_path / "fetched" / "released_tf" / "vgg"
    assert assets / "released_tf/vgg/sencoder.index"
    for part in ("released_tf/mobilenet", "released_tf", "official_demo"):  # there in part, or not at all
        with pytest.raises(pytest.skip.Exception, match="run `make test-assets`"):
            assets / part
    assert len(tries) == 1
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="official_demo"):
        assets / "official_demo"


def test_where_the_network_does_not_allow_it_the_next_process_does_not_try(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PCAKD_TEST_ASSETS", str(tmp_path))
    monkeypatch.setattr(places, "addresses", lambda: written_down(server))
    server.content.clear()
    for _ in range(2):
        places.fetch_once()
    assert len(server.asked) == 1
    monkeypatch.setattr(places, "FORGET_S", 0.0)
    server.content = dict(CONTENT)
    places.fetch_once()
    assert (tmp_path / "two.bin").is_file()


def test_a_run_tells_which_promises_it_did_not_check():
    def skipped(name: str, reason: str) -> SimpleNamespace:
        return SimpleNamespace(nodeid=f"tests/x/test_y.py::{name}", longrepr=("conftest.py", 1, f"Skipped: {reason}"))

    reports = [
        skipped("test_pictures_are_the_authors[vgg]", f"{UNCHECKED}there are no weights"),
        skipped("test_pictures_are_the_authors[mobilenet]", f"{UNCHECKED}there are no weights"),
        skipped("test_a_bucket_is_read", f"{UNCHECKED}Ceph is not installed"),
        skipped("test_on_a_gpu", "there is no GPU"),
    ]
    assert not_checked(reports) == [
        "Ceph is not installed",
        "    tests/x/test_y.py: a bucket is read",
        "there are no weights",
        "    tests/x/test_y.py: pictures are the authors (2 tests)",
    ]
    assert not_checked(reports[3:]) == []


def test_the_addresses_are_those_of_the_files_that_are_here():
    """Where files have been given that addresses are written down for, sizes and hashes are theirs."""
    wanted = addresses()
    assert len({public.path for public in wanted}) == len(wanted)
    assert all(public.url.startswith("https://") and " " not in public.url for public in wanted)
    here = [(public, shared_folder() / public.path) for public in wanted]
    for public, path in here:
        if path.is_file():
            data = path.read_bytes()
            assert (public.size, public.sha256) == (len(data), hashlib.sha256(data).hexdigest()), public.path
