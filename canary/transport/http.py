"""Batches to one collector over HTTP, on one kept connection (shell)."""

import asyncio
import json
import logging
import ssl
from urllib.parse import urlsplit

from canary.backlog import Bound
from canary.connection import HttpConnection, MalformedHttp, Response, open_http, open_tcp
from canary.transport.port import Answer

logger = logging.getLogger("canary")

CONNECT_TIMEOUT_SECONDS = 1.0
POST_TIMEOUT_SECONDS = 3.0
REFUSALS = frozenset({400, 413, 422})
NOT_KEPT = frozenset({"busy", "unauthorized"})
"""Error words of a collector that has surely not kept the batch; after ``storage_unavailable`` a commit may still turn out whole."""


class HttpTransport:
    """One collector. ``name`` is its URL; ``tls`` is used when that begins with https."""

    def __init__(self, url: str, token: str | None, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self.name = url
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        path = parts.path.rstrip("/")
        self._head = (
            f"POST {path}/v1/batches HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Content-Type: application/json\r\n{authorization}"
        )
        self._ready = f"GET {path}/ready HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self._connection: HttpConnection | None = None

    async def offer(self, bound: Bound) -> Answer:
        """POST it; what was not even written to a connection is surely not taken."""
        request = f"{self._head}Content-Length: {len(bound.body)}\r\n\r\n".encode() + bound.body
        try:
            connection = await self._connected()
        except OSError as error:
            logger.debug("collector %s: %r", self.name, error)
            return Answer.NOT_TAKEN
        try:
            async with asyncio.timeout(POST_TIMEOUT_SECONDS):
                response = await self._ask(connection, request)
        except (OSError, MalformedHttp) as error:
            logger.debug("collector %s: %r", self.name, error)
            return Answer.IN_DOUBT
        return self._meaning(response)

    async def probe(self) -> bool:
        """Whether ``/ready`` says so."""
        try:
            connection = await self._connected()
            async with asyncio.timeout(POST_TIMEOUT_SECONDS):
                return (await self._ask(connection, self._ready)).status == 200
        except (OSError, MalformedHttp):
            return False

    async def close(self) -> None:
        """Close the kept connection."""
        self._abort()

    def _meaning(self, response: Response) -> Answer:
        if response.status == 200:
            return Answer.TAKEN
        text = response.body.decode(errors="replace")
        logger.warning("collector %s answered %d: %.200s", self.name, response.status, text)
        if response.status in REFUSALS:
            return Answer.REFUSED
        return Answer.NOT_TAKEN if _word(text) in NOT_KEPT else Answer.IN_DOUBT

    async def _connected(self) -> HttpConnection:
        """The kept connection, or a new one; raises OSError."""
        if self._connection is not None and self._connection.usable:
            return self._connection
        self._abort()
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self._host, self._port, type=1)
            sock = await open_tcp(loop, str(found[0][4][0]), self._port)
            self._connection = await open_http(loop, sock, self._tls, self._host)
        return self._connection

    async def _ask(self, connection: HttpConnection, request: bytes) -> Response:
        try:
            return await connection.ask(request)
        except BaseException:
            self._abort()
            raise

    def _abort(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


def _word(text: str) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        return ""
    return str(said.get("error", "")) if isinstance(said, dict) else ""
