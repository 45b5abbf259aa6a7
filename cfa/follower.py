"""Keeps this judgement's file equal to the other's, change by change, while the other is the active one (shell)."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable

import aiohttp
import msgspec

from cfa.destinations.config import Pair
from cfa.feed import bearer
from cfa.replica_rows import Changes, Position
from cfa.state import StateStore

logger = logging.getLogger("cfa.follower")

WAIT_SECONDS = 1.0
ANSWER_BYTES_MOST = 64 * 1024 * 1024
COPY_BYTES_MOST = 1024 * 1024 * 1024


class Follower:
    """Asks the other what has changed. What is copied anew replaces everything at once, so half a copy is never used."""

    def __init__(self, pair: Pair, store: StateStore, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pair = pair
        self._store = store
        self._monotonic = monotonic
        tls = ssl.create_default_context(cafile=pair.ca_file) if pair.ca_file else True
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls))
        self._began = monotonic()
        self.answered_at: float | None = None
        """When the other last answered and we had all that it has, or it had nothing for us."""
        self.problem: str | None = None

    def ready_to_lead(self, patience_seconds: float) -> bool:
        """Whether we have what the other had, or have waited for it long enough."""
        return self.answered_at is not None or self._monotonic() - self._began > patience_seconds

    @property
    def lag_seconds(self) -> float | None:
        """Since we last had everything; None before."""
        return None if self.answered_at is None else self._monotonic() - self.answered_at

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self.follow()
                self.problem = None
            except (TimeoutError, aiohttp.ClientError, OSError, msgspec.DecodeError, ValueError) as error:
                if self.problem is None:
                    logger.warning("the other judgement does not answer: %s", error)
                self.problem = str(error) or type(error).__name__
                await asyncio.sleep(0.3)

    async def follow(self) -> None:
        """Everything that is new, or a whole copy when the other has another file than the one we know."""
        here = await self._store.run(self._store.position)
        answer = await self._get(here.seq if here.source else 0, wait=WAIT_SECONDS if here.source else 0.0)
        newer = answer.epoch > here.epoch or (answer.active and answer.epoch == here.epoch)
        if not newer:
            await asyncio.sleep(0.2)  # it knows nothing that we do not
        elif answer.store == here.source and here.seq >= answer.pruned:
            await self._take(answer, anew=False)
        else:
            logger.info("copying the other judgement's state")
            await self._take(answer if not here.source else await self._get(0, wait=0.0), anew=True)
        self.answered_at = self._monotonic()

    async def _take(self, answer: Changes, *, anew: bool) -> None:
        """Only what reaches the newest change is taken: in between, a snapshot could be there without the pages that it knows of."""
        rows, size = list(answer.rows), 0
        while answer.rows and answer.rows[-1][0] < answer.newest:
            answer = await self._get(answer.rows[-1][0], wait=0.0)
            rows += answer.rows
            size += 1024 * len(answer.rows)
            if size > COPY_BYTES_MOST:
                raise ValueError("the other judgement's state is too large")
        if rows or anew:
            at = Position(source=answer.store, seq=rows[-1][0] if rows else answer.newest, epoch=answer.epoch)
            await self._store.run(self._store.take_changes, rows, at, anew=anew)

    async def _get(self, after: int, *, wait: float) -> Changes:
        url = f"{self._pair.peer.rstrip('/')}/v1/changes"
        query = {"after": str(after), "wait": f"{wait:g}"}
        timeout = aiohttp.ClientTimeout(total=wait + 5.0, connect=1.0)
        headers = bearer(self._pair.token_file)
        async with self._session.get(
            url, params=query, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            body = await answer.content.read(ANSWER_BYTES_MOST) if answer.status != 200 else await _whole(answer)
            if answer.status != 200:
                raise ValueError(f"HTTP {answer.status} {body[:100].decode(errors='replace')}")
            return msgspec.msgpack.decode(body, type=Changes)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MOST:
            raise ValueError("the other judgement's answer is too large")
    return bytes(body)
