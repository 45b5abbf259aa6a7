"""The journal of operators' actions in the judgement's file: who did what, when, and after which entry (shell)."""

import sqlite3

import msgspec

from cfa.operators import Action, Recorded

SCHEMA = """
CREATE TABLE IF NOT EXISTS actions (
    number INTEGER PRIMARY KEY, after INTEGER NOT NULL, at REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tables_placed (number INTEGER PRIMARY KEY, at REAL NOT NULL);
"""


class ActionRows:
    """The part of :class:`cfa.state.StateStore` that keeps actions; blocking, called on the store's thread."""

    _db: sqlite3.Connection

    def _keep_actions(self, actions: tuple[Recorded, ...]) -> None:
        rows = [(one.number, one.after, one.at, msgspec.json.encode(one.action)) for one in actions]
        self._db.executemany("INSERT OR IGNORE INTO actions VALUES (?, ?, ?, ?)", rows)

    def _place(self, placed: tuple[tuple[int, float], ...]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO tables_placed VALUES (?, ?)", placed)

    def tables_placed(self, number: int) -> tuple[list[tuple[int, float]], float]:
        """After which tick the lane of tables took the actions after the ``number``-th; and the last tick that it committed."""
        rows = self._db.execute("SELECT number, at FROM tables_placed WHERE number > ? ORDER BY number", (number,))
        reached = self._db.execute("SELECT value FROM meta WHERE key = 'tables_at'").fetchone()
        return [(n, at) for n, at in rows], 0.0 if reached is None else float(reached[0])

    def actions_after(self, number: int, limit: int = 1_000_000) -> list[Recorded]:
        """What was done after the ``number``-th action, in order."""
        rows = self._db.execute(
            "SELECT number, after, at, body FROM actions WHERE number > ? ORDER BY number LIMIT ?", (number, limit)
        )
        return [_recorded(row) for row in rows]

    def newest_actions(self, since: float, limit: int = 1_000) -> list[Recorded]:
        """What was done since, newest first."""
        rows = self._db.execute(
            "SELECT number, after, at, body FROM actions WHERE at >= ? ORDER BY number DESC LIMIT ?", (since, limit)
        )
        return [_recorded(row) for row in rows]

    def _place_actions_first(self) -> None:
        """The ledger is another one: what was done comes before its first entry."""
        self._db.execute("UPDATE actions SET after = 0")


def _recorded(row: tuple[int, int, float, bytes]) -> Recorded:
    number, after, at, body = row
    return Recorded(number=number, after=after, at=at, action=msgspec.json.decode(body, type=Action))
