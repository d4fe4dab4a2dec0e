"""`pcakd ui` in a process of its own, and its page in Chromium."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.command import ROOT
from tests.servers.browser import Browser
from tests.servers.processes import end, free_port

DEADLINE_S = 90.0


@contextmanager
def serving(*words: object, **environment: str) -> Iterator[str]:
    """The page; its address. It ends with its temporary folder, or the test fails."""
    port, temporary = free_port(), Path(tempfile.mkdtemp(prefix="pcakd-page-"))
    # With as many threads as the commands that its results are held to: sums depend on the order of their parts.
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "ui", "--port", str(port), *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while "The page:" not in lines[-1]:
            assert lines[-1], "".join(lines)
            lines.append(process.stdout.readline())
        assert list(temporary.glob("pcakd-ui-*"))
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        left = process.stdout.read()
        assert "Traceback" not in left, left
        assert not list(temporary.glob("pcakd-ui-*"))
    finally:
        end(process, signal.SIGKILL)
        shutil.rmtree(temporary)


def ask(
    address: str, path: str, body: bytes | Iterator[bytes] | None = None, *, method: str | None = None, **headers: str
) -> tuple[int, bytes]:
    """(status, content) of one request, sent exactly as it is written."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=DEADLINE_S)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def token_of(address: str, **headers: str) -> str:
    """The token that the page's scripts send."""
    status, page = ask(address, "/", **headers)
    assert status == 200, page
    return page.decode().split('data-token="')[1].split('"')[0]


class OpenPage:
    """The page as somebody uses it."""

    def __init__(self, browser: Browser, address: str, downloads: Path) -> None:
        self.browser, self.downloads = browser, downloads
        downloads.mkdir(exist_ok=True)
        browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        browser.open(address)
        self.until("document.documentElement.dataset.ready === 'yes'")

    def until(self, script: str) -> Any:
        """The value of an expression once it is true."""
        deadline = time.monotonic() + DEADLINE_S
        while not (value := self.browser.evaluate(script)):
            assert time.monotonic() < deadline, f"{script}; the page says {self.error()!r}, {self.text('#status')!r}"
            time.sleep(0.02)
        return value

    def text(self, selector: str) -> str:
        return self.browser.evaluate(f"document.querySelector({selector!r}).textContent")

    def error(self) -> str:
        return self.text("#error")

    def choose(self, kind: str, *paths: Path) -> None:
        """Give files to "contents" or "styles", and wait until they are taken, or refused."""
        before = self.browser.evaluate(f"document.querySelectorAll('#{kind} .cards li').length")
        found = self.browser.call("Runtime.evaluate", expression=f"document.querySelector('#{kind} input[type=file]')")
        self.browser.call("DOM.enable")
        self.browser.call("DOM.setFileInputFiles", files=[str(p) for p in paths], objectId=found["result"]["objectId"])
        cards = f"document.querySelectorAll('#{kind} .cards li').length === {before + len(paths)}"
        self.until(f"{cards} || document.querySelector('#error').textContent")

    def picture(self) -> str:
        """The result that is shown now, once one is: it changes with each."""
        return self.until(
            "!document.querySelector('#stage.busy')"
            " && /at screen size/.test(document.querySelector('#status').textContent)"
            " && document.querySelector('#after').src"
        )

    def redrawn(self, before: str) -> str:
        """The result once it is another than before."""
        self.until(f"document.querySelector('#after').src !== {before!r}")
        return self.picture()

    def set(self, selector: str, value: object) -> None:
        """Choose a value of a control, as an input of its user."""
        field = "checked" if isinstance(value, bool) else "value"
        self.browser.evaluate(
            f"(c => {{ c.{field} = {json.dumps(value)}; for (const e of ['input', 'change'])"
            f" c.dispatchEvent(new Event(e, {{bubbles: true}})); }})(document.querySelector({selector!r}))"
        )

    def click(self, selector: str) -> None:
        self.browser.evaluate(f"document.querySelector({selector!r}).click()")

    def downloaded(self, name: str) -> bytes:
        """A file that the page gave out, whole."""
        path, deadline = self.downloads / name, time.monotonic() + DEADLINE_S
        while not path.is_file() or list(self.downloads.glob("*.crdownload")):
            assert time.monotonic() < deadline, f"{name} does not arrive: {self.error()!r}"
            self.browser.evaluate("0")
            time.sleep(0.05)
        data = path.read_bytes()
        path.unlink()
        return data

    def paint(self, kind: str) -> None:
        """Paint with the keyboard in the middle of a picture."""
        self.browser.evaluate(f"document.querySelector('#paint-{kind}').focus()")
        for key in ("ArrowLeft", "ArrowUp", " "):
            self.browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key.replace(" ", "Space"))
            self.browser.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key.replace(" ", "Space"))
