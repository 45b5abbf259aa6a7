"""All rows of a group as of one moment, read in pieces beside the writer: what scrub digests and healing copies (shell)."""

from dataclasses import dataclass
from typing import Any, cast

from cluster.disk import Disk
from cluster.routing.messages import Row
from cluster.storage.rows import DAMAGE, PAGE_BYTES, Position, place_of, rows_after, size_of, sound
from cluster.storage.table_file import TableDamaged


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sound rows in ring order, the places of those that do not match their checksums, and where to go on (None: the end)."""

    rows: tuple[Row, ...]
    damaged: tuple[Position, ...]
    next_after: Position | None


class SnapshotReader:
    """Sees the table as of its last commit before the reader was made. Blocks; for one thread at a time.

    Close it soon: SQLite's log cannot begin anew while somebody reads an old state.
    """

    def __init__(self, disk: Disk, file: str) -> None:
        self._db = cast("Any", disk.reader(file))
        try:
            self._db.execute("PRAGMA query_only=ON").fetchall()
            self._db.execute("BEGIN")
            found = self._db.execute("SELECT name, id, applied FROM groups").fetchall()
        except DAMAGE as error:
            self._db.close()
            raise TableDamaged(str(error)) from error
        self._ids = {name: number for name, number, _ in found}
        self.applied: dict[str, int] = {name: applied for name, _, applied in found}
        """The LSN as of which each group's rows are."""

    def chunk(self, group: str, after: Position | None = None, limit_bytes: int = PAGE_BYTES) -> Chunk:
        """The next rows of ``group`` after a position, about ``limit_bytes`` of them; raises :class:`TableDamaged`."""
        rows: list[Row] = []
        damaged: list[Position] = []
        size, place = 0, after
        try:
            for row in rows_after(self._db, self._ids[group], after):
                if size >= limit_bytes:
                    return Chunk(tuple(rows), tuple(damaged), place)
                place = (row.hash, row.partition_key, row.sort_key)
                size += size_of(row)
                if sound(row):
                    rows.append(row)
                else:
                    damaged.append(place)
        except DAMAGE as error:
            raise TableDamaged(str(error)) from error
        return Chunk(tuple(rows), tuple(damaged), None)

    def rows(
        self, group: str, after: Position | None, limit_bytes: int = PAGE_BYTES
    ) -> tuple[tuple[Row, ...], Position | None]:
        """As :meth:`chunk`, but rows as they are stored, sound or not; none of a group that is not here."""
        found: list[Row] = []
        size = 0
        try:
            for row in rows_after(self._db, self._ids.get(group, -1), after):
                if size >= limit_bytes:
                    return tuple(found), place_of(found[-1])
                found.append(row)
                size += size_of(row)
        except DAMAGE as error:
            raise TableDamaged(str(error)) from error
        return tuple(found), None

    def close(self) -> None:
        """Let the log go on."""
        self._db.close()
