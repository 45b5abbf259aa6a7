"""The books as bytes, so that a restart need not read the log from its beginning (pure).

Two files: the *names* (which only ever grow, and are written again only when they have grown) and the *state*: senders and
open intervals. Each ends with its CRC32.
"""

import zlib
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from collector.bulk.books import Books, Limits
from collector.bulk.senders import Sender
from collector.bulk.tally import Tally

VERSION = 1
_SEPARATOR = "\n"  # no printable text holds one

T = TypeVar("T")


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The dictionary: tables one a line, shapes, the keys of all series by id."""

    tables: str
    shapes: list[tuple[str | None, ...]]
    keys: bytes


class SenderState(msgspec.Struct, frozen=True, kw_only=True):
    """One sender, with the ids of its numbers."""

    host: str
    boot: str
    zone: str
    seen: tuple[tuple[int, int], ...]
    last_at: float
    dropped: int
    ids: bytes


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that is not names. ``segment``: the first of the log that is not in it. ``tallies``: by start and place, int64."""

    version: int
    segment: int
    names: str
    cursor: int
    received_at: float
    senders: list[SenderState]
    tallies: dict[int, dict[str, bytes]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The books at one moment, in arrays of its own: the books go on while it is written."""

    tables: list[str]
    shapes: list[tuple[str | None, ...]]
    keys: NDArray[np.uint64]
    cursor: int
    received_at: float
    senders: list[Sender]
    tallies: dict[int, Tally]

    @property
    def names(self) -> str:
        """The name of its names file: the dictionary only grows, so that its sizes say which it is."""
        return f"names-{len(self.keys)}-{len(self.tables)}-{len(self.shapes)}.bin"


def snapshot(books: Books) -> Snapshot:
    """``books`` now."""
    dictionary, senders = books.dictionary, books.senders.by_name.values()
    return Snapshot(
        tables=dictionary.tables.values.copy(),
        shapes=dictionary.shapes.values.copy(),
        keys=dictionary.keys(0, len(dictionary)).copy(),
        cursor=books.cursor,
        received_at=books.received_at,
        senders=[Sender(s.host, s.boot, s.zone, s.seen, s.last_at, s.dropped, s.ids.copy()) for s in senders],
        tallies={start: one.copy() for start, one in books.tallies.items()},
    )


def names_file(taken: Snapshot) -> list[bytes]:
    """The parts of the names file."""
    keys = taken.keys.astype("<u8", copy=False).tobytes()
    return _sealed(Names(tables=_SEPARATOR.join(taken.tables), shapes=taken.shapes, keys=keys))


def state_file(taken: Snapshot, segment: int) -> list[bytes]:
    """The parts of the state file."""
    senders = [
        SenderState(
            host=s.host, boot=s.boot, zone=s.zone, seen=s.seen, last_at=s.last_at, dropped=s.dropped,
            ids=s.ids.astype("<u4", copy=False).tobytes(),
        )
        for s in taken.senders
    ]  # fmt: skip
    tallies = {
        start: {place: _trimmed(column) for place, column in one.columns.items()}
        for start, one in taken.tallies.items()
    }
    return _sealed(
        State(
            version=VERSION, segment=segment, names=taken.names, cursor=taken.cursor, received_at=taken.received_at,
            senders=senders, tallies=tallies,
        )
    )  # fmt: skip


def _trimmed(column: NDArray[np.int64]) -> bytes:
    used = np.flatnonzero(column)
    return column[: int(used[-1]) + 1 if len(used) else 0].astype("<i8", copy=False).tobytes()


def read_state(data: bytes) -> State:
    """A state file again; raises ValueError when it is damaged."""
    state = _opened(data, State)
    if state.version != VERSION:
        raise ValueError(f"version {state.version}, this program knows {VERSION}")
    return state


def restore(state: State, names: bytes, limits: Limits, through: dict[int, int]) -> Books:
    """The books again. ``through``: what is sealed; counts that are in a sealed interval already are left out.

    Raises ValueError when ``names`` is damaged.
    """
    books = Books(limits)
    told = _opened(names, Names)
    books.dictionary.tables.intern(told.tables.split(_SEPARATOR) if told.tables else [])
    books.dictionary.shapes.intern(told.shapes)
    books.dictionary.register(np.frombuffer(told.keys, "<u8").astype(np.uint64))
    for s in state.senders:
        ids = np.frombuffer(s.ids, "<u4").astype(np.uint32)
        books.senders.restore(Sender(s.host, s.boot, s.zone, s.seen, s.last_at, s.dropped, ids))
    books.cursor, books.received_at, books.through = state.cursor, state.received_at, dict(through)
    for start, columns in state.tallies.items():
        if through.get(start, -1) < state.cursor:
            books.tallies[start] = Tally(
                {place: np.frombuffer(column, "<i8").astype(np.int64) for place, column in columns.items()}
            )
    return books


def _sealed(value: Any) -> list[bytes]:
    body = msgspec.msgpack.encode(value)
    return [body, zlib.crc32(body).to_bytes(4, "little")]


def _opened(data: bytes, kind: type[T]) -> T:
    body = memoryview(data)[:-4]
    if len(data) < 4 or zlib.crc32(body) != int.from_bytes(data[-4:], "little"):
        raise ValueError("its checksum is wrong")
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
