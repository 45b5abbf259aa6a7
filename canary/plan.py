"""Which cells a host asks, when in the cadence, with which key and at which address (pure).

A cell is endpoint × operation × connection. With C cells and H hosts the cadence is cut into C·H slots and every
(cell, host) gets a slot of its own, so that

* one cell is seen by the H hosts of the region exactly cadence/H apart,
* one host asks its C cells cadence/C apart (within gcd(C, H) slots),
* nothing is asked twice at the same instant.

Everything follows from the configuration alone: hosts never talk to each other to agree.
"""

from dataclasses import dataclass

from canary.config import CanaryConfig
from collector.observation import Connection, OperationClass


@dataclass(frozen=True, slots=True)
class Host:
    """One witness; ``rank`` is its place among all hosts of the region, zones alternating."""

    name: str
    zone: str
    rank: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One question that is asked again and again; ``index`` is its place among a host's cells."""

    index: int
    endpoint: str
    operation: OperationClass
    connection: Connection


@dataclass(frozen=True, slots=True)
class Key:
    """A partition key, and the partition that it is known to lie in (None: the target does not say)."""

    pk: str
    partition: str | None


def hosts(config: CanaryConfig) -> tuple[Host, ...]:
    """All hosts of the region, in the order of their ranks."""
    names = ((number, zone) for number in range(1, config.hosts_per_zone + 1) for zone in config.zones)
    return tuple(Host(f"{zone}-canary-{number}", zone, rank) for rank, (number, zone) in enumerate(names))


def cells(config: CanaryConfig) -> tuple[Cell, ...]:
    """A host's cells; endpoints alternate fastest, so that each endpoint is asked evenly over the cadence."""
    named = (
        (endpoint.name, OperationClass(operation), Connection(connection))
        for operation in config.operations
        for connection in config.connections
        for endpoint in config.endpoints
    )
    return tuple(Cell(index, *names) for index, names in enumerate(named))


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


def candidate_key(number: int) -> str:
    """The partition keys that are tried, in this order, until every partition has one."""
    return f"canary-{number}"


def sort_key(host: str, cell: Cell) -> str:
    """The item that a write cell owns in every partition; the read cells of the same endpoint and connection read it."""
    return f"{host}/{cell.endpoint}/{cell.connection}"


def goes_on(found: int, *, fruitless: int, wanted: int) -> bool:
    """Whether to go on looking for keys: until all partitions are found or 60 tries brought nothing new."""
    return found < wanted and fruitless < FRUITLESS_TRIES


FRUITLESS_TRIES = 60
