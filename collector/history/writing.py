"""Sealed intervals become Parquet files; each is read back before its manifest is written, and the manifest is last (shell)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from collector.columns import Table
from collector.history import arrow, layout
from collector.history.arrow import Dimensions, Slice
from collector.history.manifest import Manifest, Part, SealedVersion
from collector.history.store import HistoryUnavailable, Store


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A sealed version to write; the first column of ``table`` is a series number."""

    start: int
    version: int
    sealed_at: float
    cause: str
    table: Table


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the ledger's chain of manifests the next one comes: its serial number and the digest of the one before."""

    ledger: str
    serial: int
    previous: str


class HistoryWriter:
    """Writes one ledger's files. Methods block for as long as the store takes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write_hour(
        self, place: Place, hour: int, number: int, sealed: Sequence[SealedTable], dimensions: Dimensions, *, at: float
    ) -> Manifest:
        """Files of versions of one hour's intervals; raises :class:`HistoryUnavailable`, and then nothing is there that counts."""
        ordered = sorted(sealed, key=lambda one: (one.start, one.version))
        slices = [Slice(one.start, one.version, one.table) for one in ordered]
        stem = layout.hour_stem(hour, place.ledger, number)
        parts = [
            self._put("intervals", layout.intervals(hour, zone, stem), table, arrow.INTERVAL_GROUP_ROWS)
            for zone, table in arrow.interval_tables(dimensions, place.ledger, slices).items()
        ]
        for kind in layout.ROLLUPS:
            table = arrow.rollup_table(dimensions, place.ledger, kind, slices)
            parts.append(self._put(kind, layout.hourly(kind, hour, stem), table, arrow.ROLLUP_GROUP_ROWS))
        versions = tuple(
            SealedVersion(one.start, one.version, one.sealed_at, one.cause, one.table.shape[1]) for one in ordered
        )
        path = layout.hour_manifest(hour, place.ledger, number)
        return self._finish(path, place, hour, layout.HOUR_SECONDS, number, versions, parts, at)

    def write_day(
        self,
        place: Place,
        day: int,
        number: int,
        versions: Sequence[SealedVersion],
        rollups: dict[str, pa.Table],
        *,
        at: float,
    ) -> Manifest:
        """A day's roll-ups, already added up (:meth:`collector.history.reading.History.day_rollups`)."""
        parts = [
            self._put(kind, layout.daily(kind, day, place.ledger, number), table, arrow.ROLLUP_GROUP_ROWS)
            for kind, table in rollups.items()
        ]
        path = layout.day_manifest(day, place.ledger, number)
        return self._finish(path, place, day, layout.DAY_SECONDS, number, tuple(versions), parts, at)

    def _put(self, kind: str, path: str, table: pa.Table, group_rows: int) -> Part:
        data = arrow.encode(table, group_rows=group_rows)
        digest = hashlib.sha256(data).hexdigest()
        self._store.write(path, data)
        if hashlib.sha256(self._store.read(path)).hexdigest() != digest:
            raise HistoryUnavailable(f"{self._store.address}: {path} came back different from what was written")
        return Part(path=path, kind=kind, bytes=len(data), sha256=digest, rows=table.num_rows, sums=arrow.sums(table))

    def _finish(  # noqa: PLR0917
        self,
        path: str,
        place: Place,
        start: int,
        seconds: int,
        number: int,
        versions: tuple[SealedVersion, ...],
        parts: list[Part],
        at: float,
    ) -> Manifest:
        manifest = Manifest(
            ledger=place.ledger,
            serial=place.serial,
            previous=place.previous,
            start=start,
            seconds=seconds,
            number=number,
            written_at=at,
            versions=versions,
            parts=tuple(parts),
        ).signed()
        self._store.write(path, manifest.encode())
        return manifest
