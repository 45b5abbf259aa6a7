"""A message that says what series numbers mean: checked as a whole before anything is kept (pure)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.bulk.dictionary import DIMENSIONS, Dictionary, Shape, is_shape, keys_of
from collector.bulk.refusals import BulkRefusal, BulkRefusedError
from collector.column_batch import NUMBER_MAX, Frame, Names, Texts
from collector.observation import Level, Vantage
from collector.shape import TEXT_LENGTH_MAX


@dataclass(frozen=True, slots=True)
class Meanings:
    """Checked: row ``k`` is the series of ``tables[table_codes[k]]`` and ``shapes[shape_codes[k]]``."""

    tables: tuple[str, ...]
    table_codes: NDArray[np.uint32]
    shapes: tuple[Shape, ...]
    shape_codes: NDArray[np.intp]

    def keys(self, dictionary: Dictionary) -> NDArray[np.uint64]:
        """The rows' keys; tables and shapes that are new are interned."""
        tables = np.array(dictionary.tables.intern(self.tables), np.uint64)
        shapes = np.array(dictionary.shapes.intern(self.shapes), np.uint64)
        return keys_of(tables[self.table_codes], shapes[self.shape_codes])

    def is_known(self, dictionary: Dictionary) -> bool:
        """Whether all rows have ids already."""
        tables, shapes = dictionary.tables.number_of, dictionary.shapes.number_of
        if not all(table in tables for table in self.tables) or not all(shape in shapes for shape in self.shapes):
            return False
        return dictionary.missing(self.keys(dictionary)) == 0


def check(frame: Frame, header: Names) -> Meanings:
    """What ``frame`` says; raises :class:`BulkRefusedError`."""
    numbers = frame.numbers
    if len(numbers) and (int(numbers.max()) >= NUMBER_MAX or not bool(np.all(numbers[1:] > numbers[:-1]))):
        raise BulkRefusedError(BulkRefusal.NOT_ASCENDING, f"numbers: strictly ascending and below {NUMBER_MAX} only")
    columns = {column.dimension: column for column in frame.columns}
    if len(columns) < len(frame.columns):
        raise BulkRefusedError(BulkRefusal.UNKNOWN_DIMENSION, "columns: a dimension comes twice")
    for column in frame.columns:
        _check_column(column)
    table = columns.pop("table", None)
    if table is None or not table.texts or (table.codes is not None and len(numbers) and not int(table.codes.min())):
        raise BulkRefusedError(BulkRefusal.UNKNOWN_DIMENSION, "column 'table': every series needs a table")
    codes = np.zeros(len(numbers), np.uint32) if table.codes is None else table.codes - np.uint32(1)
    shapes, shape_codes = _shapes(columns, header, len(numbers))
    for shape in shapes:
        _check_shape(shape, header)
    return Meanings(table.texts, codes, shapes, shape_codes)


def _check_column(column: Texts) -> None:
    name = column.dimension[:40]
    if name != "table" and name not in DIMENSIONS:
        raise BulkRefusedError(
            BulkRefusal.UNKNOWN_DIMENSION, f"column {name!r}: is not one of table, {', '.join(DIMENSIONS)}"
        )
    longest = max(column.texts, key=len, default="x")
    if len(longest) > TEXT_LENGTH_MAX or "" in column.texts:
        raise BulkRefusedError(
            BulkRefusal.TEXT_LENGTH, f"column {name!r}: texts of 1 to {TEXT_LENGTH_MAX} characters only"
        )
    if not all(map(str.isprintable, column.texts)):
        raise BulkRefusedError(BulkRefusal.NOT_PRINTABLE, f"column {name!r}: a text holds control characters")


def _check_shape(shape: Shape, header: Names) -> None:
    wrong = is_shape(shape)
    if wrong is not None:
        value = shape[DIMENSIONS.index(wrong)]
        raise BulkRefusedError(BulkRefusal.UNKNOWN_DIMENSION, f"column {wrong!r}: {value!r} is not of its vocabulary")
    host = shape[DIMENSIONS.index("host")]
    if shape[DIMENSIONS.index("vantage")] == Vantage.CANARY and host != header.host:
        raise BulkRefusedError(
            BulkRefusal.FOREIGN_HOST, f"column 'host': {host!r}: a canary speaks for itself, here {header.host!r}"
        )


def _shapes(columns: dict[str, Texts], header: Names, count: int) -> tuple[tuple[Shape, ...], NDArray[np.intp]]:
    """The different shapes, and which one each row has."""
    defaults: dict[str, str | None] = {"host": header.host, "zone": header.zone, "level": Level.ATTEMPT.value}
    combined = np.zeros(count, np.int64)
    rows = np.zeros(min(count, 1), np.int64)
    for column in columns.values():
        if column.codes is not None:
            combined = combined * (len(column.texts) + 1) + column.codes
            # compressed to ranks at once: the product of all columns' texts need not fit into 64 bits
            _, rows, combined = np.unique(combined, return_index=True, return_inverse=True)
    choices: list[list[str | None]] = []
    for name in DIMENSIONS:
        column_of = columns.get(name)
        default = defaults.get(name)
        if column_of is None:
            choices.append([default] * len(rows))
        elif column_of.codes is None:
            choices.append([column_of.texts[0] if column_of.texts else default] * len(rows))
        else:
            texts = (default, *column_of.texts)
            choices.append([texts[code] for code in column_of.codes[rows].tolist()])
    return tuple(zip(*choices, strict=True)), combined.astype(np.intp)
