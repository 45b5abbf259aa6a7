"""The digest of a group's rows, by buckets of the ring, and the prints that tell two rows apart (pure).

Rows are taken as they are stored: a damaged one makes its bucket's digest another, and is counted beside it.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cluster.routing.messages import Bucket, DigestIs, Print, Row
from cluster.storage.records import item_checksum
from cluster.topology import key_hash

Place = tuple[int, bytes, bytes]
"""A row's place: ring position, partition key, sort key; the order of rows is the order of these."""

BUCKET_SHIFT = 56
"""A bucket is what shares the top eight bits of its ring position: a ninth of the ring is about 28 buckets."""
_DIGEST_BYTES = 16
# Signed where SQLite's integers are: a rotten row may hold any of them.
_HEAD = struct.Struct(">QIIqqI")


def bucket_of(position: int) -> int:
    """The bucket of a ring position."""
    return position >> BUCKET_SHIFT


def before(bucket: int) -> Place | None:
    """A place that comes before every row of the bucket and behind those of the one before it."""
    return (bucket << BUCKET_SHIFT, b"", b"") if bucket else None


def is_sound(row: Row) -> bool:
    """Whether a row matches its checksum, and is where its key belongs."""
    expected = item_checksum(row.partition_key, row.sort_key, row.body, row.lsn)
    return expected == row.checksum and key_hash(row.partition_key) == row.hash


def print_of(row: Row) -> Print:
    """A row without its body."""
    return Print(row.hash, row.partition_key, row.sort_key, row.lsn, row.checksum, is_sound(row))


def _encoded(row: Row) -> Iterator[bytes]:
    pk, sk, body = row.partition_key, row.sort_key, row.body
    yield _HEAD.pack(row.hash, len(pk), len(sk), row.lsn, row.checksum, len(body))
    yield from (pk, sk, body)


@dataclass(slots=True)
class _Open:
    number: int
    hasher: Any
    rows: int = 0
    damaged: int = 0


class Digester:
    """Takes rows in the order of the ring."""

    def __init__(self) -> None:
        self._open: _Open | None = None
        self._done: list[Bucket] = []

    def take(self, rows: Iterable[Row]) -> None:
        """The next rows."""
        for row in rows:
            number = bucket_of(row.hash)
            if self._open is None or self._open.number != number:
                self._close()
                self._open = _Open(number, hashlib.blake2b(digest_size=_DIGEST_BYTES))
            self._open.hasher.update(b"".join(_encoded(row)))
            self._open.rows += 1
            self._open.damaged += not is_sound(row)

    def _close(self) -> None:
        if self._open is not None:
            bucket = self._open
            self._done.append(Bucket(bucket.number, bucket.hasher.digest(), bucket.rows, bucket.damaged))
            self._open = None

    def digest(self, lsn: int) -> DigestIs:
        """Of all rows that were taken, which are those of ``lsn``."""
        self._close()
        return DigestIs(lsn, tuple(self._done))
