"""Asks the collectors whether this judgement may speak, and remembers until when (shell).

It may while it holds the lease at every collector that answers, and at least one does. Two judgements that see the same
collector never hold it both. If a cut in the network leaves each with a collector of its own, both speak: a page twice is
better than none, and receivers that know an incident by its id show it once.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import msgspec

from cfa.feed import bearer

logger = logging.getLogger("cfa.lease")

MARGIN = 0.9
"""Of the lease we use so much: the collector's clock may go a little faster than ours."""


class _Grant(msgspec.Struct, frozen=True):
    granted: bool
    holder: str
    epoch: int
    seconds: float


class Lease:
    """One name at several collectors."""

    def __init__(
        self,
        urls: Sequence[str],
        name: str,
        holder: str,
        *,
        seconds: float,
        token_file: Path | None = None,
        tls: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = sorted(urls)
        self._name, self._holder, self._seconds = name, holder, seconds
        self._token_file = token_file
        self._monotonic = monotonic
        self._until = float("-inf")
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls or True))
        self.epoch = 0
        self.other = ""
        """Who holds it instead."""

    @property
    def pause_seconds(self) -> float:
        """How often to ask."""
        return self._seconds / 5

    def remaining(self) -> float:
        """For how many seconds from now we may speak; 0 when we may not."""
        return max(0.0, self._until - self._monotonic())

    async def ask(self) -> bool:
        """One round, always in the same order, so that of two that ask at once one is first everywhere."""
        began, held = self._monotonic(), self.remaining() > 0
        granted: list[_Grant] = []
        for url in self._urls:
            answer = await self._post(url, self._seconds, self.epoch if held else 0)
            if answer is None:
                continue
            if not answer.granted:
                self.other = answer.holder
                await self.release()
                return False
            granted.append(answer)
        if granted:
            self.epoch = max(one.epoch for one in granted)
            self._until = began + MARGIN * self._seconds
            self.other = ""
        return bool(granted)

    async def release(self) -> None:
        """Gives it back where we have it: the other need not wait."""
        self._until = float("-inf")
        await asyncio.gather(*(self._post(url, 0.0, 0) for url in self._urls))

    async def _post(self, url: str, seconds: float, epoch: int) -> _Grant | None:
        """The collector's answer; None when there is none."""
        body = {"name": self._name, "holder": self._holder, "seconds": seconds, "epoch": epoch}
        timeout = aiohttp.ClientTimeout(total=max(0.3, self._seconds / 6))
        try:
            async with self._session.post(
                f"{url.rstrip('/')}/v1/lease", json=body, headers=bearer(self._token_file), timeout=timeout
            ) as answer:
                if answer.status != 200:
                    logger.warning("%s does not lend: HTTP %d", url, answer.status)
                    return None
                return msgspec.json.decode(await answer.read(), type=_Grant)
        except (TimeoutError, aiohttp.ClientError, OSError, msgspec.DecodeError):
            return None

    async def close(self) -> None:
        """Closes the connections; the lease ends by itself."""
        await self._session.close()
