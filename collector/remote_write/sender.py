"""Pushes the feed to one receiver, and goes on until it has taken everything (shell)."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from collector.merged import CELLS_MAX, Changed
from collector.reading import Reader
from collector.remote_write.config import RemoteWriteConfig
from collector.remote_write.door import Door, Reply
from collector.remote_write.figures import RemoteWriteFigures
from collector.remote_write.frames import Frame, Heard, plan
from collector.remote_write.parcels import Packer, Parcel
from collector.remote_write.position import PositionFile
from collector.remote_write.verdict import Verdict, verdict, wait_seconds
from collector.series import FeedEntry
from collector.writer import Writer

logger = logging.getLogger("collector")

ENTRIES_MAX = 500
SAMPLES_MAX = 200_000
"""Of one round, roughly: what is held in memory for a receiver."""
TOLD_AGAIN_SECONDS = 60.0
"""A receiver that does not answer is spoken of in the log this often."""


class Sender:
    """One receiver. Its queue is the feed itself: on disk, bounded by ``feed_retention_seconds``, read again after a restart."""

    def __init__(
        self,
        config: RemoteWriteConfig,
        *,
        folder: Path,
        reader: Reader,
        writer: Writer,
        figures: RemoteWriteFigures,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._reader, self._writer, self._figures, self._clock = config, reader, writer, figures, clock
        start = 0 if config.backfill else writer.figures.newest
        self._file = PositionFile(folder / "remote_write" / f"{config.name}.db", start=start)
        self._packer = self._new_packer()
        self._again = bool(self._file.position.sending)
        self._warned_at = 0.0
        figures.known(config.name)
        figures.behind.labels(config.name).set_function(self._behind)

    async def run(self) -> None:
        """Push until cancelled."""
        door = Door(self._config)
        try:
            while True:
                try:
                    busy = await self._round(door)
                except Exception:
                    logger.exception("remote write to %s failed; it is tried again", self._config.name)
                    self._figures.failures.labels(self._config.name).inc()
                    self._packer = self._new_packer()
                    self._again = bool(self._file.position.sending)
                    busy = False
                if not busy:
                    await self._pause()
        finally:
            await door.close()
            self._file.close()

    def _new_packer(self) -> Packer:
        config = self._config
        return Packer(
            self._file.totals(CELLS_MAX),
            external=config.labels.items(),
            step_ms=round(config.step_seconds * 1000),
            samples_max=config.samples_per_request,
        )

    async def _pause(self) -> None:
        """Until the step that is running is over, so that its entries are read once."""
        step = self._config.step_seconds
        await asyncio.sleep(step - self._clock() % step + 0.02)

    async def _round(self, door: Door) -> bool:
        """Read, plan, send, note; whether there is more to do at once."""
        entries, more = await self._read(self._file.position.told.cursor)
        position = self._file.position  # after the reading: it may have had to jump
        frames = position.sending or self._plan(position.told, entries, more=more)
        while position.sending and entries and entries[-1].cursor < frames[-1].cursor:
            following, more = await self._read(entries[-1].cursor)
            entries += following
        if not frames:
            return False
        parcels, changed = await asyncio.to_thread(self._prepare, position.told, frames, entries)
        await self._send_all(door, parcels)
        await asyncio.to_thread(self._file.told, frames[-1], self._packer.totals, changed)
        self._again = False
        self._figures.told.labels(self._config.name).set(frames[-1].at_ms / 1000)
        return more

    async def _read(self, after: int) -> tuple[list[FeedEntry], bool]:
        """Entries after the cursor; over a gap if the feed has forgotten some."""
        newest = self._writer.figures.newest
        oldest, bodies = await self._reader.feed(after, ENTRIES_MAX)
        if after > newest or (oldest is not None and after < oldest - 1):
            await asyncio.to_thread(self._jump, after, 0 if oldest is None else oldest - 1)
            return await self._read(self._file.position.told.cursor)
        entries = await asyncio.to_thread(lambda: [msgspec.json.decode(body, type=FeedEntry) for body in bodies])
        return entries, bool(entries) and entries[-1].cursor < newest

    def _jump(self, after: int, cursor: int) -> None:
        """What the feed no longer holds is counted and left out; totals go on, too small by what was lost."""
        lost = max(0, cursor - after)
        logger.error(
            "remote write to %s: %d feed entries were forgotten before they were sent", self._config.name, lost
        )
        self._figures.gaps.labels(self._config.name).inc()
        self._figures.gap_entries.labels(self._config.name).inc(lost)
        self._file.jump(cursor)
        self._again = False

    def _plan(self, told: Frame, entries: list[FeedEntry], *, more: bool) -> tuple[Frame, ...]:
        heard = [Heard(entry.cursor, math.ceil(entry.received_at * 1000)) for entry in entries]
        return plan(
            told,
            heard,
            now_ms=int(self._clock() * 1000),
            step_ms=round(self._config.step_seconds * 1000),
            more=more,
            most=max(1, SAMPLES_MAX // (20 * len(self._packer.totals.cells) + 1)),
        )

    def _prepare(
        self, told: Frame, frames: tuple[Frame, ...], entries: list[FeedEntry]
    ) -> tuple[list[Parcel], Changed]:
        """The intention is on disk before the first byte leaves."""
        if not self._file.position.sending:
            self._file.intend(frames)
        return self._packer.pack(told, frames, entries)

    async def _send_all(self, door: Door, parcels: list[Parcel]) -> None:
        """All parcels, so many at a time; each series is in one of them, so their order does not matter."""
        turns = asyncio.Semaphore(self._config.shards)

        async def one(parcel: Parcel) -> None:
            async with turns:
                await self._send(door, parcel)

        async with asyncio.TaskGroup() as group:
            for parcel in parcels:
                group.create_task(one(parcel))

    async def _send(self, door: Door, parcel: Parcel) -> None:
        """Until it is taken or refused for good; what is refused as a whole is tried time by time."""
        if await self._insist(door, parcel):
            return
        times = parcel.by_time()
        for part in times:
            if len(times) == 1 or not await self._insist(door, part):
                self._refused(part)

    def _refused(self, parcel: Parcel) -> None:
        result = "repeated" if self._again else "refused"
        self._figures.samples.labels(self._config.name, result).inc(parcel.samples)

    async def _insist(self, door: Door, parcel: Parcel) -> bool:
        """True when taken, False when refused for good."""
        body = parcel.body()
        attempt = 0
        while True:
            reply = await door.post(body)
            found = verdict(reply.status)
            self._figures.requests.labels(self._config.name, found.value).inc()
            self._figures.up.labels(self._config.name).set(int(found is not Verdict.AGAIN))
            if found is Verdict.SENT:
                self._figures.samples.labels(self._config.name, "sent").inc(parcel.samples)
                return True
            self._warn(reply, found)
            if found is Verdict.REFUSED:
                return False
            attempt += 1
            await asyncio.sleep(self._wait(attempt, reply))

    def _wait(self, attempt: int, reply: Reply) -> float:
        return wait_seconds(
            attempt,
            first=self._config.first_wait_seconds,
            longest=self._config.longest_wait_seconds,
            jitter=random.random(),
            retry_after=reply.retry_after,
            at=self._clock(),
        )

    def _warn(self, reply: Reply, found: Verdict) -> None:
        now = time.monotonic()
        if now - self._warned_at >= TOLD_AGAIN_SECONDS or not self._warned_at:
            self._warned_at = now
            logger.warning(
                "remote write to %s: %s %s: %s", self._config.name, found.value, reply.status or "", reply.detail
            )

    def _behind(self) -> float:
        return float(max(0, self._writer.figures.newest - self._file.position.told.cursor))
