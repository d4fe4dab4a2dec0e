"""Who may ask the page at all, decided before anything is read.

A page on loopback is reached by every program of this machine, its browser among them, and so by every web page that
the browser shows. So: the `Host` has to be one of ours (a foreign name that resolves to 127.0.0.1 is none), what a
foreign page sends is refused (`Origin`, `Sec-Fetch-Site`), and what changes anything carries the token of a page that
we gave out, which no foreign page can read.
"""

import base64
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from pcakd.errors import UsageError
from pcakd.ui.options import PageOptions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN = "x-pcakd-page"
"""The header that a page's scripts send."""
BODY = 16 << 20
"""Largest body that is no photo, bytes: a setting with its masks."""
UPLOADS = "/api/photos"

HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class TooLargeError(UsageError):
    """A body that goes on beyond its limit."""


class Guard:
    """ASGI: lets through what may pass to `app`."""

    def __init__(self, app: App, options: PageOptions, password: str, token: str) -> None:
        self.app, self.options, self.token = app, options, token
        self.names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in options.name)}
        if options.host not in ("", "0.0.0.0", "::"):
            self.names.add(options.host.lower())
        self._login = base64.b64encode(f"{options.user}:{password}".encode()) if options.user else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if refused := self._refused(scope, headers):
            await _answer(send, *refused)
            return
        limit = self.options.max_upload if scope["path"] == UPLOADS else BODY
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            await _answer(send, 413, f"this is larger than {limit:,} bytes, which the page takes at most")
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_encoded(HEADERS)]
            await send(message)

        await self.app(scope, _counted(receive, limit), with_headers)

    def _refused(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """(status, words) for what may not pass."""
        host = headers.get("host", "")
        if not self._ours(host):
            return 421, "this page is not reached under that name; start it with --name to allow one"
        reading = scope["method"] in ("GET", "HEAD")
        entering = reading and scope["path"] == "/"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "another page may not use this one"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not entering:
            return 403, "another page may not use this one"
        if self._login:
            given = headers.get("authorization", "").removeprefix("Basic ").encode()
            if not hmac.compare_digest(given, self._login):
                return 401, "a user and a password are asked for"
        if not reading and not hmac.compare_digest(headers.get(TOKEN, "").encode(), self.token.encode()):
            return 403, "this page is from before a restart; load it again"
        return None

    def _ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self.names:
            return True
        try:  # an address is nobody's name: no foreign page gets at us by way of it
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _counted(receive: Receive, limit: int) -> Receive:
    """A body of at most `limit` bytes, whatever its header says."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLargeError(f"this is larger than {limit:,} bytes, which the page takes at most")
        return message

    return counted


async def _answer(send: Send, status: int, words: str) -> None:
    headers = HEADERS | {"content-type": "text/plain; charset=utf-8", "connection": "close"}
    if status == 401:
        headers |= {"www-authenticate": 'Basic realm="pcakd", charset="UTF-8"'}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": words.encode()})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
