"""Writing snapshots of the reference now and then, and removing what has had its time (shell)."""

import logging
from collections.abc import Callable

from cluster.archive import inventory, segment, snapshot
from cluster.archive.keys import manifest_key, snapshot_key
from cluster.archive.reading import read_manifest, rebuild, take_inventory
from cluster.archive.reference import Until
from cluster.archive.segment import Place
from cluster.archive.snapshot import Snapshot
from cluster.archive.store import ObjectStore, names
from cluster.routing.messages import Row
from cluster.worker import Worker

logger = logging.getLogger("cluster")

DAY_SECONDS = 86_400.0


class Snapshots:
    """``every``: segments between two snapshots; ``retention_days``: how far back a restore must be possible (None: for ever)."""

    def __init__(self, worker: Worker, *, every: int, retention_days: float | None, wall: Callable[[], float]) -> None:
        self._worker, self._every, self._retention_days, self._wall = worker, every, retention_days, wall

    async def after_segment(self, store: ObjectStore, group: str, sealed: int, last: int) -> None:
        """The leader has archived up to ``last``, its ``sealed``-th segment: write a snapshot when it is time."""
        if sealed % self._every:
            return
        reference = await rebuild(store, group, self._worker, Until(lsn=last))
        if reference.lsn == last:
            await self._write(store, reference.snapshot())
            logger.info("archived a snapshot of %s: %d rows at LSN %d", group, len(reference.rows), last)
        await self.expire(store, group)

    async def bridge(self, store: ObjectStore, place: Place, lsn: int, rows: tuple[Row, ...]) -> None:
        """Archive the live rows of a leader as the point from which the chain goes on."""
        await self._write(store, Snapshot(place=place, lsn=lsn, at=self._wall(), rows=rows))

    async def _write(self, store: ObjectStore, made: Snapshot) -> None:
        data = await self._worker.run(lambda: snapshot.encode(made))
        key = snapshot_key(made.place.group, made.lsn)
        if await store.put_if_absent(key, data):
            described = segment.encode_manifest(snapshot.manifest(made, data))
            await store.put_if_absent(manifest_key(key), described)

    async def expire(self, store: ObjectStore, group: str) -> int:
        """Remove what no restore within the retention needs; how many objects."""
        if self._retention_days is None:
            return 0
        horizon = self._wall() - self._retention_days * DAY_SECONDS
        found = await take_inventory(store, group)
        base = await self._last_snapshot_before(store, found, horizon)
        if base is None:
            return 0
        gone = inventory.expired(found, base, await names(store, f"{group}/"))
        for name in gone:
            await store.delete(name)
        return len(gone)

    async def _last_snapshot_before(self, store: ObjectStore, found: inventory.Inventory, horizon: float) -> int | None:
        for lsn in reversed(found.snapshots):
            manifest = await read_manifest(store, snapshot_key(found.group, lsn))
            if manifest is not None and (manifest.last_at or 0.0) <= horizon:
                return lsn
        return None
