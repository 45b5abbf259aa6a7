"""Which cells a host asks, when in the cadence, with which key and item and at which address (pure).

A cell is endpoint × operation × connection. Cells of one cadence form a group; with C cells and H hosts their cadence is cut into C·H
slots and every (cell, host) gets a slot of its own, so that

* one cell is seen by the H hosts of the region exactly cadence/H apart,
* one host asks the C cells of a group cadence/C apart (within gcd(C, H) slots),
* nothing of a group is asked twice at the same instant.

Everything follows from the configuration alone: hosts never talk to each other to agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from canary.config import CanaryConfig
from collector.observation import Connection, OperationClass


@dataclass(frozen=True, slots=True)
class Host:
    """One witness; ``rank`` is its place among all hosts of the region, zones alternating."""

    name: str
    zone: str
    rank: int


class Cell(msgspec.Struct, frozen=True, gc=False):
    """One question that is asked again and again; ``index`` is its place among a host's cells. ``endpoint`` of a check: its name."""

    index: int
    endpoint: str
    operation: OperationClass
    connection: Connection


class Key(msgspec.Struct, frozen=True, gc=False):
    """A partition key, and the partition that it is known to lie in (None: the target does not say)."""

    pk: str
    partition: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that are asked at the same cadence."""

    cadence_seconds: float
    cells: tuple[Cell, ...]


class Subject(StrEnum):
    """Whose item a write or a read is about: one that stays, one that is deleted and written anew, or another zone's."""

    MAIN = "main"
    BRIEF = "brief"
    PEER = "peer"


def hosts(config: CanaryConfig) -> tuple[Host, ...]:
    """All hosts of the region, in the order of their ranks."""
    names = ((number, zone) for number in range(1, config.hosts_per_zone + 1) for zone in config.zones)
    return tuple(Host(f"{zone}-canary-{number}", zone, rank) for rank, (number, zone) in enumerate(names))


def cells(config: CanaryConfig) -> tuple[Cell, ...]:
    """A host's cells: the store's, endpoints alternating fastest, so that each is asked evenly over the cadence; then the checks."""
    named = [
        (endpoint.name, OperationClass(operation), Connection(connection))
        for operation in (config.operations if config.endpoints else ())
        for connection in config.connections
        for endpoint in config.endpoints
    ]
    named += [(check.name, OperationClass.CHECK, Connection(check.connection)) for check in config.checks]
    return tuple(Cell(index, *names) for index, names in enumerate(named))


def groups(config: CanaryConfig) -> tuple[Group, ...]:
    """A host's cells by cadence, quickest first."""
    checks = {check.name: check.cadence_seconds for check in config.checks}
    by_cadence: dict[float, list[Cell]] = {}
    for cell in cells(config):
        own = checks[cell.endpoint] if cell.operation is OperationClass.CHECK else config.cadence_of(cell.operation)
        by_cadence.setdefault(own or config.cadence_seconds, []).append(cell)
    return tuple(Group(cadence, tuple(by_cadence[cadence])) for cadence in sorted(by_cadence))


def quick_cells(config: CanaryConfig) -> int:
    """How many of the store's cells are asked at the common cadence or oftener: those that must answer before the start is over."""
    return sum(
        cell.operation is not OperationClass.CHECK and config.cadence_of(cell.operation) <= config.cadence_seconds
        for cell in cells(config)
    )


def slots(cell_count: int, host_count: int, rank: int) -> tuple[int, ...]:
    """The slot, of ``cell_count × host_count`` in a cadence, of each cell of the host with this rank."""
    by_remainder = sorted(range(cell_count), key=lambda c: (c * host_count % cell_count, c))
    place = {cell: j for j, cell in enumerate(by_remainder)}
    total = cell_count * host_count
    return tuple(((c * host_count // cell_count + rank) * cell_count + place[c]) % total for c in range(cell_count))


def phases(cell_count: int, host_count: int, rank: int) -> tuple[float, ...]:
    """The slots as fractions of the cadence, in [0, 1)."""
    total = cell_count * host_count
    return tuple(slot / total for slot in slots(cell_count, host_count, rank))


def key_index(tick: int, cell: int, rank: int, keys: int) -> int:
    """Which key a cell asks at its ``tick``: the next one each time, other cells and hosts at other keys."""
    return (tick + cell + rank) % keys


def address_index(tick: int, cell: int, rank: int, keys: int) -> int:
    """Where in the (sorted) addresses a cell is at its ``tick``; to be taken modulo their number.

    One further at each tick, and one more after each round over the keys, so that every key meets every address.
    """
    return tick % keys + tick // keys + cell + rank


def subject(operation: OperationClass, tick: int, keys: int) -> Subject:
    """Whose item a tick is about. Of four rounds over the keys, writes and reads spend one on the brief item, reads one on a peer's."""
    turn = tick // keys % 4
    if operation not in SINGLE:
        return Subject.MAIN
    if turn == 3:
        return Subject.BRIEF
    return Subject.PEER if turn == 1 and operation is not OperationClass.WRITE else Subject.MAIN


SINGLE = frozenset({OperationClass.WRITE, OperationClass.STRONG_READ, OperationClass.EVENTUAL_READ})
"""Operations on one item."""


def is_second_turn(tick: int, keys: int) -> bool:
    """Every other time: brief items are deleted rather than written, transactions read rather than written."""
    return tick // keys // 4 % 2 == 1


def peer(everyone: Sequence[Host], me: Host, tick: int, keys: int) -> Host | None:
    """The host of another zone whose item is read at this tick, another one each time; None where there is one zone only."""
    others = [host for host in everyone if host.zone != me.zone]
    return others[(tick // keys // 4 + me.rank) % len(others)] if others else None


def candidate_key(number: int) -> str:
    """The partition keys that are tried, in this order, until every partition has one."""
    return f"canary-{number}"


def item_prefix(host: str, endpoint: str, connection: str) -> str:
    """What the sort keys of a host's items begin with, for each endpoint and connection; one writer each, in every partition."""
    return f"{host}/{endpoint}/{connection}/"


def goes_on(found: int, *, fruitless: int, wanted: int | None) -> bool:
    """Whether to go on looking for keys.

    ``wanted``: stop at so many partitions (their number is known), or after 60 tries without a new one. None: their number is not known
    any more, for a partition was split: go on until six times as many tries as there are partitions brought nothing new (chance to
    overlook one: about 1 in 400).
    """
    if wanted is None:
        return fruitless < max(FRUITLESS_TRIES, 6 * found)
    return found < wanted and fruitless < FRUITLESS_TRIES


FRUITLESS_TRIES = 60
