"""Counts added up by table, or by zone and endpoint, in columns: what reports are made of (pure; a contract module).

A week of a large region is millions of such sums; as objects they would take minutes. They travel as JSON whose columns are
base64 of deflated little-endian 64-bit integers.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from collector.observation import Level, OperationClass, Outcome, Vantage
from collector.wire import IntervalRow

KINDS = ("tables", "cells")
"""By table; by zone and endpoint."""

Ints = NDArray[np.int64]


class TotalKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sum is about; dimensions that the kind adds up over are None. ``at_node``: counted at a storage node (server vantage)."""

    vantage: Vantage
    level: Level
    operation: OperationClass
    zone: str | None = None
    endpoint: str | None = None
    table: str | None = None
    at_node: bool = False
    recused: bool = False
    excluded: bool = False


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    keys: tuple[TotalKey, ...]
    columns: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Totals:
    """Row ``i`` is ``counts[:, i]`` of ``keys[key[i]]`` in one interval.

    The interval is ``start[i]`` (UTC epoch seconds), at its ``version[i]`` (0: not sealed yet); ``counts`` has a row for each
    :class:`~collector.observation.Outcome`, in their order.
    """

    kind: str
    keys: tuple[TotalKey, ...]
    key: Ints
    start: Ints
    version: Ints
    counts: Ints

    @classmethod
    def empty(cls, kind: str) -> Self:
        """Nothing."""
        none = np.zeros(0, dtype=np.int64)
        return cls(kind, (), none, none, none, np.zeros((len(Outcome), 0), dtype=np.int64))

    def encode(self) -> bytes:
        """As JSON."""
        columns = {"key": self.key, "start": self.start, "version": self.version}
        columns |= {outcome.value: self.counts[place] for place, outcome in enumerate(Outcome)}
        packed = {name: zlib.compress(column.astype("<i8").tobytes(), 1) for name, column in columns.items()}
        return msgspec.json.encode(_Wire(self.kind, self.keys, packed))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From JSON; raises ValueError."""
        try:
            wire = msgspec.json.decode(data, type=_Wire)
            columns = {name: np.frombuffer(zlib.decompress(raw), dtype="<i8") for name, raw in wire.columns.items()}
            counts = np.array([columns[outcome.value] for outcome in Outcome], dtype=np.int64)
            found = cls(wire.kind, wire.keys, columns["key"], columns["start"], columns["version"], counts)
        except (msgspec.DecodeError, zlib.error, KeyError) as error:
            raise ValueError(f"not totals: {error}") from error
        if not len(found.key) == len(found.start) == len(found.version) == counts.shape[1]:
            raise ValueError("not totals: columns of different lengths")
        if len(found.key) and not 0 <= found.key.min() <= found.key.max() < len(found.keys):
            raise ValueError("not totals: a key that is not there")
        return found

    def take(self, rows: NDArray[np.bool_] | Ints) -> Self:
        """Some rows."""
        return type(self)(
            self.kind, self.keys, self.key[rows], self.start[rows], self.version[rows], self.counts[:, rows]
        )


def of_rows(kind: str, rows: Iterable[IntervalRow]) -> Totals:
    """Interval rows added up by the kind's dimensions."""
    keys: dict[TotalKey, int] = {}
    found = []
    for row in rows:
        one = row.series
        where = {"table": one.table} if kind == "tables" else {"zone": one.zone, "endpoint": one.endpoint}
        key = TotalKey(
            vantage=one.vantage,
            level=one.level,
            operation=one.operation,
            at_node=one.vantage is Vantage.SERVER and one.node is not None,
            recused=row.recused,
            excluded=row.excluded,
            **where,
        )
        counts = (row.counts.get(outcome, 0) for outcome in Outcome)
        found.append((keys.setdefault(key, len(keys)), row.start, row.version, *counts))
    if not found:
        return Totals.empty(kind)
    columns = np.array(found, dtype=np.int64).T
    return merged([Totals(kind, tuple(keys), columns[0], columns[1], columns[2], columns[3:])])


def merged(many: Sequence[Totals]) -> Totals:
    """Added up by key and interval, in this order; the version is the highest. Any order and grouping gives the same."""
    if len({one.kind for one in many}) > 1:
        raise ValueError("totals of different kinds are never added up")
    keys, joined = _one_numbering(many)
    if not joined[0].size:
        return Totals.empty(many[0].kind if many else KINDS[0])
    key, start, version, counts = joined
    order = np.lexsort((start, key))
    firsts = np.flatnonzero(np.diff(key[order], prepend=-1) | np.diff(start[order], prepend=-1))
    sums = np.add.reduceat(counts[:, order], firsts, axis=1)
    highest = np.maximum.reduceat(version[order], firsts)
    return Totals(many[0].kind, keys, key[order][firsts], start[order][firsts], highest, sums)


def _one_numbering(many: Iterable[Totals]) -> tuple[tuple[TotalKey, ...], tuple[Ints, Ints, Ints, Ints]]:
    """The keys of all, in an order of their own, and the rows under these numbers."""
    pieces = [one for one in many if len(one.key)]
    keys = sorted({key for one in pieces for key in one.keys}, key=msgspec.json.encode)
    number = {key: place for place, key in enumerate(keys)}
    if not pieces:
        none = Totals.empty(KINDS[0])
        return (), (none.key, none.start, none.version, none.counts)
    renumbered = [np.array([number[key] for key in one.keys], dtype=np.int64)[one.key] for one in pieces]
    return tuple(keys), (
        np.concatenate(renumbered),
        np.concatenate([one.start for one in pieces]),
        np.concatenate([one.version for one in pieces]),
        np.concatenate([one.counts for one in pieces], axis=1),
    )
