"""The archive agent of one storage node: carries out, for every replica there, what ``decision`` says (shell)."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from cluster.archive import segment
from cluster.archive.chain import Chain
from cluster.archive.comparison import compare
from cluster.archive.damage import Damage
from cluster.archive.decision import Limits, Locate, Seal, Verify, decide
from cluster.archive.inventory import Inventory, inventory
from cluster.archive.keys import manifest_key, parse, segment_key
from cluster.archive.reading import check_manifest, read_manifest, read_segment, take_inventory
from cluster.archive.segment import MAX_SEGMENT_ENTRIES, Place, Segment
from cluster.archive.snapshots import Snapshots
from cluster.archive.store import ArchiveUnavailable, ObjectStore, names
from cluster.replication.messages import Entry
from cluster.routing.messages import Row
from cluster.worker import Worker

logger = logging.getLogger("cluster")

ROUND_SECONDS = 1.0
OPERATION_SECONDS = 60.0
"""A step of one group that takes longer is given up and tried again."""


class Source(Protocol):
    """A replica, as its archive agent sees it."""

    @property
    def place(self) -> Place:
        """Whose entries it holds."""
        ...

    @property
    def leads(self) -> bool:
        """Whether it leads its group now."""
        ...

    @property
    def first(self) -> int:
        """The lowest LSN in its log."""
        ...

    @property
    def committed(self) -> int:
        """Everything up to here is chosen."""
        ...

    def between(self, first: int, last: int) -> tuple[Entry, ...]:
        """Entries of its log, as far as held."""
        ...

    def rows(self) -> tuple[int, tuple[Row, ...]] | None:
        """All its rows, and the LSN that they are as of; None when it holds none (a log replica)."""
        ...


class Counts(Protocol):
    """Where the agent counts."""

    def segment_archived(self) -> None:
        """This replica archived a segment."""
        ...

    def mismatch(self) -> None:
        """The archive and this replica differ, or an archived object is damaged."""
        ...

    def gap(self) -> None:
        """Entries are missing in the archive that no replica seems to have."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveView:
    """One replica's archive, for metrics and people. ``oldest_age_seconds``: of the oldest entry that is committed and not archived."""

    group: str
    table: str
    partition: str
    archived: int
    unarchived_bytes: int
    oldest_age_seconds: float
    stopped: bool


class ArchiveAgent:
    """Runs beside the node until cancelled; :meth:`archived_lsn` says what the node may forget.

    ``stalled``: an installed fault keeps the archive from this node; ``resting``: the node is frozen. ``clock``: monotonic; ``wall``: UTC seconds.
    """

    def __init__(
        self,
        node: str,
        *,
        store: ObjectStore,
        worker: Worker,
        limits: Limits,
        snapshots: Snapshots,
        sources: Callable[[], Iterable[Source]],
        counts: Counts,
        clock: Callable[[], float],
        stalled: Callable[[], bool] = lambda: False,
        resting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._node, self._store, self._worker, self._limits = node, store, worker, limits
        self._snapshots, self._sources, self._counts = snapshots, sources, counts
        self._clock, self._stalled, self._resting = clock, stalled, resting
        self._chains: dict[str, Chain] = {}
        self._refused = False

    # --- for the node ---------------------------------------------------------------------------------------------------

    def archived_lsn(self, group: str) -> int:
        """Everything up to this LSN is archived and was verified by this replica: its log need not be kept for the archive."""
        chain = self._chains.get(group)
        return chain.archived if chain else 0

    def views(self) -> list[ArchiveView]:
        """Every replica here."""
        return [self._view(source) for source in self._sources()]

    def _view(self, source: Source) -> ArchiveView:
        chain = self._chain(source.place.group)
        oldest = chain.backlog.oldest_at
        return ArchiveView(
            group=source.place.group,
            table=source.place.table,
            partition=source.place.partition,
            archived=chain.archived,
            unarchived_bytes=chain.backlog.size,
            oldest_age_seconds=0.0 if oldest is None else self._clock() - oldest,
            stopped=chain.stopped,
        )

    def _chain(self, group: str) -> Chain:
        return self._chains.setdefault(group, Chain(group, self._limits))

    # --- running --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """A round a second until cancelled."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            if not self._resting():
                await self.round()

    async def round(self) -> None:
        """One step for every group; those that have gone are forgotten."""
        sources = list(self._sources())
        for gone in self._chains.keys() - {source.place.group for source in sources}:
            del self._chains[gone]
        for source in sources:
            self._chain(source.place.group).note(
                first=source.first, committed=source.committed, between=source.between, at=self._clock()
            )
        answers = True
        for source in sources:
            chain = self._chain(source.place.group)
            if answers:
                answers = await self._guarded(source, chain)
            else:
                chain.unavailable(self._clock())

    async def _guarded(self, source: Source, chain: Chain) -> bool:
        """One step; whether the archive answered, if it was asked."""
        try:
            async with asyncio.timeout(OPERATION_SECONDS):
                await self.step(source, chain)
        except (ArchiveUnavailable, TimeoutError) as error:
            chain.unavailable(self._clock())
            self._tell(str(error) or "the archive took too long")
            return False
        except Damage as damage:
            chain.mismatched(self._clock())
            self._counts.mismatch()
            logger.error(  # noqa: TRY400 - what is wrong is in the damage, not in the stack
                "%s stops truncating %s: %s", self._node, chain.group, damage
            )
        return True

    def _tell(self, problem: str | None) -> None:
        """Log once when the archive refuses, and once when it takes again."""
        if (problem is not None) is self._refused:
            return
        self._refused = problem is not None
        logger.warning("%s: %s", self._node, problem or "the archive takes segments again")

    async def step(self, source: Source, chain: Chain) -> None:
        """Decide, and do it; raises what the archive raises, and :class:`Damage`."""
        view = chain.view(leads=source.leads, first=source.first, committed=source.committed, between=source.between)
        decision = decide(view, self._limits, self._clock())
        if isinstance(decision, Locate | Seal | Verify) and self._stalled():
            raise ArchiveUnavailable("a fault keeps the archive away")
        match decision:
            case Locate(first):
                await self._locate(chain, first)
            case Seal(first, last):
                await self._seal(source, chain, first, last)
            case Verify(key):
                await self._verify(source, chain, key)
            case _:
                return
        self._tell(None)

    # --- the three things to do -----------------------------------------------------------------------------------------

    async def _locate(self, chain: Chain, first: int) -> None:
        window = segment_key(chain.group, max(0, first - MAX_SEGMENT_ENTRIES))
        found = inventory(chain.group, await names(self._store, f"{chain.group}/", window))
        if found.segment_with(first) is None:
            found = await take_inventory(self._store, chain.group)
        begins = found.segment_with(first)
        position = 0 if begins is None else begins - 1
        chain.located(position, first=first, ceiling=found.next_segment(max(first, position + 1)))

    async def _seal(self, source: Source, chain: Chain, first: int, last: int) -> None:
        if not source.leads:
            last = await self._below_later_segments(chain, first, last)
        entries = source.between(first, last)
        place = source.place
        data = await self._worker.run(lambda: segment.encode(place, entries))
        key = segment_key(chain.group, first)
        if not await self._store.put_if_absent(key, data):
            chain.taken()
            return
        chain.taken()  # should the manifest fail, the next step verifies the segment and writes it
        await self._store.put_if_absent(manifest_key(key), _manifest(Segment(place=place, entries=entries), data))
        chain.advanced(last)
        self._counts.segment_archived()
        logger.info("%s archived %s: LSN %d to %d, %d bytes", self._node, chain.group, first, last, len(data))
        if source.leads:
            await self._take_snapshot(chain, last)

    async def _take_snapshot(self, chain: Chain, last: int) -> None:
        """A damaged archive is told of; it is no reason to keep the log: what is in it was verified when it was archived."""
        try:
            await self._snapshots.after_segment(self._store, chain.group, chain.sealed, last)
        except Damage as damage:
            self._counts.mismatch()
            logger.error("%s cannot rebuild %s: %s", self._node, chain.group, damage)  # noqa: TRY400

    async def _below_later_segments(self, chain: Chain, first: int, last: int) -> int:
        """A follower that was away takes over only up to where the chain may have gone on without it."""
        later = inventory(chain.group, await self._store.list(f"{chain.group}/", after=segment_key(chain.group, first)))
        following = later.next_segment(first)
        return last if following is None else min(last, following - 1)

    async def _verify(self, source: Source, chain: Chain, key: str) -> None:
        wanted = parse(key)
        assert wanted is not None, key
        read = await read_segment(self._store, chain.group, wanted.lsn, self._worker)
        if read is None:
            await self._absent(source, chain, held=source.first <= wanted.lsn)
            return
        found, data = read
        if found.last > source.committed:
            chain.behind(self._clock())
            return
        compare(found, source.between(found.first, found.last), key=key)
        await self._complete(key, found, data)
        chain.advanced(found.last)

    async def _complete(self, key: str, found: Segment, data: bytes) -> None:
        """The manifest is there and right: whoever archived the segment may have died before writing it."""
        manifest = await read_manifest(self._store, key)
        if manifest is None:
            await self._store.put_if_absent(manifest_key(key), _manifest(found, data))
        else:
            check_manifest(manifest, segment.manifest(found, data), key=key)

    async def _absent(self, source: Source, chain: Chain, *, held: bool) -> None:
        if not chain.absent(held=held, at=self._clock()):
            return
        found = await take_inventory(self._store, chain.group)
        if not chain.gap:
            chain.gap = True
            self._counts.gap()
            logger.error(
                "%s: LSN %d and on of %s is not archived, and no longer in the log here",
                self._node,
                chain.archived + 1,
                chain.group,
            )
        await self._go_on_after_gap(source, chain, found)

    async def _go_on_after_gap(self, source: Source, chain: Chain, found: Inventory) -> None:
        """Behind a hole the chain goes on with a snapshot of the live rows: times within the hole cannot be restored."""
        beyond = found.beyond_hole(chain.archived)
        if beyond is None and source.leads and (held := source.rows()) is not None:
            beyond, rows = held
            await self._snapshots.bridge(self._store, source.place, beyond, rows)
            logger.error("%s bridges the hole in %s by a snapshot of LSN %d", self._node, chain.group, beyond)
        if beyond is not None:
            chain.located(beyond, first=source.first, ceiling=None)


def _manifest(found: Segment, data: bytes) -> bytes:
    return segment.encode_manifest(segment.manifest(found, data))
