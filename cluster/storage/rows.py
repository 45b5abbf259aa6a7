"""Reading items from a connection, in ring order, each verified by its checksum (shell).

A connection is typed Any: APSW types every column as whatever SQLite may hold, and the schema is known here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apsw

from cluster.ports import Bounds, ItemKey
from cluster.routing.messages import Row
from cluster.storage.page_checksums import PageDamaged
from cluster.storage.records import item_checksum

PAGE_BYTES = 1024 * 1024
"""A range or a page of a scan ends after so many bytes of items, as DynamoDB's does."""
HALF_RING = 1 << 63
"""SQLite's integers are signed: ring position p is stored as p - 2⁶³, which keeps the order."""
ROW_OVERHEAD_BYTES = 64
Position = tuple[int, bytes, bytes]
"""A row's place: ring position, partition key, sort key; the order of rows is the order of these."""
DAMAGE = (PageDamaged, apsw.CorruptError, apsw.NotADBError, apsw.IOError)
"""What SQLite says when the file cannot be read as it was written."""

_GET = "SELECT checksum, lsn, body FROM items WHERE grp = ? AND hash = ? AND pk = ? AND sk = ?"
_PAGE = "SELECT hash, pk, sk, lsn, checksum, body FROM items WHERE grp = ? AND (hash, pk, sk) > (?, ?, ?) ORDER BY hash, pk, sk"


class CorruptItem(Exception):
    """A stored item, the one at ``place``, does not match its checksum."""

    def __init__(self, place: Position) -> None:
        super().__init__("a stored item does not match its checksum")
        self.place = place


@dataclass(frozen=True, slots=True)
class Page:
    """Stored items, and whether there are further ones."""

    bodies: tuple[bytes, ...]
    more: bool


def item(db: Any, number: int, hash_: int, key: ItemKey) -> bytes | None:
    """One item of group ``number``; raises :class:`CorruptItem`."""
    pk, sk = key.partition_key, key.sort_key
    row = db.execute(_GET, (number, hash_ - HALF_RING, pk, sk)).fetchone()
    if row is None:
        return None
    checksum, lsn, body = row
    if item_checksum(pk, sk, body, lsn) != checksum:
        raise CorruptItem((hash_, pk, sk))
    return body  # type: ignore[no-any-return]


def span(
    db: Any,
    number: int,
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
    values: list[object] = [number, hash_ - HALF_RING, partition_key]
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
    query = f"SELECT hash, pk, sk, lsn, checksum, body FROM items WHERE {' AND '.join(terms)} ORDER BY sk {order}"  # noqa: S608
    return _page(db.execute(query, values), limit)


def page(db: Any, number: int, after: Position | None, limit: int | None) -> Page:
    """Items of a group in ring order after a position; raises :class:`CorruptItem`."""
    return _page(db.execute(_PAGE, (number, *_stored(after))), limit)


def rows_after(db: Any, number: int, after: Position | None) -> Iterator[Row]:
    """Rows of a group as they are stored, in ring order after a position; not verified."""
    for hash_, pk, sk, lsn, checksum, body in db.execute(_PAGE, (number, *_stored(after))):
        yield Row(hash_ + HALF_RING, pk, sk, lsn, checksum, body)


def piece(db: Any, number: int, after: Position | None) -> tuple[tuple[Row, ...], bool]:
    """About 1 MB of rows after a position, and whether there are more; raises :class:`CorruptItem`."""
    found: list[Row] = []
    size = 0
    for row in rows_after(db, number, after):
        if size >= PAGE_BYTES:
            return tuple(found), True
        found.append(verified(row))
        size += size_of(row)
    return tuple(found), False


def place_of(row: Row) -> Position:
    """Where a row is stored."""
    return row.hash, row.partition_key, row.sort_key


def stored(db: Any, number: int, place: Position) -> Row | None:
    """The row at a place as it is stored; not verified."""
    hash_, pk, sk = place
    row = db.execute(_GET, (number, hash_ - HALF_RING, pk, sk)).fetchone()
    return None if row is None else Row(hash_, pk, sk, row[1], row[0], row[2])


def sound(row: Row) -> bool:
    """Whether a row matches its checksum."""
    return item_checksum(row.partition_key, row.sort_key, row.body, row.lsn) == row.checksum


def verified(row: Row) -> Row:
    """The row; raises :class:`CorruptItem`."""
    if not sound(row):
        raise CorruptItem(place_of(row))
    return row


def size_of(row: Row) -> int:
    """About as many bytes as it has in a message."""
    return len(row.body) + len(row.partition_key) + len(row.sort_key) + ROW_OVERHEAD_BYTES


def _stored(after: Position | None) -> Position:
    return (after[0] - HALF_RING, after[1], after[2]) if after else (-HALF_RING, b"", b"")


def _page(rows: Iterator[tuple[int, bytes, bytes, int, int, bytes]], limit: int | None) -> Page:
    bodies: list[bytes] = []
    size = 0
    for hash_, pk, sk, lsn, checksum, body in rows:
        if size >= PAGE_BYTES or (limit is not None and len(bodies) >= limit):
            return Page(tuple(bodies), more=True)
        verified(Row(hash_ + HALF_RING, pk, sk, lsn, checksum, body))
        bodies.append(body)
        size += len(body)
    return Page(tuple(bodies), more=False)
