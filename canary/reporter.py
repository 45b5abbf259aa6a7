"""Brings one host's batches to the first collector that answers, in order, until each is acknowledged (shell)."""

import asyncio
import logging
import math
import ssl
from collections.abc import Callable, Sequence
from time import monotonic
from urllib.parse import urlsplit

from canary.clock import Clock
from canary.connection import HttpConnection, MalformedHttp, Response, open_http, open_tcp
from canary.spool import Spool
from canary.tally import Tally
from collector.series import Health
from collector.wire import encode

logger = logging.getLogger("canary")

SHARE_SECONDS = 0.05
POST_TIMEOUT_SECONDS = 3.0
PAUSE_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
REFUSALS = frozenset({400, 413, 422})


class CollectorClient:
    """One collector, one kept connection."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        self.url = url
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = (
            f"POST {parts.path.rstrip('/')}/v1/batches HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Content-Type: application/json\r\n{authorization}"
        )
        self._connection: HttpConnection | None = None

    async def post(self, body: bytes) -> Response:
        """The collector's answer; raises OSError, MalformedHttp or TimeoutError."""
        request = f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        async with asyncio.timeout(POST_TIMEOUT_SECONDS):
            kept = self._connection
            if kept is not None and kept.usable:
                try:
                    return await self._ask(kept, request)
                except ConnectionError:
                    logger.debug("%s closed a kept connection", self.url)
            return await self._ask(await self._connect(), request)

    async def _connect(self) -> HttpConnection:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=1)
        sock = await open_tcp(loop, str(found[0][4][0]), self._port)
        return await open_http(loop, sock, self._tls, self._host)

    async def _ask(self, connection: HttpConnection, request: bytes) -> Response:
        self._connection = connection
        try:
            return await connection.ask(request)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the kept connection."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


class Reporter:
    """Flushes the tally (failures at once, the rest each second) into the spool, and the spool to a collector."""

    def __init__(
        self,
        tally: Tally,
        spool: Spool,
        collectors: Sequence[CollectorClient],
        clock: Clock,
        health: Callable[[], Health | None],
    ) -> None:
        self._tally = tally
        self._spool = spool
        self._collectors = collectors
        self._clock = clock
        self._health = health
        self._urgent = asyncio.Event()
        self._work = asyncio.Event()
        self._current = 0
        self.acknowledged = asyncio.Event()
        """Set with the first acknowledged batch."""

    def hurry(self) -> None:
        """There is something that must not wait for the second to end."""
        self._urgent.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._flush())
                group.create_task(self._send())
        finally:
            for collector in self._collectors:
                collector.close()

    async def _flush(self) -> None:
        shared_until = -math.inf
        next_second = monotonic()
        while True:
            try:
                async with asyncio.timeout(next_second - monotonic()):
                    await self._urgent.wait()
                await asyncio.sleep(max(0.0, shared_until - monotonic()))
                shared_until = monotonic() + SHARE_SECONDS
            except TimeoutError:
                next_second = max(next_second + 1.0, monotonic())
            self._urgent.clear()
            self._spool.add(self._tally.flush(), self._health())
            self._work.set()

    async def _send(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while (batch := self._spool.next(self._clock.wall())) is not None:
                await self._deliver(encode(batch))

    async def _deliver(self, body: bytes) -> None:
        """Until this batch is acknowledged, or refused for good."""
        failures = 0
        while True:
            status = await self._post(body)
            if status == 200:
                self._spool.acknowledge()
                self.acknowledged.set()
                return
            if status in REFUSALS:
                self._spool.refuse("refused")
                await asyncio.sleep(PAUSE_SECONDS[2])
                return
            self._current = (self._current + 1) % len(self._collectors)
            failures += 1
            if failures % len(self._collectors) == 0:
                await asyncio.sleep(PAUSE_SECONDS[min(failures, len(PAUSE_SECONDS)) - 1])

    async def _post(self, body: bytes) -> int | None:
        collector = self._collectors[self._current]
        try:
            response = await collector.post(body)
        except (OSError, MalformedHttp) as error:
            logger.debug("collector %s: %r", collector.url, error)
            return None
        if response.status != 200:
            logger.warning(
                "collector %s answered %d: %.200s",
                collector.url,
                response.status,
                response.body.decode(errors="replace"),
            )
        return response.status
