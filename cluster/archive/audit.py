"""Is the archive whole? Every object of every group, its checksums, its manifest, and no hole between them (shell)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.archive import segment, snapshot
from cluster.archive.damage import Damage, Gap, ManifestWrong, Mismatch, Truncated
from cluster.archive.inventory import Inventory, groups
from cluster.archive.keys import manifest_key, segment_key, snapshot_key
from cluster.archive.reading import check_manifest, read_manifest, read_segment, read_snapshot, take_inventory
from cluster.archive.reference import Reference
from cluster.archive.segment import Manifest, Segment
from cluster.archive.snapshot import Snapshot
from cluster.archive.store import ObjectStore, names
from cluster.worker import Worker


@dataclass(slots=True)
class GroupAudit:
    """What one group's folder holds, and what is wrong with it. Times: UTC seconds, None when nothing in it has a time."""

    group: str
    table: str = ""
    partition: str = ""
    segments: int = 0
    snapshots: int = 0
    entries: int = 0
    size: int = 0
    first: int = 0
    last: int = 0
    first_at: float | None = None
    last_at: float | None = None
    findings: list[Damage] = field(default_factory=list)

    def add(self, manifest: Manifest) -> None:
        """Count a segment in."""
        self.table, self.partition = manifest.table, manifest.partition
        self.segments += 1
        self.entries += manifest.count
        self.size += manifest.size
        self.first = min(self.first, manifest.first) if self.first else manifest.first
        self.last = max(self.last, manifest.last)
        self.first_at = _earlier(self.first_at, manifest.first_at)
        self.last_at = _later(self.last_at, manifest.last_at)


def _earlier(a: float | None, b: float | None) -> float | None:
    return min((at for at in (a, b) if at is not None), default=None)


def _later(a: float | None, b: float | None) -> float | None:
    return max((at for at in (a, b) if at is not None), default=None)


async def archived_groups(store: ObjectStore) -> tuple[str, ...]:
    """All groups that have objects."""
    return groups(await names(store, ""))


async def summarize(store: ObjectStore, group: str) -> GroupAudit:
    """What is there, by the manifests alone; an object without one counts as a finding."""
    found = await take_inventory(store, group)
    audit = GroupAudit(group, snapshots=len(found.snapshots))
    for first in found.segments:
        key = segment_key(group, first)
        try:
            manifest = await read_manifest(store, key)
        except ManifestWrong as damage:
            audit.findings.append(damage)
            continue
        if manifest is not None:
            audit.add(manifest)
        elif first != found.segments[-1]:  # the newest one's may be on its way
            audit.findings.append(ManifestWrong("it is missing", key=manifest_key(key)))
    return audit


async def verify(
    store: ObjectStore, group: str, worker: Worker, progress: Callable[[str], None] = lambda _: None
) -> GroupAudit:
    """Every object of ``group`` is read; a snapshot must be what the segments before it make. Raises ArchiveUnavailable."""
    found = await take_inventory(store, group)
    audit = GroupAudit(group, snapshots=len(found.snapshots))
    check = _Check(store, found, worker, audit)
    for first in found.segments:
        progress(segment_key(group, first))
        await check.snapshots_before(first)
        await check.segment(first)
    await check.snapshots_before(None)
    return audit


class _Check:
    """The chain so far: the rows that it makes (None after a finding: nothing can be compared with them any more)."""

    def __init__(self, store: ObjectStore, found: Inventory, worker: Worker, audit: GroupAudit) -> None:
        self._store, self._found, self._worker, self._audit = store, found, worker, audit
        self._reference: Reference | None = Reference(found.group)
        self._covered: int | None = 0
        """The chain is whole up to here; None after an object that could not be read: what it held is not known."""
        self._waiting = list(found.snapshots)

    async def segment(self, first: int) -> None:
        """One segment and its manifest."""
        key = segment_key(self._found.group, first)
        try:
            read = await read_segment(self._store, self._found.group, first, self._worker)
            if read is None:
                raise Truncated("it was listed and is gone", key=key, lsn=first)
        except Damage as damage:
            self._covered = None
            self._found_wrong(damage)
            return
        sound, data = read
        described = segment.manifest(sound, data)
        self._audit.add(described)
        self._follow(sound, key)
        try:
            await self._manifest(key, described, newest=first == self._found.segments[-1])
        except Damage as damage:
            self._audit.findings.append(damage)

    def _follow(self, sound: Segment, key: str) -> None:
        missing = sound.first if self._covered is None else self._covered + 1
        self._covered = max(self._covered or 0, sound.last)
        if sound.first > missing:
            self._found_wrong(Gap(f"nothing is archived from LSN {missing} to {sound.first - 1}", key=key, lsn=missing))
        if self._reference is not None:
            self._reference.place = self._reference.place or sound.place
            self._reference.fold(sound.entries)

    def _found_wrong(self, damage: Damage) -> None:
        self._audit.findings.append(damage)
        self._reference = None

    async def _manifest(self, key: str, described: Manifest, *, newest: bool = False) -> None:
        manifest = await read_manifest(self._store, key)
        if manifest is not None:
            check_manifest(manifest, described, key=key)
        elif not newest:  # the newest object's may be on its way
            self._audit.findings.append(ManifestWrong("it is missing", key=manifest_key(key)))

    async def snapshots_before(self, first: int | None) -> None:
        """The snapshots that come before the segment that begins with ``first`` (None: all that are left)."""
        while self._waiting and (first is None or self._waiting[0] < first):
            await self._snapshot(self._waiting.pop(0))

    async def _snapshot(self, lsn: int) -> None:
        key = snapshot_key(self._found.group, lsn)
        try:
            read = await read_snapshot(self._store, self._found.group, lsn, self._worker)
            if read is None:
                raise Truncated("it was listed and is gone", key=key, lsn=lsn)
            sound, data = read
            await self._manifest(key, snapshot.manifest(sound, data))
        except Damage as damage:
            self._audit.findings.append(damage)
            return
        self._compare(sound, key)

    def _compare(self, sound: Snapshot, key: str) -> None:
        reference = self._reference
        if reference is not None and reference.lsn == sound.lsn and reference.ordered() != sound.rows:
            self._audit.findings.append(Mismatch("the segments before it make other rows", key=key, lsn=sound.lsn))
        if reference is None or reference.lsn < sound.lsn:
            self._begin_with(sound)

    def _begin_with(self, sound: Snapshot) -> None:
        """Retention has removed what was before, or there is a hole: the chain goes on from here."""
        if self._audit.segments and self._covered is not None and self._covered < sound.lsn:
            self._audit.findings.append(
                Gap(
                    f"LSN {self._covered + 1} to {sound.lsn} were never archived",
                    lsn=self._covered + 1,
                    key=snapshot_key(self._found.group, sound.lsn),
                )
            )
        self._reference = Reference.of(sound)
        self._covered = max(self._covered or 0, sound.lsn)
