"""The items of one storage node: a B-tree in SQLite, ordered as the ring and the sort keys are (shell).

Changes are gathered in memory and written into an open transaction that is committed now and then: until then the WAL
remembers them. A key that changes often is written once, and each call into SQLite lets go of the interpreter's lock, which
costs more than the writing. ``applied`` of a group is committed together with its items, so that recovery knows from which
LSN on the WAL is to be applied again.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import apsw
import msgspec

from cluster.disk import Disk
from cluster.ports import Bounds, ItemKey, Table
from cluster.replication.membership import Config
from cluster.replication.messages import NO_BALLOT, Ballot, Entry
from cluster.routing.messages import Row
from cluster.storage import rows as reading
from cluster.storage.recent import RecentItems
from cluster.storage.records import effect_of, item_checksum
from cluster.storage.rows import DAMAGE, HALF_RING, PAGE_BYTES, CorruptItem, Page, Position
from cluster.storage.snapshot_reader import SnapshotReader
from cluster.storage.table_file import FILE, TableDamaged, hosting, open_table

__all__ = ["PAGE_BYTES", "CorruptItem", "ItemTable", "Page", "TableDamaged"]

T = TypeVar("T")

VERIFY_PAGES = 1024
GATHERED_CHANGES = 256
"""So many keys' changes wait in memory at most: what writing them takes must not be felt."""
_PUT = "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM items WHERE grp = ? AND hash = ? AND pk = ? AND sk = ?"
_Statement = tuple[str, Sequence[Any]]
_Place = tuple[int, int, bytes, bytes]
"""A row's key as it is stored: group, position, partition key, sort key."""


class ItemTable:
    """One database file; used from the event loop's thread only, but for what says otherwise.

    When a page turns out to be damaged, the call raises :class:`TableDamaged`, and so does every later one: nothing of such a
    table is served any more. It is to be closed; the next to open it sets it aside.
    """

    def __init__(self, disk: Disk, file: str = FILE) -> None:
        self._disk, self._file = disk, file
        opened = open_table(disk, file)
        self._db: Any = opened.db
        self.set_aside = opened.set_aside
        """The name under which a damaged table was set aside when this one was opened; None: this is the old one."""
        self.damaged: str | None = None
        """What was found to be damaged since."""
        self._ids: dict[str, int] = {}
        self._applied: dict[str, int] = {}
        self._ballots: dict[str, Ballot] = {}
        self._configs: dict[str, Config] = {}
        self._dirty: set[str] = set()
        self._open: list[_Statement] = []
        self._gathered: dict[_Place, tuple[int, bytes | None]] = {}
        """By place: the LSN and the body of its newest change, not written yet; the body None: deleted."""
        self._recent: RecentItems = RecentItems()
        self.changed_since_durable = True
        """Whether anything was committed since :meth:`make_durable` ran."""
        # Its last commit may be nowhere but in the machine's memory, and ahead of the log: what is built upon it must not lose it.
        disk.sync_database(file)
        for number, name, applied, members, ballot in self._db.execute(
            "SELECT id, name, applied, members, ballot FROM groups"
        ):
            self._ids[name], self._applied[name] = number, applied
            self._ballots[name] = msgspec.msgpack.decode(ballot, type=Ballot)
            self._configs[name] = msgspec.msgpack.decode(members, type=Config)
        self._db.execute("BEGIN")

    # --- groups ---------------------------------------------------------------------------------------------------------

    def groups(self) -> dict[str, Table]:
        """Groups hosted here, with the definition of their table."""
        rows = self._rows("SELECT name, definition FROM groups")
        return {name: msgspec.msgpack.decode(definition, type=Table) for name, definition in rows}

    def host(self, group: str, table: Table) -> None:
        """Keep a group from now on (or its new definition); durable when :meth:`make_durable` has run."""
        self._at_once([hosting(group, msgspec.msgpack.encode(table))])
        self._ids[group] = self._rows("SELECT id FROM groups WHERE name = ?", (group,))[0][0]
        self._applied.setdefault(group, 0)
        self._ballots.setdefault(group, NO_BALLOT)
        self._configs.setdefault(group, Config())

    def drop(self, group: str) -> None:
        """Forget a group and its items."""
        number = (self._ids[group],)
        self._at_once([("DELETE FROM items WHERE grp = ?", number), ("DELETE FROM groups WHERE id = ?", number)])
        for kept in (self._ids, self._applied, self._ballots, self._configs):
            kept.pop(group)

    def applied(self, group: str) -> int:
        """The LSN up to which the items are those of the log."""
        return self._applied[group]

    def ballot(self, group: str) -> Ballot:
        """Of the entry at :meth:`applied`; (0, "") when that came by a snapshot."""
        return self._ballots[group]

    def config(self, group: str) -> Config:
        """Who the group consists of as of :meth:`applied`; without members until an entry has said so."""
        return self._configs[group]

    def set_config(self, group: str, config: Config) -> None:
        """Keep the group's members, together with what is applied next (:meth:`apply` does so for entries that hold them)."""
        self._do("UPDATE groups SET members = ? WHERE name = ?", (msgspec.msgpack.encode(config), group))
        self._configs[group] = config

    def fact(self, name: str) -> int:
        """A number kept with the items (0 at first)."""
        rows = self._rows("SELECT value FROM facts WHERE name = ?", (name,))
        return rows[0][0] if rows else 0

    def set_fact(self, name: str, value: int) -> None:
        """Keep a number."""
        self._do("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # --- writing --------------------------------------------------------------------------------------------------------

    def apply(self, group: str, entries: Iterable[Entry]) -> None:
        """Committed entries, in order; those applied already are skipped."""
        number, applied = self._ids[group], self._applied[group]
        for entry in entries:
            if entry.lsn <= applied:
                continue
            if (change := effect_of(entry.payload)) is not None:
                place = (number, change.hash - HALF_RING, change.partition_key, change.sort_key)
                self._gathered[place] = entry.lsn, change.body
            if entry.members is not None and entry.lsn > self._configs[group].lsn:
                self.set_config(group, Config(entry.members, entry.lsn))
            applied = self._applied[group] = entry.lsn
            self._ballots[group] = entry.ballot
            self._dirty.add(group)
        if len(self._gathered) > GATHERED_CHANGES:
            self._write_gathered()

    def _write_gathered(self) -> None:
        """Into the open transaction, in the order of the rows."""
        for place in sorted(self._gathered):
            self._do(*_statement(place, *self._gathered[place]))
        for place, (_, body) in self._gathered.items():
            self._recent.put(place, body)
        self._gathered.clear()  # not before all of it is written: the disk may refuse, and then it is tried again

    def follow(self, group: str, entries: Iterable[Entry]) -> None:
        """As :meth:`apply`, for a replica that keeps no items: how far the log is, and who belongs to the group."""
        for entry in entries:
            if entry.lsn > self._applied[group]:
                if entry.members is not None and entry.lsn > self._configs[group].lsn:
                    self.set_config(group, Config(entry.members, entry.lsn))
                self._applied[group], self._ballots[group] = entry.lsn, entry.ballot
                self._dirty.add(group)

    def commit(self) -> None:
        """End the open transaction (atomic; durable once :meth:`make_durable` has run) and begin another.

        Raises apsw.Error when the disk refuses; nothing is lost then, and it may be tried again.
        """
        self._write_gathered()
        if not self._dirty and not self._open:
            return
        for group in self._dirty:
            ballot = msgspec.msgpack.encode(self._ballots[group])
            self._run("UPDATE groups SET applied = ?, ballot = ? WHERE name = ?", (self._applied[group], ballot, group))
        try:
            self._db.execute("COMMIT")
        except apsw.Error:
            self._begin_again()
            raise
        self._open.clear()
        self._dirty.clear()
        self._db.execute("BEGIN")
        self.changed_since_durable = True

    def _begin_again(self) -> None:
        """A commit that the disk refused has undone everything; do it again, so that it is there for readers and the next try."""
        if self._db.in_transaction:
            return
        self._db.execute("BEGIN")
        for statement in self._open:
            self._run(*statement)

    def _at_once(self, statements: Iterable[_Statement]) -> None:
        """A transaction of its own: all of it, or on apsw.Error nothing."""
        self.commit()
        self._recent.clear()
        try:
            for statement in statements:
                self._run(*statement)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._db.execute("BEGIN")
            raise
        self._db.execute("BEGIN")
        self.changed_since_durable = True

    def _do(self, sql: str, values: Sequence[Any]) -> None:
        self._run(sql, values)
        self._open.append((sql, values))

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._look(lambda db: db.execute(sql, values).fetchall())

    def _run(self, sql: str, values: Sequence[Any] = ()) -> None:
        if self.damaged is not None:
            raise TableDamaged(self.damaged)
        try:
            self._db.execute(sql, values)
        except DAMAGE as error:
            raise self._condemned(error) from error

    def _look(self, read: Callable[[Any], T]) -> T:
        """Read all that was applied."""
        self._write_gathered()
        return self._read(read)

    def _read(self, read: Callable[[Any], T]) -> T:
        if self.damaged is not None:
            raise TableDamaged(self.damaged)
        try:
            return read(self._db)
        except DAMAGE as error:
            raise self._condemned(error) from error

    def _condemned(self, error: Exception) -> TableDamaged:
        self.damaged = str(error) or type(error).__name__
        return TableDamaged(self.damaged)

    def make_durable(self) -> None:
        """Fsync what was committed. Blocks; may run in any thread."""
        self.changed_since_durable = False
        try:
            self._disk.sync_database(self._file)
        except OSError:
            self.changed_since_durable = True
            raise

    def checkpoint(self) -> None:
        """Fold SQLite's own log into the database file. Blocks; may run in any thread (it has its own connection)."""
        self._disk.checkpoint(self._file)

    def close(self, *, crash: bool = False) -> None:
        """Close; after a ``crash`` what was not committed is gone."""
        try:
            if not crash and self.damaged is None:
                self.commit()
        finally:
            self._db.close()

    # --- reading --------------------------------------------------------------------------------------------------------

    def get(self, group: str, hash_: int, key: ItemKey) -> bytes | None:
        """One item; raises :class:`CorruptItem`."""
        number = self._ids[group]
        place = (number, hash_ - HALF_RING, key.partition_key, key.sort_key)
        if self.damaged is None:
            if (newest := self._gathered.get(place)) is not None:
                return newest[1]
            if (recent := self._recent.find(place)) is not None:
                return recent[0]
        found = self._read(lambda db: reading.item(db, number, hash_, key))
        self._recent.put(place, found)
        return found

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
        number = self._ids[group]
        return self._look(
            lambda db: reading.span(db, number, hash_, partition_key, bounds, forward=forward, limit=limit, after=after)
        )

    def page(self, group: str, *, hash_: int, after: ItemKey | None, limit: int | None) -> Page:
        """Items of a group in ring order after ``after`` (whose hash is ``hash_``); raises :class:`CorruptItem`."""
        number = self._ids[group]
        place = (hash_, after.partition_key, after.sort_key) if after else None
        return self._look(lambda db: reading.page(db, number, place, limit))

    # --- snapshots and verification -------------------------------------------------------------------------------------

    def rows(self, group: str, after: Position | None) -> tuple[tuple[Row, ...], bool]:
        """About 1 MB of rows after a position, and whether there are more; raises :class:`CorruptItem`."""
        number = self._ids[group]
        return self._look(lambda db: reading.piece(db, number, after))

    def stored(self, group: str, place: Position) -> Row | None:
        """The row at a place as it is stored, sound or not."""
        number = self._ids[group]
        return self._look(lambda db: reading.stored(db, number, place))

    def damaged_from(self, group: str, place: Position, count: int) -> tuple[Position, ...]:
        """Of the row at ``place`` and about ``count`` rows after it, the places of those that do not match their checksums."""
        number = self._ids[group]
        found = self._look(lambda db: list(itertools.islice(reading.rows_after(db, number, place), count)))
        here = self.stored(group, place)
        return tuple(reading.place_of(row) for row in ([here] if here else []) + found if not reading.sound(row))

    def snapshot_reader(self) -> SnapshotReader:
        """Everything as of now, to be read in pieces beside the writer. Commits; raises apsw.Error when the disk refuses."""
        self.commit()
        return SnapshotReader(self._disk, self._file)

    def install(self, group: str, rows: Iterable[Row], lsn: int, config: Config | None = None) -> None:
        """Replace a group's items by a snapshot that counts for ``lsn``: all or nothing.

        Raises :class:`CorruptItem`, and apsw.Error when the disk refuses. ``config`` None: as before.
        """
        number = self._ids[group]
        kept = self._configs[group] if config is None else config
        found = [reading.verified(row) for row in rows]
        statements: list[_Statement] = [("DELETE FROM items WHERE grp = ?", (number,))]
        statements += [(_PUT, (number, row.hash - HALF_RING, *msgspec.structs.astuple(row)[1:])) for row in found]
        update = "UPDATE groups SET applied = ?, ballot = ?, members = ? WHERE id = ?"
        encoded = msgspec.msgpack.encode(NO_BALLOT), msgspec.msgpack.encode(kept)
        self._at_once([*statements, (update, (lsn, *encoded, number))])
        self._applied[group], self._ballots[group], self._configs[group] = lsn, NO_BALLOT, kept

    def verify_pages(self, first: int = 1, count: int = VERIFY_PAGES) -> tuple[set[int], int | None]:
        """Which of ``count`` pages from ``first`` are damaged, and the page to go on with (None: that was the end).

        Reads the file, not SQLite's cache. Blocks; for the worker, like :meth:`checkpoint`.
        """
        damaged, more = self._disk.damaged_pages(self._file, first, count)
        return damaged, first + count if more else None

    # --- damage ---------------------------------------------------------------------------------------------------------

    def damage(self) -> int:
        """Flip a byte of every stored item, as rotting bits do; how many."""
        return self._flip(only_damaged=False)

    def mend(self) -> int:
        """Undo :meth:`damage` where the item was not written since; how many."""
        return self._flip(only_damaged=True)

    def _flip(self, *, only_damaged: bool) -> int:
        count = 0
        rows = self._rows("SELECT * FROM items")
        self._recent.clear()
        for *place, lsn, checksum, body in rows:
            if (item_checksum(place[2], place[3], body, lsn) != checksum) is only_damaged:
                flipped = body[:-1] + bytes([body[-1] ^ 0xFF])
                self._do(
                    "UPDATE items SET body = ? WHERE grp = ? AND hash = ? AND pk = ? AND sk = ?", (flipped, *place)
                )
                count += 1
        return count


def _statement(place: _Place, lsn: int, body: bytes | None) -> _Statement:
    """What the newest change makes of a row."""
    if body is None:
        return _DELETE, place
    return _PUT, (*place, lsn, item_checksum(place[2], place[3], body, lsn), body)
