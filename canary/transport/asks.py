"""Hears what other zones' hosts ask us to look at: a long poll to each collector, or a NATS subject (shell)."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from canary.connection import HttpConnection, MalformedHttp, Response, open_http, open_tcp
from canary.transport.config import JetStreamConfig
from collector.ask import SUBJECT, Ask, decode_asks

logger = logging.getLogger("canary")

WAIT_SECONDS = 20.0
ANSWER_SECONDS = 3.0
AGAIN_SECONDS = 2.0
"""A collector that does not answer, or knows no asks, is tried again so much later."""

Hear = Callable[[Ask], None]


class AskSource(Protocol):
    """Where asks come from."""

    async def run(self, hear: Hear) -> None:
        """Until cancelled; whatever is wrong with the source is waited for."""
        ...


class HttpAsks:
    """One collector's board, on a connection of its own."""

    def __init__(self, url: str, token: str | None, tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        self._url = url
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._path = f"{parts.path.rstrip('/')}/v1/asks"
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._rest = f" HTTP/1.1\r\nHost: {parts.netloc}\r\n{authorization}\r\n"

    async def run(self, hear: Hear) -> None:
        """Poll, and poll again."""
        while True:
            try:
                await self._listen(hear)
            except (OSError, MalformedHttp, ValueError) as error:
                logger.debug("no asks of %s: %r", self._url, error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self, hear: Hear) -> None:
        connection = await self._connected()
        try:
            after: int | None = None
            while True:
                query = "" if after is None else f"?after={after}&wait={WAIT_SECONDS:g}"
                async with asyncio.timeout(ANSWER_SECONDS + WAIT_SECONDS):
                    answer = await connection.ask(f"GET {self._path}{query}{self._rest}".encode())
                after = self._tell(answer, hear)
        finally:
            connection.abort()

    @staticmethod
    def _tell(answer: Response, hear: Hear) -> int:
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        said = decode_asks(answer.body)
        for ask in said.asks:
            hear(ask)
        return said.after

    async def _connected(self) -> HttpConnection:
        async with asyncio.timeout(ANSWER_SECONDS):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self._host, self._port, type=1)
            sock = await open_tcp(loop, str(found[0][4][0]), self._port)
            return await open_http(loop, sock, self._tls, self._host)


class JetStreamAsks:
    """What collectors publish beside the stream; nobody keeps it."""

    def __init__(self, config: JetStreamConfig) -> None:
        self._config = config

    async def run(self, hear: Hear) -> None:
        """Subscribe; the client itself connects again."""
        import nats  # noqa: PLC0415 - an extra
        from nats.errors import Error  # noqa: PLC0415

        token = self._config.token_file.read_text(encoding="utf-8").strip() if self._config.token_file else None
        while True:
            try:
                client = await nats.connect(
                    list(self._config.servers), token=token, max_reconnect_attempts=-1, error_cb=_note
                )
                break
            except (Error, OSError) as error:
                logger.debug("no asks of %s: %r", self._config.servers, error)
                await asyncio.sleep(AGAIN_SECONDS)
        try:
            subscription = await client.subscribe(SUBJECT)
            async for message in subscription.messages:
                with contextlib.suppress(ValueError):
                    for ask in decode_asks(message.data).asks:
                        hear(ask)
        finally:
            await client.close()


async def _note(error: Exception) -> None:
    logger.debug("NATS: %r", error)
