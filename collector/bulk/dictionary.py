"""Millions of series by number, in some tens of bytes each instead of a dataclass of half a kilobyte (pure).

A series is a table and a *shape*: all its other dimensions together. Shapes are few, so each is a tuple of texts kept once.
Table names are kept once each, in Python's own dictionary: its hashes are keyed, so that nobody can make names that collide.
A series is then one 64-bit key, ``table << 32 | shape``; the keys are kept sorted, which finds a key, and all series of a
table, by bisection. Ids count from 0 in the order of registration and never change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.observation import Connection, Level, OperationClass, Vantage
from collector.series import Series

DIMENSIONS: tuple[str, ...] = (
    "vantage", "host", "zone", "operation", "endpoint", "connection", "partition", "router", "router_zone", "node",
    "node_zone", "level",
)  # fmt: skip
"""The places of a shape: all of :class:`~collector.series.Series` but the table."""

Shape = tuple[str | None, ...]
Ids = NDArray[np.uint32]
Keys = NDArray[np.uint64]

_KINDS = {"vantage": Vantage, "operation": OperationClass, "connection": Connection, "level": Level}
REQUIRED = frozenset({"vantage", "host", "zone", "operation", "level"})


@dataclass(slots=True)
class Interned:
    """Values numbered in the order in which they came."""

    number_of: dict[Any, int] = field(default_factory=dict)
    values: list[Any] = field(default_factory=list)

    def intern(self, values: Iterable[Any]) -> list[int]:
        """The numbers of ``values``; new ones get the next."""
        numbers = []
        for value in values:
            number = self.number_of.get(value)
            if number is None:
                number = self.number_of[value] = len(self.values)
                self.values.append(value)
            numbers.append(number)
        return numbers

    def cut(self, size: int) -> None:
        """Forget all but the first ``size`` values."""
        for value in self.values[size:]:
            del self.number_of[value]
        del self.values[size:]


class Dictionary:
    """Series by id, ids by series, ids by table."""

    def __init__(self) -> None:
        self.tables = Interned()
        self.shapes = Interned()
        self._key_of = np.empty(1024, np.uint64)  # by id; the first ``len(self)`` count
        self._size = 0
        # Sorted keys and their ids, replaced together: a reader on another thread sees both old or both new.
        self._index: tuple[Keys, Ids] = (np.empty(0, np.uint64), np.empty(0, np.uint32))

    def __len__(self) -> int:
        return self._size

    def missing(self, keys: Keys) -> int:
        """How many different series of ``keys`` have no id yet."""
        return len(np.unique(keys[self.find(keys) < 0]))

    def register(self, keys: Keys) -> Ids:
        """The ids of ``keys``; new series get the next ids, in the order in which they come."""
        distinct, firsts, back = np.unique(keys, return_index=True, return_inverse=True)
        ids = self.find(distinct)
        is_new = ids < 0
        new = np.flatnonzero(is_new)
        ids[new[np.argsort(firsts[new])]] = np.arange(self._size, self._size + len(new))
        self._append(distinct[is_new], ids[is_new].astype(np.uint32))
        return ids.astype(np.uint32)[back]

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """The ids of ``keys``, -1 for those without one."""
        known, ids = self._index
        if not len(known):
            return np.full(len(keys), -1, np.int64)
        places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[places] == keys, ids[places].astype(np.int64), -1)

    def _append(self, keys: Keys, ids: Ids) -> None:
        """``keys`` are sorted, new and distinct; ``ids`` are the next ones."""
        after = self._size + len(keys)
        if after > len(self._key_of):
            self._key_of = np.concatenate([self._key_of, np.empty(max(after, len(self._key_of)), np.uint64)])
        self._key_of[ids] = keys
        known, known_ids = self._index
        places = np.searchsorted(known, keys)
        self._index = (np.insert(known, places, keys), np.insert(known_ids, places, ids))
        self._size = after

    def keys(self, first: int, end: int) -> Keys:
        """The keys of the ids ``first`` to ``end - 1``, as a view."""
        return self._key_of[first : min(end, self._size)]

    def of_table(self, table: str) -> Ids:
        """The ids of a table's series; empty when there are none."""
        number = self.tables.number_of.get(table)
        if number is None:
            return np.empty(0, np.uint32)
        known, ids = self._index
        low, high = np.searchsorted(known, np.array([number << 32, (number + 1) << 32], np.uint64))
        return np.sort(ids[low:high])

    def series(self, number: int) -> Series:
        """The series with this id."""
        key = int(self._key_of[number])
        return series_of(self.shapes.values[key & 0xFFFFFFFF], self.tables.values[key >> 32])


def keys_of(tables: NDArray[Any], shapes: NDArray[Any]) -> Keys:
    """The keys of series by the numbers of their tables and shapes."""
    return (tables.astype(np.uint64) << np.uint64(32)) | shapes.astype(np.uint64)


def split(keys: Keys) -> tuple[Ids, Ids]:
    """The numbers of tables and of shapes in ``keys``."""
    return (keys >> np.uint64(32)).astype(np.uint32), (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def series_of(shape: Sequence[str | None], table: str) -> Series:
    """A series as other rooms know it."""
    known: dict[str, Any] = {}
    for name, value in zip(DIMENSIONS, shape, strict=True):
        kind = _KINDS.get(name)
        known[name] = value if value is None or kind is None else kind(value)
    return Series(table=table, **known)


def is_shape(shape: Shape) -> str | None:
    """The first dimension of ``shape`` with a value outside the vocabulary; None when all is well."""
    for name, value in zip(DIMENSIONS, shape, strict=True):
        if value is None:
            if name in REQUIRED:
                return name
        elif name in _KINDS and value not in tuple(_KINDS[name]):
            return name
    return None
