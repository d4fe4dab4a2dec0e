"""A real browser, driven by its DevTools protocol over loopback; nothing beyond 127.0.0.1 can be reached from it."""

import base64
import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.servers.processes import end

START_S = 60.0


def why_not() -> str:
    """Why there is no browser here; empty where there is one."""
    return "" if shutil.which("chromium") else "chromium is not installed: bash tests/servers/install.sh"


class Browser:
    """One page of a running Chromium, with what it complained about and asked for since `open`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._ids = connection, itertools.count(1)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A DevTools command's result."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._connection.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self._loaded = True
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Network.loadingFailed"):
            self.complaints.append(json.dumps(params)[:500])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.responseReceived" and params["response"]["status"] >= 400:
            self.complaints.append(f"{params['response']['status']} {params['response']['url']}")

    def open(self, address: str) -> None:
        """Go there and wait until it is loaded, pictures too."""
        self.complaints, self.requests, self._loaded = [], [], False
        answer = self.call("Page.navigate", url=address)
        assert not answer.get("errorText"), answer
        deadline = time.monotonic() + 60
        while not self._loaded:
            assert time.monotonic() < deadline, f"{address} does not load"
            self.evaluate("0")
            time.sleep(0.05)
        time.sleep(0.2)  # a late request would show by now
        self.evaluate("0")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def emulate(self, *, dark: bool = False, width: int = 1200, media: str = "screen") -> None:
        """Colour scheme, width of the window in pixels, and "screen" or "print"."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium without a window, with a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="pcakd-chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0",
                f"--user-data-dir={profile}", "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": profile},  # what it leaves when it is killed goes with the profile
            start_new_session=True,
        )  # fmt: skip
        try:
            # A browser on a busy machine answers late; no ping has to come back in time.
            with connect(_page_address(process, Path(profile)), max_size=None, ping_interval=None) as connection:
                yield Browser(connection)
        except ConnectionClosed as error:
            raise AssertionError(f"the browser went away: {error}") from error
        finally:
            end(process, signal.SIGKILL)


def _page_address(process: subprocess.Popen, profile: Path) -> str:
    deadline = time.monotonic() + START_S
    port_file = profile / "DevToolsActivePort"
    while time.monotonic() < deadline:
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        if port_file.exists() and "\n" in port_file.read_text():
            port = port_file.read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [target for target in json.load(answer) if target["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
        time.sleep(0.1)
    raise AssertionError("chromium does not open its DevTools port")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder over HTTP on loopback; its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
