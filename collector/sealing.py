"""Intervals that are over become versions: the first, then one more for late data and for each exclusion (shell)."""

import json
import sqlite3
from collections.abc import Iterable

import numpy as np

from collector import columns
from collector.columns import RECUSED, Table
from collector.exclusion import Exclusion, apply, excluded_ids, in_force
from collector.interval import INTERVAL_SECONDS
from collector.naming import Names

FIRST, LATE, EMPTY, EXCLUSION, RESTORED = "first", "late", "empty", "exclusion", "restored"
"""Why a version was made."""

_KNOWN = "SELECT start, version FROM sealed WHERE start = ?1 UNION SELECT start, version FROM exports WHERE start = ?1"
_SEALED = "SELECT start FROM sealed WHERE start {0} UNION SELECT start FROM exports WHERE start {0}"
_GAPS = (
    f"SELECT start, next FROM (SELECT start, lead(start) OVER (ORDER BY start) AS next FROM ({_SEALED.format('>= ?1')}))"  # noqa: S608
    f" WHERE next - start > {INTERVAL_SECONDS}"
)


class Sealing:
    """What :class:`collector.ledger.Ledger` does with intervals that are over. Every method wants to be within a transaction."""

    def __init__(self, database: sqlite3.Connection, names: Names) -> None:
        self._query = database.execute
        self._names = names
        self._exclusions = in_force(read_exclusions(database))

    def due(self, latest: float, *, reopened: bool) -> list[tuple[int, int, str]]:
        """``(start, next version, cause)`` of intervals that begin no later than ``latest`` and have something to seal.

        One whose newest version only the history has is left out until it is back (:meth:`absent`).
        """
        late = dict.fromkeys(self._waiting(latest), LATE)
        asked = self._query("SELECT start, cause FROM reopened WHERE start <= ?", (latest,)).fetchall()
        found = []
        for start, cause in sorted({**dict(asked), **late}.items()):
            version = self.newest(start) + 1
            if version == 1:
                found.append((start, version, FIRST))
            elif (reopened or (start, cause) in asked) and self._is_here(start, version - 1):
                found.append((start, version, cause))
        return found

    def _waiting(self, latest: float) -> list[int]:
        """The starts that have rows, by leaps over the index: a full scan would read every row."""
        starts: list[int] = []
        after = -1
        while True:
            query = "SELECT min(start) FROM running WHERE start > ? AND start <= ?"
            (start,) = self._query(query, (after, latest)).fetchone()
            if start is None:
                return starts
            starts.append(start)
            after = start

    def newest(self, start: int) -> int:
        """The newest version of the interval, here or in the history; 0 when there is none."""
        return max((version for _, version in self._query(_KNOWN, (start,))), default=0)

    def seal(self, start: int, version: int, at: float, cause: str) -> None:
        """Make ``version``: what was known before, with what has come, and with what is excluded under its flag."""
        parts = [_unflagged(columns.unpack_table(body)) for body in self._bodies(start, version - 1)]
        table = columns.total([*parts, self._running(start)])
        numbers = np.unique(table[0]).tolist()
        table = apply(table, excluded_ids(self._exclusions, start, self._names.some(numbers)))
        self.put(start, version, at, cause, table)
        for one in ("running", "reopened"):
            self._query(f"DELETE FROM {one} WHERE start = ?", (start,))  # noqa: S608

    def put(self, start: int, version: int, at: float, cause: str, table: Table) -> None:
        """Write a version down."""
        short = columns.regroup(table, self._names.summarised())
        row = (start, version, at, columns.pack_table(short), columns.pack_table(table), cause)
        self._query("INSERT INTO sealed VALUES (?, ?, ?, ?, ?, ?)", row)

    def _bodies(self, start: int, before: int) -> list[bytes]:
        sealed = self._query("SELECT body FROM sealed WHERE start = ? AND version = ?", (start, before)).fetchall()
        assert sealed or not before, "restored first"
        return [body for (body,) in sealed]

    def _running(self, start: int) -> Table:
        rows = self._query("SELECT * FROM running WHERE start = ?", (start,)).fetchall()
        return np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, columns.COLUMNS).T

    def absent(self) -> list[tuple[int, int]]:
        """``(start, version)`` of intervals that need a next version, and whose newest one is in the history only."""
        asked = {start for (start,) in self._query("SELECT start FROM reopened").fetchall()}
        newest = [(start, self.newest(start)) for start in sorted(asked.union(self._waiting(2.0**62)))]
        return [one for one in newest if one[1] and not self._is_here(*one)]

    def _is_here(self, start: int, version: int) -> bool:
        query = "SELECT 1 FROM sealed WHERE start = ? AND version = ?"
        return self._query(query, (start, version)).fetchone() is not None

    def fill_gaps(self, since: int, at: float, most: int) -> int:
        """A sealed interval at or after ``since`` may have missing ones before or after it: they are sealed as empty; how many.

        So an interval of which nothing was heard is known to be so, and not forgotten.
        """
        (before,) = self._query(f"SELECT max(start) FROM ({_SEALED.format('< ?1')})", (since,)).fetchone()  # noqa: S608
        filled = 0
        for start, following in self._query(_GAPS, (since if before is None else before,)).fetchall():
            for missing in range(start + INTERVAL_SECONDS, following, INTERVAL_SECONDS):
                if filled == most:
                    return filled
                if not self._is_waiting(missing):
                    self.put(missing, 1, at, EMPTY, columns.total([]))
                    filled += 1
        return filled

    def _is_waiting(self, start: int) -> bool:
        return self._query("SELECT 1 FROM running WHERE start = ? LIMIT 1", (start,)).fetchone() is not None

    def exclude(self, statement: Exclusion) -> int:
        """Write the statement down and reopen what it touches; its number. Raises ValueError for an undoing of nothing."""
        if statement.undoes is not None and statement.undoes not in {one.id for one in self._exclusions}:
            raise ValueError(f"there is no exclusion {statement.undoes} in force")
        place = json.dumps(dict(statement.where))
        row = (
            statement.start,
            statement.end,
            place,
            statement.reason,
            statement.who,
            statement.made_at,
            statement.undoes,
        )
        number = self._query("INSERT INTO exclusions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row).lastrowid
        assert number is not None
        self._query(
            "INSERT OR REPLACE INTO reopened SELECT start, ? FROM (SELECT start FROM sealed WHERE start BETWEEN ?2 AND ?3"
            " UNION SELECT start FROM exports WHERE start BETWEEN ?2 AND ?3)",
            (f"{EXCLUSION} {number}", statement.first, statement.last),
        )
        self._exclusions = in_force(_exclusions(self._query("SELECT * FROM exclusions ORDER BY id").fetchall()))
        return number


def _unflagged(table: Table) -> Table:
    """What was excluded is decided anew for each version."""
    table = table.copy()
    table[1] &= RECUSED
    return table


def read_exclusions(database: sqlite3.Connection) -> list[Exclusion]:
    """Every statement, oldest first."""
    return _exclusions(database.execute("SELECT * FROM exclusions ORDER BY id").fetchall())


def _exclusions(rows: Iterable[tuple[int, float, float, str, str, str, float, int | None]]) -> list[Exclusion]:
    return [
        Exclusion(
            id=number,
            start=start,
            end=until,
            where=tuple(sorted(json.loads(place).items())),
            reason=reason,
            who=who,
            made_at=made_at,
            undoes=undoes,
        )
        for number, start, until, place, reason, who, made_at, undoes in rows
    ]
