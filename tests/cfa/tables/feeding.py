"""A counters' feed for the fleet of tables, made by the collector's own books, and what a plain dictionary makes of it."""

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np

from collector.bulk.books import Books, Taken, read
from collector.bulk.dictionary import DIMENSIONS, split
from collector.column_batch import (
    Counts,
    Frame,
    Increments,
    Told,
    decode,
    encode,
    encode_names,
    sections_of,
)

BEGIN = 1_795_000_200
OPERATIONS = ("strong_read", "write")
"""By side."""


class Feeding:
    """Senders' frames in, entries out; ``names()`` is the collector's page of series."""

    def __init__(self) -> None:
        self.books = Books()
        self._numbers = 0
        self._sequence = 0

    def register(self, tables: Iterable[str], vantage: str = "customer", **more: str) -> None:
        """Two series for each table: reads, then writes."""
        pairs = [(table, operation) for table in tables for operation in OPERATIONS]
        numbers = np.arange(self._numbers, self._numbers + len(pairs), dtype=np.uint32)
        self._numbers += len(pairs)
        columns: list[tuple[str, list[str | None]]] = [
            ("table", [table for table, _ in pairs]),
            ("operation", [operation for _, operation in pairs]),
            ("vantage", [vantage] * len(pairs)),
            *((dimension, [text] * len(pairs)) for dimension, text in more.items()),
        ]
        body = encode_names(("lb-1", "az1", "b1"), numbers, columns)
        self.books.take(read(body), body, at=float(BEGIN))

    def names(self, first: int, limit: int = 65_536) -> Frame:
        """A page of the collector's series, as ``GET /v1/counters/series`` has it."""
        dictionary = self.books.dictionary
        keys = dictionary.keys(first, first + limit)
        tables, shapes = split(keys)
        told = [dictionary.shapes.values[shape] for shape in shapes.tolist()]
        columns = [(name, [shape[place] for shape in told]) for place, name in enumerate(DIMENSIONS)]
        numbers = np.arange(first, first + len(keys), dtype=np.uint32)
        names = [dictionary.tables.values[table] for table in tables.tolist()]
        return decode(encode_names(("c", "c", "c"), numbers, [("table", names), *columns]))

    def entry(
        self, received_at: float, counts: Mapping[str, Mapping[int, int]], at: int | None = None
    ) -> tuple[Told, tuple[Increments, ...]]:
        """An accepted batch: by place, increments by series number."""
        increments = [
            Increments(place, np.array(sorted(some), np.uint32), np.array([some[n] for n in sorted(some)], np.uint32))
            for place, some in counts.items()
        ]
        return self.dense_entry(received_at, increments, at)

    def dense_entry(
        self, received_at: float, increments: list[Increments], at: int | None = None
    ) -> tuple[Told, tuple[Increments, ...]]:
        """The same of arrays."""
        self._sequence += 1
        sections, arrays = sections_of(increments)
        header = Counts(
            host="lb-1",
            zone="az1",
            boot="b1",
            sequence=self._sequence,
            sent_at=received_at,
            at=int(received_at) if at is None else at,
            sections=sections,
        )
        body = encode(header, arrays)
        taken = cast("Taken", self.books.take(read(body), body, at=received_at))
        frame = decode(taken.record)
        return cast("Told", frame.header), frame.increments
