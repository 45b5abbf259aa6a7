"""A snapshot: a group's rows as of an LSN, so that a rebuild does not replay the log from inception for ever (pure)."""

import hashlib
from collections.abc import Sequence

import msgspec

from cluster.archive import framing
from cluster.archive.damage import ChecksumWrong, Damage, ForeignEntry, ForeignGroup
from cluster.archive.segment import FORMAT, Manifest, Place
from cluster.routing.messages import Row
from cluster.storage.records import item_checksum


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the order of the ring as of ``lsn``; ``at``: UTC seconds of the latest change up to there (0.0: none known)."""

    place: Place
    lsn: int
    at: float
    rows: tuple[Row, ...]


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    kind: str
    place: Place
    lsn: int
    at: float


_encode = msgspec.msgpack.Encoder().encode
_header = msgspec.msgpack.Decoder(_Header)
_row = msgspec.msgpack.Decoder(Row)


def encode(snapshot: Snapshot) -> bytes:
    """The object that holds ``snapshot``; raises :class:`Damage` when a row is damaged or foreign."""
    _check(snapshot.place, snapshot.rows)
    header = _Header(format=FORMAT, kind="snapshot", place=snapshot.place, lsn=snapshot.lsn, at=snapshot.at)
    return framing.seal(_encode(header), map(_encode, snapshot.rows))


def decode(data: bytes, *, group: str, key: str | None = None) -> Snapshot:
    """The snapshot in ``data``, all of it checked; raises :class:`Damage` that names ``key``."""
    try:
        return _decode(data, group)
    except Damage as damage:
        damage.key = damage.key or key
        raise


def _decode(data: bytes, group: str) -> Snapshot:
    raw, records = framing.unseal(data)
    try:
        header = _header.decode(raw)
        rows = tuple(map(_row.decode, records))
    except msgspec.MsgspecError as error:
        raise ChecksumWrong(f"sound bytes that are no snapshot: {error}") from error
    if header.format != FORMAT or header.kind != "snapshot":
        raise ChecksumWrong(f"a {header.kind} of format {header.format}, not a snapshot of format {FORMAT}")
    if header.place.group != group:
        raise ForeignGroup(f"it belongs to {header.place.group}", lsn=header.lsn)
    _check(header.place, rows)
    return Snapshot(place=header.place, lsn=header.lsn, at=header.at, rows=rows)


def _check(place: Place, rows: Sequence[Row]) -> None:
    for row in rows:
        if not place.holds(row.hash):
            raise ForeignEntry(f"a row at {row.hash} of the ring is not of {place.group}", lsn=row.lsn)
        if item_checksum(row.partition_key, row.sort_key, row.body, row.lsn) != row.checksum:
            raise ChecksumWrong("a row does not match its checksum", lsn=row.lsn)


def manifest(snapshot: Snapshot, data: bytes) -> Manifest:
    """What ``data``, which holds ``snapshot``, is described by."""
    return Manifest(
        kind="snapshot",
        **msgspec.structs.asdict(snapshot.place),
        first=snapshot.lsn,
        last=snapshot.lsn,
        last_at=snapshot.at,
        count=len(snapshot.rows),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
