"""The items of one storage node: a B-tree in SQLite, ordered as the ring and the sort keys are (shell).

Changes go into an open transaction that is committed now and then: until then the WAL remembers them. ``applied`` of a
group is committed together with its items, so that recovery knows from which LSN on the WAL is to be applied again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from cluster.disk import Disk
from cluster.ports import Bounds, ItemKey, Table
from cluster.replication.messages import Entry
from cluster.routing.messages import Row
from cluster.storage.records import decode_change, item_checksum

PAGE_BYTES = 1024 * 1024
"""A range or a page of a scan ends after so many bytes of items, as DynamoDB's does."""
_HALF_RING = 1 << 63
_SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, definition BLOB NOT NULL, applied INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS items (
  grp INTEGER NOT NULL, hash INTEGER NOT NULL, pk BLOB NOT NULL, sk BLOB NOT NULL,
  lsn INTEGER NOT NULL, checksum INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (grp, hash, pk, sk)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class CorruptItem(Exception):
    """A stored item does not match its checksum."""


@dataclass(frozen=True, slots=True)
class Page:
    """Stored items, and whether there are further ones."""

    bodies: tuple[bytes, ...]
    more: bool


class ItemTable:
    """One database file; used from the event loop's thread only (but for :meth:`make_durable`)."""

    def __init__(self, disk: Disk, file: str = "items.db") -> None:
        self._disk, self._file = disk, file
        self._db = cast("Any", disk.database(file))
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=0", "cache_size=-8000"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute(_SCHEMA).fetchall()
        self._ids: dict[str, int] = {}
        self._applied: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._open_changes = False
        self.changed_since_durable = True
        """Whether anything was committed since :meth:`make_durable` ran."""
        for number, name, applied in self._db.execute("SELECT id, name, applied FROM groups").fetchall():
            self._ids[name], self._applied[name] = number, applied
        self._db.execute("BEGIN")

    # --- groups ---------------------------------------------------------------------------------------------------------

    def groups(self) -> dict[str, Table]:
        """Groups hosted here, with the definition of their table."""
        rows = self._db.execute("SELECT name, definition FROM groups").fetchall()
        return {name: msgspec.msgpack.decode(definition, type=Table) for name, definition in rows}

    def host(self, group: str, table: Table) -> None:
        """Keep a group from now on (or its new definition); durable when :meth:`make_durable` has run."""
        self._db.execute(
            "INSERT INTO groups (name, definition, applied) VALUES (?, ?, 0)"
            " ON CONFLICT (name) DO UPDATE SET definition = excluded.definition",
            (group, msgspec.msgpack.encode(table)),
        )
        self._open_changes = True
        self._ids[group] = self._db.execute("SELECT id FROM groups WHERE name = ?", (group,)).fetchone()[0]
        self._applied.setdefault(group, 0)
        self.commit()

    def drop(self, group: str) -> None:
        """Forget a group and its items."""
        number = self._ids.pop(group)
        self._db.execute("DELETE FROM items WHERE grp = ?", (number,))
        self._db.execute("DELETE FROM groups WHERE id = ?", (number,))
        self._applied.pop(group)
        self._dirty.discard(group)
        self._open_changes = True
        self.commit()

    def applied(self, group: str) -> int:
        """The LSN up to which the items are those of the log."""
        return self._applied[group]

    def fact(self, name: str) -> int:
        """A number kept with the items (0 at first)."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else 0

    def set_fact(self, name: str, value: int) -> None:
        """Keep a number."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
        self._open_changes = True

    # --- writing --------------------------------------------------------------------------------------------------------

    def apply(self, group: str, entries: Iterable[Entry]) -> None:
        """Committed entries, in order; those applied already are skipped."""
        number, applied = self._ids[group], self._applied[group]
        for entry in entries:
            if entry.lsn <= applied:
                continue
            applied = entry.lsn
            if entry.payload:
                self._apply(number, entry)
        self._applied[group] = applied
        self._dirty.add(group)

    def _apply(self, number: int, entry: Entry) -> None:
        change = decode_change(entry.payload)
        place = (number, change.hash - _HALF_RING, change.partition_key, change.sort_key)
        if change.body is None:
            self._db.execute("DELETE FROM items WHERE grp = ? AND hash = ? AND pk = ? AND sk = ?", place)
            return
        checksum = item_checksum(change.partition_key, change.sort_key, change.body)
        self._db.execute(
            "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", (*place, entry.lsn, checksum, change.body)
        )

    def commit(self) -> None:
        """End the open transaction (atomic; durable once :meth:`make_durable` has run) and begin another.

        Raises apsw.Error when the disk refuses; nothing is lost then, and it may be tried again.
        """
        if not self._dirty and not self._open_changes:
            return
        for group in self._dirty:
            self._db.execute("UPDATE groups SET applied = ? WHERE name = ?", (self._applied[group], group))
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.execute("BEGIN")
        self._dirty.clear()
        self._open_changes, self.changed_since_durable = False, True

    def make_durable(self) -> None:
        """Fsync what was committed. Blocks; may run in any thread."""
        self.changed_since_durable = False
        self._disk.sync_database(self._file)

    def checkpoint(self) -> None:
        """Fold SQLite's own log into the database file. Blocks; may run in any thread (it has its own connection)."""
        self._disk.checkpoint(self._file)

    def close(self, *, crash: bool = False) -> None:
        """Close; after a ``crash`` what was not committed is gone."""
        if not crash:
            self.commit()
        self._db.execute("ROLLBACK")
        self._db.close()

    # --- reading --------------------------------------------------------------------------------------------------------

    def get(self, group: str, hash_: int, key: ItemKey) -> bytes | None:
        """One item; raises :class:`CorruptItem`."""
        row = self._db.execute(
            "SELECT checksum, body FROM items WHERE grp = ? AND hash = ? AND pk = ? AND sk = ?",
            (self._ids[group], hash_ - _HALF_RING, key.partition_key, key.sort_key),
        ).fetchone()
        if row is None:
            return None
        return _sound(key.partition_key, key.sort_key, *row)

    def range(
        self,
        group: str,
        hash_: int,
        partition_key: bytes,
        bounds: Bounds,
        *,
        forward: bool,
        limit: int | None,
        after: bytes | None,
    ) -> Page:
        """Items of one partition key in the order of sort keys; raises :class:`CorruptItem`."""
        terms = ["grp = ? AND hash = ? AND pk = ?"]
        values: list[object] = [self._ids[group], hash_ - _HALF_RING, partition_key]
        for value, term in (
            (bounds.lower, "sk >= ?" if bounds.lower_inclusive else "sk > ?"),
            (bounds.upper, "sk <= ?" if bounds.upper_inclusive else "sk < ?"),
            (after, "sk > ?" if forward else "sk < ?"),
        ):
            if value is not None:
                terms.append(term)
                values.append(value)
        order = "ASC" if forward else "DESC"
        # Only constants above enter the statement; every value is bound.
        query = f"SELECT pk, sk, checksum, body FROM items WHERE {' AND '.join(terms)} ORDER BY sk {order}"  # noqa: S608
        return _page(self._db.execute(query, values), limit)

    def page(self, group: str, *, hash_: int, after: ItemKey | None, limit: int | None) -> Page:
        """Items of a group in ring order after ``after`` (whose hash is ``hash_``); raises :class:`CorruptItem`."""
        place = (hash_ - _HALF_RING, after.partition_key, after.sort_key) if after else (-_HALF_RING, b"", b"")
        rows = self._db.execute(
            "SELECT pk, sk, checksum, body FROM items WHERE grp = ? AND (hash, pk, sk) > (?, ?, ?) ORDER BY hash, pk, sk",
            (self._ids[group], *place),
        )
        return _page(rows, limit)

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def rows(self, group: str, after: tuple[int, bytes, bytes] | None) -> tuple[tuple[Row, ...], bool]:
        """Up to 1 MB of rows as they are stored, after a position, and whether there are more."""
        place = (after[0] - _HALF_RING, after[1], after[2]) if after else (-_HALF_RING, b"", b"")
        found: list[Row] = []
        size = 0
        for hash_, pk, sk, lsn, checksum, body in self._db.execute(
            "SELECT hash, pk, sk, lsn, checksum, body FROM items WHERE grp = ? AND (hash, pk, sk) > (?, ?, ?)"
            " ORDER BY hash, pk, sk",
            (self._ids[group], *place),
        ):
            if size >= PAGE_BYTES:
                return tuple(found), True
            found.append(Row(hash_ + _HALF_RING, pk, sk, lsn, checksum, body))
            size += len(body) + len(pk) + len(sk) + 64
        return tuple(found), False

    def install(self, group: str, rows: Iterable[Row], lsn: int) -> None:
        """Replace a group's items by a snapshot that counts for ``lsn``: all or nothing; raises :class:`CorruptItem`."""
        number = self._ids[group]
        for row in (found := list(rows)):
            _sound(row.partition_key, row.sort_key, row.checksum, row.body)
        self._db.execute("DELETE FROM items WHERE grp = ?", (number,))
        self._db.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (number, row.hash - _HALF_RING, row.partition_key, row.sort_key, row.lsn, row.checksum, row.body)
                for row in found
            ),
        )
        self._applied[group] = lsn
        self._dirty.add(group)
        self.commit()

    # --- damage ---------------------------------------------------------------------------------------------------------

    def damage(self) -> int:
        """Flip a byte of every stored item, as rotting bits do; how many."""
        return self._flip("SELECT grp, hash, pk, sk, body FROM items", only_damaged=False)

    def mend(self) -> int:
        """Undo :meth:`damage` where the item was not written since; how many."""
        return self._flip("SELECT grp, hash, pk, sk, body FROM items", only_damaged=True)

    def _flip(self, query: str, *, only_damaged: bool) -> int:
        count = 0
        for number, hash_, pk, sk, body in self._db.execute(query).fetchall():
            checksum = self._db.execute(
                "SELECT checksum FROM items WHERE grp = ? AND hash = ? AND pk = ? AND sk = ?", (number, hash_, pk, sk)
            ).fetchone()[0]
            if (item_checksum(pk, sk, body) != checksum) is not only_damaged:
                continue
            flipped = body[:-1] + bytes([body[-1] ^ 0xFF])
            self._db.execute(
                "UPDATE items SET body = ? WHERE grp = ? AND hash = ? AND pk = ? AND sk = ?",
                (flipped, number, hash_, pk, sk),
            )
            count += 1
        self._open_changes = True
        return count


def _sound(partition_key: bytes, sort_key: bytes, checksum: int, body: bytes) -> bytes:
    if item_checksum(partition_key, sort_key, body) != checksum:
        raise CorruptItem("a stored item does not match its checksum")
    return body


def _page(rows: Iterator[tuple[bytes, bytes, int, bytes]], limit: int | None) -> Page:
    bodies: list[bytes] = []
    size = 0
    for pk, sk, checksum, body in rows:
        if size >= PAGE_BYTES or (limit is not None and len(bodies) >= limit):
            return Page(tuple(bodies), more=True)
        bodies.append(_sound(pk, sk, checksum, body))
        size += len(body)
    return Page(tuple(bodies), more=False)
