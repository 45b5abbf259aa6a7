"""What changed in the judgement's file, row by row, so that a second judgement can have the same file (shell).

Triggers note the key of every row that is written; the row itself is read when it is asked for, so that the notes never
hold more than one line for each row. All tables are followed, whoever made them, as long as they have a key of one column.
"""

import sqlite3
import uuid
from typing import Any

import msgspec

ROWS_MOST, BYTES_MOST = 500, 4 * 1024 * 1024
PRUNE_EVERY, PRUNE_BEHIND = 20_000, 10_000
"""After so many changes, those of rows that are gone are forgotten, except the newest."""
_OWN = ("changes", "local")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT NOT NULL, pk NOT NULL, UNIQUE (tbl, pk));
CREATE TABLE IF NOT EXISTS local (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
"""

Row = tuple[int, str, Any, dict[str, Any] | None]
"""Number of the change, table, key, and the row as it is now; None: it is gone."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a follower is told. ``store`` names the file; ``newest`` is the last change there is."""

    store: str
    epoch: int
    active: bool
    newest: int
    pruned: int = 0
    """Up to here, changes that took a row away are forgotten: who is further behind must copy everything."""
    rows: list[Row] = []


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Whose file this one is a copy of, up to which change, and the epoch of its content."""

    source: str = ""
    seq: int = 0
    epoch: int = 0


class ReplicaRows:
    """The part of :class:`cfa.state.StateStore` that two judgements side by side use; on the store's thread."""

    _db: sqlite3.Connection
    _keys: dict[str, str]

    def track(self) -> None:
        """Begins to note changes; rows that are there already count as changed."""
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO local VALUES ('store', ?)", (uuid.uuid4().hex,))
        names = [row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        self._keys = {}
        for name in names:
            keys = [row[1] for row in self._db.execute(f"PRAGMA table_info({name})") if row[5]]
            if name.startswith("sqlite_") or name in _OWN or len(keys) != 1:
                continue
            self._keys[name] = keys[0]
            self._track_table(name, keys[0])

    def _track_table(self, name: str, key: str) -> None:
        with self._db:
            for event, side in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                # No REPLACE: the conflict clause of the statement that fires a trigger would be used instead.
                self._db.execute(
                    f"CREATE TRIGGER IF NOT EXISTS {name}_{event.lower()} AFTER {event} ON {name} "  # noqa: S608 -- our own tables' names
                    f"BEGIN DELETE FROM changes WHERE tbl = '{name}' AND pk = {side}.{key}; "
                    f"INSERT INTO changes (tbl, pk) VALUES ('{name}', {side}.{key}); END"
                )
            self._db.execute(
                f"INSERT INTO changes (tbl, pk) SELECT '{name}', {key} FROM {name} "  # noqa: S608 -- our own tables' names
                f"WHERE {key} NOT IN (SELECT pk FROM changes WHERE tbl = '{name}')"
            )

    def writes(self) -> int:
        """Grows with every write; may be asked from any thread."""
        return self._db.total_changes

    def changes(self, after: int, *, active: bool) -> Changes:
        """What changed after this one, oldest first, bounded."""
        rows: list[Row] = []
        size = 0
        found = self._db.execute(
            "SELECT seq, tbl, pk FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", (after, ROWS_MOST)
        )
        for seq, name, key in found.fetchall():
            if size > BYTES_MOST or name not in self._keys:
                break
            cursor = self._db.execute(f"SELECT * FROM {name} WHERE {self._keys[name]} = ?", (key,))  # noqa: S608
            values = cursor.fetchone()
            row = None if values is None else dict(zip((c[0] for c in cursor.description), values, strict=True))
            size += 64 if row is None else sum(len(v) if isinstance(v, (bytes, str)) else 8 for v in row.values())
            rows.append((seq, name, key, row))
        newest = self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM changes").fetchone()[0]
        pruned = self._prune(newest)
        local = self._local()
        epoch = int(local.get("epoch", 0))
        return Changes(store=str(local["store"]), epoch=epoch, active=active, newest=newest, pruned=pruned, rows=rows)

    def _prune(self, newest: int) -> int:
        """Each snapshot that went left a line; they are not kept for ever."""
        pruned = int(self._local().get("pruned", 0))
        if newest - pruned < PRUNE_EVERY:
            return pruned
        limit = newest - PRUNE_BEHIND
        with self._db:
            for name, key in self._keys.items():
                self._db.execute(
                    f"DELETE FROM changes WHERE tbl = ? AND seq <= ? AND pk NOT IN (SELECT {key} FROM {name})",  # noqa: S608
                    (name, limit),
                )
            self._note(pruned=limit)
        return limit

    def position(self) -> Position:
        """Where this file stands."""
        local = self._local()
        return Position(
            source=str(local.get("source", "")), seq=int(local.get("seq", 0)), epoch=int(local.get("epoch", 0))
        )

    def take_changes(self, rows: list[Row], position: Position, *, anew: bool) -> None:
        """Makes the same changes here, whole or not at all. ``anew``: instead of everything that is here."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if anew:
                for name in self._keys:
                    self._db.execute(f"DELETE FROM {name}")  # noqa: S608
            for _, name, key, row in rows:
                if name in self._keys:
                    self._put(name, key, row)
            self._note(source=position.source, seq=position.seq, epoch=position.epoch)

    def lead(self, epoch: int) -> None:
        """From now on this file is its own."""
        with self._db:
            self._note(source="", seq=0, epoch=epoch)

    def _put(self, name: str, key: Any, row: dict[str, Any] | None) -> None:
        if row is None:
            self._db.execute(f"DELETE FROM {name} WHERE {self._keys[name]} = ?", (key,))  # noqa: S608
            return
        known = {column[1] for column in self._db.execute(f"PRAGMA table_info({name})")}
        columns = [column for column in row if column in known]
        marks = ", ".join("?" * len(columns))
        names = ", ".join(f'"{column}"' for column in columns)
        self._db.execute(
            f"INSERT OR REPLACE INTO {name} ({names}) VALUES ({marks})",  # noqa: S608 -- names that the file itself has
            [row[column] for column in columns],
        )

    def _local(self) -> dict[str, Any]:
        return dict(self._db.execute("SELECT key, value FROM local").fetchall())

    def _note(self, **values: Any) -> None:
        self._db.executemany("INSERT OR REPLACE INTO local VALUES (?, ?)", list(values.items()))
