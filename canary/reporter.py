"""Brings one host's reports to the collectors: one sender a lane, each batch until it is settled (shell)."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from time import monotonic

from canary.clock import Clock
from canary.spool import HESITATION_SECONDS, Spool
from canary.tally import Tally
from canary.transport.port import Answer, Transport
from collector.series import Health

logger = logging.getLogger("canary")

SHARE_SECONDS = 0.05
PAUSE_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class Reporter:
    """Flushes the tally (failures at once, the rest each second) into the spool, and the spool to the collectors.

    ``transports``: one for each of the spool's lanes, in their order.
    """

    def __init__(
        self,
        tally: Tally,
        spool: Spool,
        transports: Sequence[Transport],
        clock: Clock,
        health: Callable[[], Health | None],
    ) -> None:
        self._tally = tally
        self._spool = spool
        self._transports = transports
        self._clock = clock
        self._health = health
        self._urgent = asyncio.Event()
        self._work = [asyncio.Event() for _ in transports]
        self.acknowledged = asyncio.Event()
        """Set with the first acknowledged batch."""

    def hurry(self) -> None:
        """There is something that must not wait for the second to end."""
        self._urgent.set()

    async def run(self) -> None:
        """Until cancelled; what was not sent by then is left to the spool."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._flush())
                for lane, transport in enumerate(self._transports):
                    group.create_task(self._send(lane, transport))
        finally:
            self._spool.add(self._tally.flush(), None, self._clock.wall(), last=True)
            self._spool.close()
            for transport in self._transports:
                await transport.close()

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
            self._spool.add(self._tally.flush(), self._health(), self._clock.wall())
            self._wake()

    def _wake(self) -> None:
        for work in self._work:
            work.set()

    async def _send(self, lane: int, transport: Transport) -> None:
        """One lane's batches, one after the other; while the collector is away, patiently."""
        failures = 0
        while True:
            self._work[lane].clear()
            bound = self._spool.next(self._clock.wall(), lane)
            if bound is None and self._spool.lanes[lane].well:
                await self._wait(lane)
                continue
            answer = await transport.offer(bound) if bound else await self._probe(transport)
            if self._note(lane, answer):
                failures = 0
                if answer is Answer.REFUSED:
                    await asyncio.sleep(PAUSE_SECONDS[2])
            else:
                failures += 1
                self._wake()  # what this lane has not told anybody is another's now
                await asyncio.sleep(PAUSE_SECONDS[min(failures, len(PAUSE_SECONDS)) - 1])

    async def _wait(self, lane: int) -> None:
        """For something to send, or for a better lane's answer to take too long."""
        hesitation = None if self._spool.idle or lane == 0 else HESITATION_SECONDS
        try:
            async with asyncio.timeout(hesitation):
                await self._work[lane].wait()
        except TimeoutError:
            pass

    async def _probe(self, transport: Transport) -> Answer | None:
        return None if await transport.probe() else Answer.NOT_TAKEN

    def _note(self, lane: int, answer: Answer | None) -> bool:
        """Whether the collector answered as it should."""
        match answer:
            case None:
                self._spool.recovered(lane)
            case Answer.TAKEN:
                self._spool.acknowledge(lane)
                self.acknowledged.set()
            case Answer.REFUSED:
                self._spool.refuse("refused", self._clock.wall(), lane)
            case _:
                self._spool.failed(lane, doubtful=answer is Answer.IN_DOUBT)
                return False
        return True
