"""HTTP/1.1 connections with limits: llhttp parses, we count, time and answer (shell).

A connection reads one request at a time (pipelined ones wait their turn), and every state it may be in has a deadline that one
sweep a second enforces. Refusals are told politely: the answer is sent, what the client is still sending is read and dropped
for a moment, then the connection is closed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, cast

import httptools

logger = logging.getLogger("cluster")

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_SWEEP_SECONDS = 1.0
_DRAIN_SECONDS = 3.0
_PIPELINED = 16
_SMALL_BODY_BYTES = 64 * 1024
_NAMES = {
    spelt.encode("latin-1"): name
    for name in (
        *("host", "content-type", "content-length", "user-agent", "accept-encoding", "connection", "accept"),
        *("authorization", "x-amz-target", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request", "expect"),
    )
    for spelt in (name, name.title())
}
"""Names as clients usually spell them, in lower case: looked up, not decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may do."""

    connections: int = 1024
    header_bytes: int = 32 * 1024
    headers: int = 64
    large_bodies_bytes: int = 128 * 1024 * 1024
    idle_seconds: float = 75.0
    receive_seconds: float = 10.0
    serve_seconds: float = 40.0


@dataclass(slots=True)
class Request:
    """A whole request; header names in lower case. ``endpoint``: what the port or SNI says."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    endpoint: str


@dataclass(slots=True)
class Response:
    """An answer; ``headers`` are given as they are sent."""

    status: int
    body: bytes
    headers: list[str] = field(default_factory=list)


class Site(Protocol):
    """Who answers."""

    def answer(self, request: Request) -> Awaitable[Response]:
        """The answer; never raises."""
        ...

    def refuse(self, reason: str) -> Response:
        """The answer to something that is no proper request; counts it."""
        ...

    def max_body_bytes(self, headers: dict[str, str]) -> int:
        """The largest body that a request with these headers may have."""
        ...


class Connections:
    """All connections of one site: makes them, counts them, and closes those whose time is over."""

    def __init__(self, site: Site, limits: Limits) -> None:
        self.site, self.limits = site, limits
        self.loop = asyncio.get_running_loop()
        self.open: set[Connection] = set()
        self._claims: dict[Connection, int] = {}

    def accept(self, endpoint: str) -> "Connection":
        """A protocol for a connection to ``endpoint``'s address."""
        return Connection(self, endpoint)

    def claim(self, connection: "Connection", size: int) -> bool:
        """Take memory for a large body; False when all large bodies together would be too much."""
        if sum(self._claims.values()) + size > self.limits.large_bodies_bytes:
            return False
        self._claims[connection] = size
        return True

    def release(self, connection: "Connection") -> None:
        """Give back what was claimed."""
        if self._claims:
            self._claims.pop(connection, None)

    async def sweep(self) -> None:
        """Close, for ever, what has passed its deadline."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self.loop.time()
            for connection in [c for c in self.open if c.deadline < now]:
                connection.overdue()

    async def close(self, patience_seconds: float) -> None:
        """Let requests in progress finish, for a while, then close everything."""
        for connection in list(self.open):
            connection.finish()
        until = self.loop.time() + patience_seconds
        while any(c.busy for c in self.open) and self.loop.time() < until:
            await asyncio.sleep(0.02)
        for connection in list(self.open):
            connection.abort()


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, owner: Connections, endpoint: str) -> None:
        self._owner, self._endpoint = owner, endpoint
        self._limits = owner.limits
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ending = False
        self._in_head = True
        self._received = 0
        self.deadline = 0.0
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._max_body_bytes = 0
        self._reading = False

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        return self._task is not None

    # --- the transport's calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or say that there are too many."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's TLS transport is none by class
        tls = transport.get_extra_info("ssl_object")
        self._endpoint = getattr(tls, "endpoint", self._endpoint)
        self._wait(self._limits.idle_seconds)
        self._owner.open.add(self)
        if len(self._owner.open) > self._limits.connections:
            self._refuse("too_many_connections")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why it was lost does not matter
        """Forget the connection. A write in progress goes on: its outcome matters to others."""
        self._owner.open.discard(self)
        self._owner.release(self)
        self._ending = True
        self._transport = None
        self._writable.set()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and keep unfinished headers small."""
        if self._ending:
            return
        if not self._reading:
            self._reading = True
            if self._task is None:
                self._wait(self._limits.receive_seconds)
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeDecodeError):
            if not self._ending:
                self._refuse("malformed")
            return
        if self._in_head and self._received > self._limits.header_bytes and not self._ending:
            self._refuse("header_too_large")

    # --- the parser's calls ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reset()
        self._reading = self._in_head = True
        self._received = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url
        self._header_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; several of a name are joined, as the signature wants them."""
        self._header_bytes += len(name) + len(value)
        key, text, headers = _NAMES.get(name) or name.decode("latin-1").lower(), value.decode("latin-1"), self._headers
        headers[key] = f"{headers[key]},{text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """Refuse too large a request before its body comes."""
        self._in_head = False
        if self._header_bytes > self._limits.header_bytes or len(self._headers) > self._limits.headers:
            self._refuse("header_too_large")
            return
        self._max_body_bytes = self._owner.site.max_body_bytes(self._headers)
        length = self._announced_bytes()
        if length > self._max_body_bytes:
            self._refuse("too_large")
        elif length > _SMALL_BODY_BYTES and not self._owner.claim(self, length):
            self._refuse("overloaded")
        elif "expect" in self._headers and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _announced_bytes(self) -> int:
        """How large the body will be; a chunked one may become as large as is allowed."""
        if "transfer-encoding" in self._headers:
            return self._max_body_bytes
        length = self._headers.get("content-length", "0")
        return int(length) if len(length) < 16 and length.isdecimal() else self._max_body_bytes + 1

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._ending:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._max_body_bytes:
            self._refuse("too_large")
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """A whole request is here."""
        self._in_head, self._received = True, 0
        self._reading = False
        if self._ending:
            return
        request = Request(
            self._parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            self._headers,
            b"".join(self._body) if len(self._body) != 1 else self._body[0],
            self._endpoint,
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if len(self._waiting) > _PIPELINED:
            self._refuse("pipelined")
        elif self._task is None:
            self._task = self._owner.loop.create_task(self._serve())

    # --- serving --------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Answer what waits, in order."""
        try:
            while self._waiting:
                request, keep = self._waiting.popleft()
                self._wait(self._limits.serve_seconds)
                response = await self._owner.site.answer(request)
                self._send(response, keep=keep)
                self._owner.release(self)
                if not self._writable.is_set():
                    await self._writable.wait()
                if not keep or self._ending:
                    self._end()
                    return
            self._wait(self._limits.receive_seconds if self._reading else self._limits.idle_seconds)
        finally:
            self._task = None

    def _send(self, response: Response, *, keep: bool) -> None:
        if self._transport is None:
            return
        lines = [
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}",
            *response.headers,
            f"Content-Length: {len(response.body)}",
            "\r\n" if keep else "Connection: close\r\n\r\n",
        ]
        self._transport.write("\r\n".join(lines).encode("latin-1") + response.body)

    def _refuse(self, reason: str) -> None:
        """Answer, drop what still comes, and close soon."""
        self._ending = True
        self._body.clear()
        self._owner.release(self)
        response = self._owner.site.refuse(reason)
        if self._task is None:
            self._send(response, keep=False)
        self._wait(_DRAIN_SECONDS)

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _wait(self, seconds: float) -> None:
        self.deadline = self._owner.loop.time() + seconds

    def overdue(self) -> None:
        """The deadline has passed."""
        if self._task is not None:
            self._task.cancel()
        elif self._reading and not self._ending:
            self._refuse("timeout")
            return
        self.abort()

    def finish(self) -> None:
        """Take no more requests; close now if idle."""
        if self._task is None:
            self._end()
        self._ending = True

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
