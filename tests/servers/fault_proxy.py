"""A TCP proxy in front of an HTTP server that injects faults by rule, for tests of storage clients.

    with fault_proxy(server.endpoint) as proxy:                 # http://127.0.0.1:port is proxy.url
        proxy.rules.append(Rule("503", probability=0.05))
        proxy.rules.append(Rule("cut", match=lambda method, path: method == "GET", times=3, after=4096))

Kinds of fault:
    503            answers "503 SlowDown" itself, the request never reaches the server
    expired        answers "403 ExpiredToken" itself, as AWS does to credentials that have run out
    latency        waits `delay` seconds, then forwards
    gate           waits until the rule is taken out of `rules`, then forwards
    reset          resets the connection before the request is forwarded
    cut            forwards, then resets the connection after `after` bytes of the answer
    truncate       like cut, but closes the connection in good order
    drop_response  the server carries the request out, the client sees a reset instead of the answer
`proxy.injected` lists every fault as (kind, method, path), `proxy.requests` every request as (method, path),
`proxy.answered` every answer that went through whole as (method, path, status).
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

EXPIRED = b'<?xml version="1.0"?><Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>'
SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'


@dataclass
class Rule:
    kind: str
    match: Callable[[str, str], bool] = lambda method, path: True
    probability: float = 1.0
    times: float = float("inf")
    after: int = 0
    delay: float = 0.0


@dataclass
class FaultProxy:
    upstream: tuple[str, int]
    port: int = 0
    seed: int = 0
    rules: list[Rule] = field(default_factory=list)
    injected: list[tuple[str, str, str]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    answered: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> "FaultProxy":
        self._random = random.Random(self.seed)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _pick(self, method: str, path: str) -> Rule | None:
        self.requests.append((method, path))
        for rule in self.rules:
            if rule.times > 0 and rule.match(method, path) and self._random.random() < rule.probability:
                rule.times -= 1
                self.injected.append((rule.kind, method, path))
                return rule
        return None

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        """Close with RST: SO_LINGER of zero seconds drops what is unsent."""
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one_request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Forward one request; False when the client's connection is done."""
        head = await reader.readuntil(b"\r\n\r\n")
        request_line, *header_lines = head.split(b"\r\n")
        method, path, _ = request_line.decode().split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, _, v in (h.partition(b":") for h in header_lines if h)}
        rule = self._pick(method, path)
        kind = rule.kind if rule else None
        if rule and kind == "latency":
            await asyncio.sleep(rule.delay)
        while rule and kind == "gate" and rule in self.rules:
            await asyncio.sleep(0.05)
        if kind == "reset":
            self._reset(writer)
            return False
        if headers.get(b"expect", b"").lower() == b"100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(headers.get(b"content-length", 0)))
        if kind in ("503", "expired"):
            status, text = (b"503 Slow Down", SLOW_DOWN) if kind == "503" else (b"403 Forbidden", EXPIRED)
            writer.write(b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\n" % status)
            writer.write(b"Content-Length: %d\r\n\r\n" % len(text) + (b"" if method == "HEAD" else text))
            await writer.drain()
            return True
        # One upstream connection a request: the end of the answer is the end of the connection.
        kept = [h for h in header_lines if h and h.split(b":")[0].strip().lower() not in (b"connection", b"expect")]
        up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        try:
            up_writer.write(b"\r\n".join([request_line, *kept, b"Connection: close", b"", b""]) + body)
            await up_writer.drain()
            return await self._answer(rule, up_reader, writer, method, path)
        finally:
            up_writer.close()

    async def _answer(
        self,
        rule: Rule | None,
        up_reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
    ) -> bool:
        kind, sent, status = rule.kind if rule else None, 0, 0
        while chunk := await up_reader.read(65536):
            status = status or int(chunk[9:12])
            if kind == "drop_response":
                self._reset(writer)
                return False
            if rule and kind in ("cut", "truncate") and sent + len(chunk) > rule.after:
                writer.write(chunk[: max(0, rule.after - sent)])
                await writer.drain()
                self._reset(writer) if kind == "cut" else writer.close()
                return False
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
        self.answered.append((method, path, status))
        return False


@contextlib.contextmanager
def fault_proxy(endpoint: str, seed: int = 0) -> Iterator[FaultProxy]:
    """A proxy to the server at `endpoint`, running in a thread of its own for the block."""
    parts = urlsplit(endpoint)
    proxy = FaultProxy((parts.hostname or "", parts.port or 80), seed=seed)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
