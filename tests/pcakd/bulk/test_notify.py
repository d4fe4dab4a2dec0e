"""Word that a run has ended, told to a server of this machine."""

import json
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from pcakd.bulk import RunOptions, notify
from pcakd.bulk.notify import Notifier, signature
from pcakd.errors import UsageError

SECRET = "open sesame"


@contextmanager
def listener(*statuses: int, gate: Event | None = None):
    """A server that answers with these statuses, then with 204; (its address, what it was told)."""
    heard: list[tuple[dict, bytes]] = []
    answers = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            if gate is not None:
                gate.wait(30)
            self.send_response(answers.pop(0) if answers else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/bulk?token=hidden", heard
    finally:
        if gate is not None:
            gate.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("PCAKD_NOTIFY_SECRET", SECRET)
    monkeypatch.setattr(notify, "PAUSES_S", (0.01, 0.01))


def test_a_message_arrives_signed_after_answers_that_may_pass():
    with listener(503, 429) as (url, heard):
        assert Notifier.to(url).send({"event": "finished"}) == ""
    assert [body for _, body in heard] == [b'{"event": "finished"}'] * 3
    headers, body = heard[-1]
    assert headers["X-Pcakd-Signature"] == signature(SECRET, headers["X-Pcakd-Timestamp"], body)
    assert headers["X-Pcakd-Signature"] != signature("another", headers["X-Pcakd-Timestamp"], body)
    assert abs(int(headers["X-Pcakd-Timestamp"]) - time.time()) < 60
    assert json.loads(body)["event"] == "finished"


@pytest.mark.parametrize(
    ("statuses", "tries", "says"), [((500, 502, 503), 3, "status 503"), ((404,), 1, "status 404"), ((302,), 1, "302")]
)
def test_what_does_not_arrive_is_told_in_a_line_and_no_error(statuses, tries, says):
    with listener(*statuses) as (url, heard):
        why = Notifier.to(url).send({})
    assert len(heard) == tries
    assert why.startswith("127.0.0.1 was not told: it answers HTTP status ")
    assert says in why
    assert "hidden" not in why


def test_a_server_that_is_gone_or_never_answers_does_not_hold_a_run_up():
    with listener() as (url, _):
        pass
    assert "127.0.0.1 was not told: it cannot be reached (" in Notifier.to(url).send({})
    gate = Event()
    with listener(gate=gate) as (url, heard):
        why = Notifier.to(url).send({}, longest_s=0.3)
        assert heard, "it was asked"
        assert not gate.is_set(), "and has not answered"
    assert why == "127.0.0.1 was not told: no answer within 0.3 s"


def test_without_an_address_there_is_no_word_and_a_wrong_one_is_told_at_once(monkeypatch):
    assert Notifier.to("") is None
    for url in ("ops.example", "ftp://ops.example", "https://", "http://a b", "http://host:x/"):
        with pytest.raises(UsageError, match="notify is no address"):
            RunOptions(notify=url)
    monkeypatch.delenv("PCAKD_NOTIFY_SECRET")
    with pytest.raises(UsageError, match="set PCAKD_NOTIFY_SECRET"):
        Notifier.to("https://ops.example/bulk")
    assert "hidden" not in repr(Notifier(url="https://x/hidden", secret="hidden"))
