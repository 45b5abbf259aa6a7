"""A lean HTTP/1.1 client connection (shell): one request at a time, nothing retried, parsed by httptools."""

import asyncio
import errno
import os
import socket
import ssl
from typing import cast

import httptools
import msgspec

from canary.resolver import is_address

MAX_BODY_BYTES = 1024 * 1024
MAX_HEADERS = 100
MAX_NAMES = 500


class ConnectionLost(ConnectionError):
    """The peer ended the connection before a whole answer had come."""


class MalformedHttp(Exception):
    """What came is not HTTP, or too much of it."""


class Response(msgspec.Struct):
    """Status, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpConnection(asyncio.Protocol):
    """One TCP or TLS connection. ``usable`` tells whether another request may be sent."""

    __slots__ = ("_body", "_future", "_headers", "_loop", "_parser", "_size", "_transport", "idle_since", "usable")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._future: asyncio.Future[Response] | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self.usable = False
        self.idle_since = 0.0

    async def ask(self, request: bytes) -> Response:
        """Send one request and wait for its whole answer; raises OSError or MalformedHttp."""
        if self._transport is None or not self.usable:
            raise ConnectionLost("closed")
        self._future = self._loop.create_future()
        self._headers, self._body, self._size = {}, [], 0
        self.usable = False
        self._transport.write(request)
        try:
            return await self._future
        finally:
            self._future = None

    def abort(self) -> None:
        """Close at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def secure(self, tls: ssl.SSLContext, server_name: str) -> None:
        """A TLS handshake over the connection as it is; raises OSError, of which TLS errors are some. On any error it is closed."""
        plain = self._transport
        if plain is None:
            raise ConnectionLost("closed")
        try:
            self._transport = await self._loop.start_tls(
                plain, self, tls, server_hostname=server_name, ssl_shutdown_timeout=1.0
            )
        except BaseException:
            plain.abort()
            raise

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # uvloop transports are no subclasses of asyncio ones.
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer; bytes that nobody asked for end the connection."""
        if self._future is None:
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(MalformedHttp(str(error)))
            self.abort()

    def eof_received(self) -> None:
        """The peer closed its side; the connection is of no more use."""
        self.usable = False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.usable = False
        self._transport = None
        self._end(exc or ConnectionLost("closed by the peer"))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        if len(self._headers) >= MAX_HEADERS:
            raise MalformedHttp("too many headers")
        self._headers[_NAMES.get(name) or _name(name)] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._size += len(body)
        if self._size > MAX_BODY_BYTES:
            raise MalformedHttp("body too large")
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        status = self._parser.get_status_code()
        if status < 200:
            self._headers, self._body, self._size = {}, [], 0
            return
        self.usable = self._transport is not None and self._parser.should_keep_alive()
        if self._future is not None and not self._future.done():
            self._future.set_result(Response(status, self._headers, b"".join(self._body)))

    def _end(self, error: Exception) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_exception(error)


_NAMES: dict[bytes, str] = {}
"""Header names as servers write them → as we look them up; bounded, a server may invent names."""


def _name(name: bytes) -> str:
    known = name.decode("latin-1").lower()
    if len(_NAMES) < MAX_NAMES:
        _NAMES[name] = known
    return known


async def connect(loop: asyncio.AbstractEventLoop, ip: str, port: int) -> HttpConnection:
    """A connection over TCP; raises OSError. ``ip`` is an address: a loop that looks it up first would need threads for it."""
    _, connection = await loop.create_connection(lambda: HttpConnection(loop), ip, port)
    return connection


async def open_tcp(loop: asyncio.AbstractEventLoop, ip: str, port: int) -> socket.socket:
    """A connected TCP socket, for those who need no more than that; raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await _connected(loop, sock, ip, port)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connected(loop: asyncio.AbstractEventLoop, sock: socket.socket, ip: str, port: int) -> None:
    """As ``loop.sock_connect``, which in uvloop has a thread look up even addresses."""
    if not is_address(ip):
        await loop.sock_connect(sock, (ip, port))
        return
    error = sock.connect_ex((ip, port))
    if error in (errno.EINPROGRESS, errno.EWOULDBLOCK):
        writable = asyncio.Event()
        loop.add_writer(sock, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


async def open_http(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, tls: ssl.SSLContext | None, server_name: str
) -> HttpConnection:
    """An HTTP connection over a connected socket, after a TLS handshake if ``tls`` is given; owns the socket from now on."""
    try:
        if tls is None:
            _, connection = await loop.create_connection(lambda: HttpConnection(loop), sock=sock)
        else:
            _, connection = await loop.create_connection(
                lambda: HttpConnection(loop), sock=sock, ssl=tls, server_hostname=server_name, ssl_shutdown_timeout=1.0
            )
    except BaseException:
        sock.close()
        raise
    return connection
