"""Counts in columns, by the million: frames of ``POST /v1/counters`` and of the counters' feed (pure; a contract module).

A **frame** is ``magic "5NC1", u32 header length, u64 frame length`` (little-endian, as all that follows), a msgpack header, and
arrays, each padded with zeros to a multiple of 8 bytes. Its header says which arrays there are:

* :class:`Counts`: increments of many series in one UTC second (or the few seconds that end there). Each :class:`Section` has
  ``u32[count]`` series numbers in strictly ascending order (none when ``first`` is given: the numbers are then
  ``first … first + count - 1``) and ``count`` unsigned increments of ``width`` bytes.
* :class:`Names`: what the sender's series numbers mean: ``u32[count]`` numbers (none with ``first``), then for each
  :class:`Column` ``u16[distinct]`` lengths in bytes, the texts one after another in UTF-8, and, unless the column is
  ``constant``, ``u32[count]`` codes: 0 is None, ``k`` the k-th text.
* :class:`Told`: an accepted :class:`Counts` as the feed tells it; its numbers are the collector's, one numbering for all senders.

**Increments, not totals.** A sender counts what is new since its last batch, numbers its batches 1, 2, 3, … and sends each again
until it is acknowledged: then every event is counted exactly once, in the interval in which it happened. Totals since a start
would heal a lost batch by themselves, but by telling its failures in a later interval than customers had them, and the last
batch before a restart would be missed without a trace. With increments a batch that is lost for good is a hole in its sender's
numbers: it is shown as unobserved, and no other interval is made worse or better by it.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from collector.merge import BUCKETS, OUTCOMES

MAGIC = b"5NC1"
PREFIX = struct.Struct("<4sIQ")
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_NAMES = 65_536
"""Series in one :class:`Names`."""
MAX_TEXT_BYTES = 1024
NUMBER_MAX = 2**24
"""Series numbers of a sender are below this; they should be dense, since the collector keeps four bytes for each up to the highest."""

PLACES: tuple[str, ...] = (*[str(o) for o in OUTCOMES], *[f"bucket_{n}" for n in range(BUCKETS)])
"""What a section may count: an outcome, or a bucket of the latency histogram (``LATENCY_BOUNDS_MS``), as in :mod:`collector.merge`."""

Numbers = NDArray[np.uint32]
_DTYPES: "dict[int, np.dtype[Any]]" = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}
_U2, _U4 = np.dtype("<u2"), np.dtype("<u4")


class FrameError(ValueError):
    """Bytes that are not what this module says; the text names the place."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of increments: of which place, how many, how wide."""

    place: str
    count: int
    width: int = 4
    first: int | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="counts"):
    """``(host, boot, sequence)`` is its identity: a second arrival changes nothing. ``at``: UTC epoch second.

    ``dropped``: increments that the sender had to give up since its last batch (its own bound was reached); kept and shown, never counted.
    """

    host: str
    zone: str
    boot: str
    sequence: int
    sent_at: float
    at: int
    sections: tuple[Section, ...] = ()
    dropped: int = 0


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dimension of :class:`~collector.series.Series`; dimensions that are not told are None (``host``, ``zone``: the sender's)."""

    dimension: str
    distinct: int
    text_bytes: int
    constant: bool = False


class Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="names"):
    """What numbers mean. May be sent again at any time; a number never changes its meaning within one ``boot``."""

    host: str
    zone: str
    boot: str
    count: int
    first: int | None = None
    columns: tuple[Column, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="told"):
    """An entry of the counters' feed. ``cursor`` grows; ``received_at`` (the collector's clock) never decreases."""

    cursor: int
    received_at: float
    host: str
    zone: str
    boot: str
    sequence: int
    at: int
    sections: tuple[Section, ...] = ()
    dropped: int = 0


Header = Counts | Names | Told
_DECODER = msgspec.msgpack.Decoder(Header)
_ENCODER = msgspec.msgpack.Encoder()
H = TypeVar("H", bound=Header)


@dataclass(frozen=True, slots=True)
class Increments:
    """A section with its arrays: ``values[k]`` more of ``place`` for the series ``numbers[k]``."""

    place: str
    numbers: Numbers
    values: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Texts:
    """A column with its arrays: ``codes`` is None when all series share the one text (or None)."""

    dimension: str
    texts: tuple[str, ...]
    codes: Numbers | None


@dataclass(frozen=True, slots=True)
class Frame:
    """A header, its arrays as views of the received bytes, and where the next frame begins."""

    header: Header
    numbers: Numbers
    increments: tuple[Increments, ...]
    columns: tuple[Texts, ...]
    end: int


# --- writing ------------------------------------------------------------------------------------------------------------------


def encode(header: Header, arrays: Sequence[NDArray[Any] | bytes]) -> bytes:
    """A frame of ``header`` and its arrays in the order that it names them."""
    body = _ENCODER.encode(header)
    parts: list[bytes | memoryview] = [b"", body, bytes(-len(body) % 8)]
    for array in arrays:
        data = array if isinstance(array, bytes) else np.ascontiguousarray(array).data.cast("B")
        parts += [data, bytes(-len(data) % 8)]
    parts[0] = PREFIX.pack(MAGIC, len(body), PREFIX.size + sum(map(len, parts)))
    return b"".join(parts)


def sections_of(increments: Sequence[Increments]) -> tuple[tuple[Section, ...], list[NDArray[Any]]]:
    """The header's sections and the frame's arrays for ``increments``; numbers without a hole are told by their first."""
    sections, arrays = [], []
    for one in increments:
        numbers, values = one.numbers, one.values
        count = len(numbers)
        width, first = values.dtype.itemsize, _first_of_run(numbers)
        sections.append(Section(place=one.place, count=count, width=width, first=first))
        if first is None:
            arrays.append(numbers.astype(_U4, copy=False))
        arrays.append(values.astype(_DTYPES[width], copy=False))
    return tuple(sections), arrays


def _first_of_run(numbers: Numbers) -> int | None:
    """The first of numbers that ascend by one; None when they do not."""
    count = len(numbers)
    if not count or int(numbers[-1]) - int(numbers[0]) != count - 1 or not bool(np.all(numbers[1:] > numbers[:-1])):
        return None
    return int(numbers[0])


def encode_names(
    sender: tuple[str, str, str], numbers: Numbers, columns: Sequence[tuple[str, Sequence[str | None]]]
) -> bytes:
    """A :class:`Names` frame of ``sender`` (host, zone, boot): for each dimension one text (or None) a series."""
    told, arrays = [], list[NDArray[Any] | bytes]()
    count, first = len(numbers), _first_of_run(numbers)
    if first is None:
        arrays.append(numbers.astype(_U4, copy=False))
    for dimension, texts in columns:
        column, parts = _column(dimension, texts)
        told.append(column)
        arrays += parts
    host, zone, boot = sender
    return encode(Names(host=host, zone=zone, boot=boot, count=count, first=first, columns=tuple(told)), arrays)


def _column(dimension: str, texts: Sequence[str | None]) -> tuple[Column, list[NDArray[Any] | bytes]]:
    known: dict[str, int] = {}
    codes = [0 if text is None else known.setdefault(text, len(known) + 1) for text in texts]
    encoded = [text.encode() for text in known]
    is_constant = len(set(codes)) <= 1
    column = Column(
        dimension=dimension, distinct=len(known), text_bytes=sum(map(len, encoded)), constant=is_constant
    )  # fmt: skip
    arrays: list[NDArray[Any] | bytes] = [np.array([len(text) for text in encoded], _U2), b"".join(encoded)]
    if not is_constant:
        arrays.append(np.array(codes, _U4))
    return column, arrays


# --- reading ------------------------------------------------------------------------------------------------------------------


class _Cursor:
    """Takes one array after the other off a frame; never reads beyond its end."""

    def __init__(self, data: memoryview, at: int, end: int) -> None:
        self._data, self.at, self._end = data, at, end

    def take(self, count: int, dtype: "np.dtype[Any]") -> NDArray[Any]:
        size = count * dtype.itemsize
        if count < 0 or size > self._end - self.at:
            raise FrameError(
                f"byte {self.at}: an array of {count} × {dtype.itemsize} bytes does not fit into its frame"
            )
        array = np.frombuffer(self._data, dtype, count, self.at)
        self.at += size + -size % 8
        return array


def decode_header(data: bytes | bytearray | memoryview, at: int = 0) -> Header:
    """The header alone of the frame at byte ``at``, which may be cut off behind it; raises :class:`FrameError`."""
    return _head(memoryview(data), at)[0]


def _head(view: memoryview, at: int) -> tuple[Header, int, int]:
    """The header, where it ends, and where the frame says that it ends."""
    if len(view) - at < PREFIX.size:
        raise FrameError(f"byte {at}: {len(view) - at} bytes are less than a frame's beginning")
    magic, length, whole = PREFIX.unpack_from(view, at)
    begin, end = at + PREFIX.size, at + whole
    if magic != MAGIC:
        raise FrameError(f"byte {at}: not a frame of this version")
    if length > MAX_HEADER_BYTES or begin + length > min(end, len(view)) or whole % 8:
        raise FrameError(f"byte {at}: lengths that do not fit: header {length}, frame {whole}")
    try:
        return _DECODER.decode(view[begin : begin + length]), begin + length, end
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"header: {error}") from error


def decode(data: bytes | bytearray | memoryview, at: int = 0) -> Frame:
    """The frame that begins at byte ``at``, its arrays checked for shape (not for meaning); raises :class:`FrameError`."""
    view = memoryview(data)
    header, behind, end = _head(view, at)
    if end > len(view):
        raise FrameError(f"byte {at}: cut off, {end - len(view)} bytes are missing")
    cursor = _Cursor(view, behind + -(behind - at) % 8, end)
    frame = _with_names(header, cursor) if isinstance(header, Names) else _with_increments(header, cursor)
    if frame.end != end:
        raise FrameError(f"byte {frame.end}: {end - frame.end} bytes more than the header tells of")
    return frame


def decode_told(data: bytes) -> Iterator[tuple[Told, tuple[Increments, ...]]]:
    """The entries of an answer of ``GET /v1/counters/feed``, oldest first; raises :class:`FrameError`."""
    at = 0
    while at < len(data):
        frame = decode(data, at)
        if not isinstance(frame.header, Told):
            raise FrameError(f"byte {at}: not an entry of a feed")
        yield frame.header, frame.increments
        at = frame.end


def _numbers(cursor: _Cursor, count: int, first: int | None) -> Numbers:
    if first is None:
        return cursor.take(count, _U4)
    if not 0 <= first <= 2**32 or not 0 <= count <= NUMBER_MAX or first + count > 2**32:
        raise FrameError(f"first: {first} and count: {count} are no series numbers")
    return np.arange(first, first + count, dtype=_U4)


def _with_increments(header: Counts | Told, cursor: _Cursor) -> Frame:
    found = []
    for section in header.sections:
        if section.place not in PLACES or section.width not in _DTYPES:
            raise FrameError(f"sections: place {section.place[:40]!r}, width {section.width}")
        # Values before numbers are made up: a short frame must not make us allocate what it only claims.
        if section.first is None:
            numbers = _numbers(cursor, section.count, None)
            values = cursor.take(section.count, _DTYPES[section.width])
        else:
            values = cursor.take(section.count, _DTYPES[section.width])
            numbers = _numbers(cursor, section.count, section.first)
        found.append(Increments(section.place, numbers, values))
    return Frame(header, np.empty(0, _U4), tuple(found), (), cursor.at)


def _with_names(header: Names, cursor: _Cursor) -> Frame:
    if not 0 <= header.count <= MAX_NAMES:
        raise FrameError(f"count: {header.count}, at most {MAX_NAMES}")
    numbers = _numbers(cursor, header.count, header.first)
    columns = tuple(_texts(column, header.count, cursor) for column in header.columns)
    return Frame(header, numbers, (), columns, cursor.at)


def _texts(column: Column, count: int, cursor: _Cursor) -> Texts:
    name = column.dimension[:40]
    lengths = cursor.take(column.distinct, _U2)
    blob = cursor.take(column.text_bytes, _DTYPES[1]).tobytes()
    if int(lengths.sum(dtype=np.int64)) != len(blob) or (len(lengths) and int(lengths.max()) > MAX_TEXT_BYTES):
        raise FrameError(f"column {name!r}: lengths of texts that do not fit")
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    try:
        texts = tuple(str(blob[begin:end], "utf-8") for begin, end in zip([0, *ends], ends, strict=False))
    except UnicodeDecodeError as error:
        raise FrameError(f"column {name!r}: {error}") from error
    if column.constant:
        if column.distinct > 1:
            raise FrameError(f"column {name!r}: constant with {column.distinct} texts")
        return Texts(column.dimension, texts, None)
    codes = cursor.take(count, _U4)
    if count and int(codes.max()) > len(texts):
        raise FrameError(f"column {name!r}: a code beyond its texts")
    return Texts(column.dimension, texts, codes)
