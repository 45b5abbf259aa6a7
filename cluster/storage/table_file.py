"""The file of an item table: its blank image, how it is opened, and what is done when it turns out to be damaged (shell)."""

import contextlib
import errno
import functools
import logging
from dataclasses import dataclass
from typing import Any, cast

import apsw
import msgspec

from cluster.disk import Disk
from cluster.ports import Table
from cluster.storage.page_checksums import PAGE_BYTES, RESERVED_BYTES, stamped_page

logger = logging.getLogger("cluster")

FILE = "items.db"
_CACHE_KIBIBYTES = 16_384
_SCHEMA = """
CREATE TABLE groups (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, definition BLOB NOT NULL, applied INTEGER NOT NULL,
  members BLOB NOT NULL DEFAULT x'90', ballot BLOB NOT NULL DEFAULT x'9200a0');
CREATE TABLE items (
  grp INTEGER NOT NULL, hash INTEGER NOT NULL, pk BLOB NOT NULL, sk BLOB NOT NULL,
  lsn INTEGER NOT NULL, checksum INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (grp, hash, pk, sk)) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_SCHEMA_VERSION = 3
_UPGRADE = (
    f"ALTER TABLE groups ADD COLUMN ballot BLOB NOT NULL DEFAULT x'9200a0'; PRAGMA user_version={_SCHEMA_VERSION}"
)
_HOST = (
    "INSERT INTO groups (name, definition, applied) VALUES (?, ?, 0)"
    " ON CONFLICT (name) DO UPDATE SET definition = excluded.definition"
)
_PRAGMAS = (
    "synchronous=NORMAL",
    "wal_autocheckpoint=0",
    # The log's checksums are made for frames that are written once: nothing goes there before its transaction ends.
    "cache_spill=OFF",
    f"cache_size=-{_CACHE_KIBIBYTES}",
    "temp_store=MEMORY",
)


class TableDamaged(Exception):
    """The item table cannot be read or written any more: it is to be set aside, and its groups to be rebuilt."""


@functools.cache
def blank() -> bytes:
    """The file of an item table without items: made in memory, so that it is there as a whole or not at all."""
    db = apsw.Connection(":memory:")
    db.reserve_bytes(reserve=RESERVED_BYTES)
    db.execute(f"PRAGMA page_size={PAGE_BYTES}; PRAGMA user_version={_SCHEMA_VERSION}; {_SCHEMA}").fetchall()
    image = bytearray(db.serialize("main"))
    db.close()
    image[18:20] = b"\x02\x02"  # SQLite's file format, §1.3.2: read and written with a write-ahead log
    pages = (image[start : start + PAGE_BYTES] for start in range(0, len(image), PAGE_BYTES))
    return b"".join(stamped_page(bytes(page), number) for number, page in enumerate(pages, start=1))


@dataclass(frozen=True, slots=True)
class OpenedTable:
    """An open database. ``set_aside``: the name under which a damaged one is kept, whose groups are now hosted without items."""

    db: Any
    set_aside: str | None = None


def open_table(disk: Disk, file: str) -> OpenedTable:
    """Open the table; one that is damaged is set aside, and a new one opened with its groups as far as they can be read.

    Raises OSError when the disk refuses; nothing is set aside then.
    """
    try:
        return OpenedTable(_open(disk, file))
    except apsw.FullError as error:
        raise OSError(errno.ENOSPC, f"{file} cannot be opened: {error}") from error
    except apsw.Error as error:
        logger.error("%s is damaged and set aside: %s", file, error)  # noqa: TRY400 (the reason is the whole story)
    hosted = _readable_groups(disk, file)
    aside = disk.set_aside(file)
    db = _open(disk, file)
    for name, definition in hosted:
        db.execute(*hosting(name, definition))
    return OpenedTable(db, aside)


def hosting(group: str, definition: bytes) -> tuple[str, tuple[Any, ...]]:
    """The statement that keeps a group, or its new definition."""
    return _HOST, (group, definition)


def _open(disk: Disk, file: str) -> Any:
    db = disk.database(file, blank())
    try:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: Any) -> None:
    for pragma in _PRAGMAS:
        db.execute(f"PRAGMA {pragma}").fetchall()
    if db.pragma("user_version") == _SCHEMA_VERSION - 1:
        with db:
            db.execute(_UPGRADE).fetchall()
    if db.pragma("user_version") != _SCHEMA_VERSION or db.pragma("journal_mode") != "wal":
        raise apsw.CorruptError("not an item table of this version")
    # All of the small tables, and their indexes: a node can begin when these are sound.
    for table in ("groups", "facts"):
        db.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 (constants)
        db.execute(f"SELECT name FROM {table} ORDER BY name").fetchall()  # noqa: S608 (constants)


def _readable_groups(disk: Disk, file: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    with contextlib.suppress(apsw.Error, msgspec.DecodeError):
        db = cast("Any", disk.database(file, blank()))
        try:
            for name, definition in db.execute("SELECT name, definition FROM groups"):
                msgspec.msgpack.decode(definition, type=Table)
                found.append((name, definition))
        finally:
            db.close()
    return found
