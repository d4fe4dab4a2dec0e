"""What the page refuses, over HTTP as an attacker would send it; it answers everybody else all the while."""

import base64
import io
import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command import pcakd
from tests.pcakd.ui.page import ask, serving, token_of

pytestmark = pytest.mark.slow


def jpeg(seed: int, size: tuple[int, int] = (240, 160)) -> bytes:
    grain = np.random.default_rng(seed).integers(0, 256, (5, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grain).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """A small PNG that says it has side × side pixels, and has some of them."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "photos").mkdir()
    (folder / "photos" / "a.jpg").write_bytes(jpeg(1))
    (folder / "secret.jpg").write_bytes(jpeg(2))
    return folder / "photos"


@pytest.fixture(scope="module")
def address(gallery) -> Iterator[str]:
    password = {"PCAKD_UI_PASSWORD": "open sesame"}
    with serving("--photos", gallery, "--max-upload", "1MB", "--user", "ada", **password) as started:
        yield started


LOGIN = {"authorization": "Basic " + base64.b64encode(b"ada:open sesame").decode()}


@pytest.fixture(scope="module")
def token(address) -> str:
    return token_of(address, **LOGIN)


def send(address, token, path, body, **headers):
    return ask(address, path, body, x_pcakd_page=token, **(LOGIN | headers))


def test_a_page_of_another_origin_a_foreign_name_and_a_wrong_password_are_refused(address, token):
    assert ask(address, "/")[0] == 401
    assert ask(address, "/", authorization="Basic " + base64.b64encode(b"ada:sesame").decode())[0] == 401
    assert ask(address, "/", Host="attacker.example", **LOGIN)[0] == 421
    for headers in ({"Origin": "https://attacker.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}):
        assert send(address, token, "/api/preview", b"{}", **headers)[0] == 403
    assert ask(address, "/api/gallery", Sec_Fetch_Site="cross-site", **LOGIN)[0] == 403
    assert ask(address, "/api/preview", b"{}", **LOGIN)[0] == 403  # without the page's token
    assert send(address, token, "/api/preview", b"{}", Origin=address)[0] == 400  # ours, and says nothing useful


@pytest.mark.parametrize(
    "key", ["../secret.jpg", "..%2Fsecret.jpg", "a/../../secret.jpg", "/etc/passwd", "..\\secret.jpg", "./a.jpg", ""]
)
def test_no_key_leads_out_of_the_gallery(address, token, key):
    status, body = send(address, token, "/api/take", json.dumps({"key": key}).encode())
    assert status in (400, 404)
    assert b"\xff\xd8" not in body
    path = f"/api/gallery/thumb?key={key.replace('/', '%2F')}" if "%" not in key else f"/api/gallery/thumb?key={key}"
    assert ask(address, path, **LOGIN)[0] in (400, 404)
    for way in ("/static/../serve.py", "/static/..%2Fserve.py", "/static/%2e%2e/serve.py"):
        assert ask(address, way, **LOGIN)[0] == 404


def test_too_large_uploads_bombs_and_models_that_are_files_are_refused_in_a_line(address, token):
    assert send(address, token, "/api/photos?name=a.jpg", bytes(1 << 21))[0] == 413
    chunked = (bytes(1 << 18) for _ in range(8))  # no length is told in advance
    assert send(address, token, "/api/photos?name=a.jpg", chunked)[0] == 413
    for data in (bomb(60_000), b"", b"no photo", jpeg(3)[:500]):
        status, body = send(address, token, "/api/photos?name=..%2Fa.jpg", data)
        assert status == 400
        assert "\n" not in json.loads(body)["error"]
        assert json.loads(body)["error"].startswith("a.jpg: ")
    photo = json.loads(send(address, token, "/api/photos?name=a.jpg", jpeg(4))[1])["id"]
    record = {"contents": [photo], "styles": [photo], "model": "/etc/passwd"}
    assert send(address, token, "/api/preview", json.dumps(record).encode())[0] == 400
    mask = base64.b64encode(bomb(60_000)).decode()
    record |= {"model": "vgg", "masks": {"content": mask, "style": mask}}
    assert send(address, token, "/api/preview", json.dumps(record).encode())[0] == 400


def test_fifty_requests_at_once_are_served_in_turn_or_refused_and_the_page_lives(address, token):
    ids = [json.loads(send(address, token, "/api/photos?name=a.jpg", jpeg(seed))[1])["id"] for seed in (5, 6)]
    body = json.dumps({"contents": ids[:1], "styles": ids[1:], "model": "mobilenet"}).encode()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: send(address, token, "/api/preview", body), range(50)))
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) <= {200, 503}
    assert statuses[200] >= 10
    assert len({data for status, data in answers if status == 200}) == 1
    assert ask(address, "/api/health", **LOGIN) == (200, b'{"waiting":0,"reading":0}')


def test_two_users_have_their_own_photos_and_share_one_stylizer(address, token):
    def one(seed: int) -> bytes:
        ids = [json.loads(send(address, token, "/api/photos?name=a.jpg", jpeg(seed + i))[1])["id"] for i in (0, 1)]
        record = {"contents": ids[:1], "styles": ids[1:], "model": "vgg", "voter": str(seed)}
        status, data = send(address, token, "/api/preview", json.dumps(record).encode())
        assert status == 200, data
        return data

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(one, (10, 20)))
    assert together == [one(10), one(20)]
    assert together[0] != together[1]


def test_the_command_refuses_what_it_cannot_serve_in_one_line(tmp_path, address):
    port = address.rpartition(":")[2]
    for words, told in [
        (["--port", port], f"port {port}: cannot be listened on"),
        (["--photos", tmp_path / "nowhere", "--port", "0"], "no such folder"),
        (["--model", "nobody", "--port", "0"], "no such model"),
        (["--user", "ada", "--port", "0"], "PCAKD_UI_PASSWORD"),
    ]:
        done = pcakd("ui", *words, fresh=False)
        assert done.returncode == 2
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1
