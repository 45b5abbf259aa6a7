"""Sends counters to a collector over HTTP, again and again until they are acknowledged (shell).

::

    async with CounterSender("http://127.0.0.1:8081", host="lb-7", zone="az1") as sender:
        series = Series(vantage=Vantage.CUSTOMER, host="shop", zone="az1", operation=OperationClass.WRITE, table="orders")
        number = sender.outgoing.number(series)
        sender.outgoing.add("success", number, 12)
        sender.outgoing.add("timeout", number)
        await sender.flush()
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from collector.bulk.outgoing import Outgoing

logger = logging.getLogger("collector.sender")

TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.1, 10.0


class CounterSender:
    """Count on :attr:`outgoing`; :meth:`flush` sends, or :meth:`run` does so every few seconds. One task at a time."""

    def __init__(
        self, url: str, *, host: str, zone: str, token: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.outgoing = Outgoing(host, zone, uuid.uuid4().hex)
        self._url = url.rstrip("/") + "/v1/counters"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def run(self, every_seconds: float = 10.0) -> None:
        """Until cancelled: send what was counted, every few seconds."""
        while True:
            await asyncio.sleep(every_seconds - self._clock() % every_seconds)
            await self.flush()

    async def flush(self) -> None:
        """Return when everything counted so far is acknowledged, however long the collector is away."""
        now = self._clock()
        self.outgoing.cut(int(now), sent_at=now)
        pause = PAUSE_SECONDS
        while (body := self.outgoing.next()) is not None:
            status, answer = await self._post(body)
            self.outgoing.heard(status, answer, at=self._clock())
            if status in (200, 409):
                pause = PAUSE_SECONDS
                continue
            logger.warning("counters not taken: %s", self.outgoing.problem)
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    async def _post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        assert self._session is not None, "use it with `async with`"
        try:
            async with self._session.post(self._url, data=body, headers=self._headers) as response:
                answer: dict[str, Any] = {}
                with contextlib.suppress(msgspec.DecodeError):
                    answer = msgspec.json.decode(await response.read(), type=dict[str, Any])
                return response.status, answer
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return 0, {"error": "no answer", "detail": str(error)}
