"""Objects of the archive, downloaded and checked; a group's rows rebuilt from them (shell)."""

import hashlib
from collections.abc import AsyncIterator

from cluster.archive import segment, snapshot
from cluster.archive.damage import Gap, ManifestWrong, Truncated
from cluster.archive.inventory import Inventory, inventory
from cluster.archive.keys import manifest_key, segment_key, snapshot_key
from cluster.archive.reference import LATEST, Reference, Until
from cluster.archive.segment import Manifest, Segment
from cluster.archive.snapshot import Snapshot
from cluster.archive.store import ObjectStore, names
from cluster.worker import Worker


async def take_inventory(store: ObjectStore, group: str) -> Inventory:
    """Everything that is archived of ``group``, by name."""
    return inventory(group, await names(store, f"{group}/"))


async def read_segment(store: ObjectStore, group: str, first: int, worker: Worker) -> tuple[Segment, bytes] | None:
    """A segment and its bytes, checked; None when it is not there. Raises :class:`Damage`."""
    key = segment_key(group, first)
    data = await store.get(key)
    if data is None:
        return None
    found = await worker.run(lambda: segment.decode(data, group=group, key=key))
    if found.first != first:
        raise Gap(f"it begins with LSN {found.first}", key=key, lsn=found.first)
    return found, data


async def read_snapshot(store: ObjectStore, group: str, lsn: int, worker: Worker) -> tuple[Snapshot, bytes] | None:
    """A snapshot and its bytes, checked; None when it is not there. Raises :class:`Damage`."""
    key = snapshot_key(group, lsn)
    data = await store.get(key)
    if data is None:
        return None
    found = await worker.run(lambda: snapshot.decode(data, group=group, key=key))
    if found.lsn != lsn:
        raise Gap(f"it is of LSN {found.lsn}", key=key, lsn=found.lsn)
    return found, data


async def read_manifest(store: ObjectStore, key: str) -> Manifest | None:
    """The manifest of the object ``key``; None when there is none. Raises :class:`ManifestWrong`."""
    name = manifest_key(key)
    data = await store.get(name)
    return None if data is None else segment.decode_manifest(data, key=name)


def check_manifest(manifest: Manifest, expected: Manifest, *, key: str) -> None:
    """Raise :class:`ManifestWrong` unless ``manifest`` is what the object itself says."""
    if manifest != expected:
        raise ManifestWrong("it does not describe its object", key=manifest_key(key))


async def rebuild(store: ObjectStore, group: str, worker: Worker, until: Until = LATEST) -> Reference:
    """A group's rows from the archive alone, from the nearest snapshot on.

    When the archive does not reach ``until``, the reference says so (``complete``, ``lsn``). Raises :class:`Damage` (a hole, a wrong
    checksum) and :class:`ArchiveUnavailable`.
    """
    found = await take_inventory(store, group)
    reference = await _nearest_snapshot(store, found, worker, until) or Reference(group)
    reference.complete = until.lsn is not None and reference.lsn >= until.lsn
    if reference.complete:
        return reference
    async for following in _segments(store, found, reference, worker):
        await worker.run(lambda part=following: _fold(reference, part, until))  # type: ignore[misc]
        if reference.complete:
            break
    return reference


def _fold(reference: Reference, part: Segment, until: Until) -> None:
    if part.last <= reference.lsn:
        return
    if part.first > reference.lsn + 1:
        key = segment_key(part.place.group, part.first)
        raise Gap(f"nothing is archived from LSN {reference.lsn + 1} on", key=key, lsn=reference.lsn + 1)
    reference.place = reference.place or part.place
    reference.fold(part.entries, until)


async def _segments(
    store: ObjectStore, found: Inventory, reference: Reference, worker: Worker
) -> AsyncIterator[Segment]:
    for first in found.segments_from(reference.lsn + 1):
        read = await read_segment(store, found.group, first, worker)
        if read is None:
            raise Truncated("it was listed and is gone", key=segment_key(found.group, first), lsn=first)
        yield read[0]


async def _nearest_snapshot(store: ObjectStore, found: Inventory, worker: Worker, until: Until) -> Reference | None:
    for lsn in reversed(found.snapshots):
        if until.lsn is not None and lsn > until.lsn:
            continue
        key = snapshot_key(found.group, lsn)
        manifest = await read_manifest(store, key)
        if manifest is None or (until.at is not None and (manifest.last_at or 0.0) > until.at):
            continue
        read = await read_snapshot(store, found.group, lsn, worker)
        if read is None:
            continue
        sound, data = read
        if hashlib.sha256(data).hexdigest() != manifest.sha256:
            raise ManifestWrong("it does not describe its object", key=manifest_key(key))
        return Reference.of(sound)
    return None
