"""The joint between the store's front (HTTP, DynamoDB's API) and its back (routing, replication, storage) (pure).

The front turns a DynamoDB request into these values and calls a :class:`Store`; the back finds the partition, asks the
right replica and answers or raises :class:`StoreError`. Items are DynamoDB attribute maps: ``{"pk": {"S": "a"}}``.
"""

from enum import StrEnum
from typing import Any, Protocol

import msgspec

Item = dict[str, Any]
"""An item as DynamoDB JSON: attribute name → ``{"S": …}`` and so on (binary as base64 text)."""


class KeyAttribute(msgspec.Struct, frozen=True):
    """A key attribute: its name and its type (``S``, ``N`` or ``B``)."""

    name: str
    type: str


class Partition(msgspec.Struct, frozen=True):
    """A contiguous piece ``[start, end)`` of the 64-bit hash ring, and the nodes that hold it, preferred leader first.

    ``log_replicas`` hold its recent log only. ``epoch``: the LSN of the change of members that made it so (0: as it was placed);
    ``zones``: the order of preference of its leaders' zones.
    """

    id: str
    start: int
    end: int
    replicas: tuple[str, ...]
    log_replicas: tuple[str, ...] = ()
    epoch: int = 0
    zones: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table as the catalogue knows it. ``created_at`` in UTC epoch seconds; ``status``: CREATING, ACTIVE or DELETING."""

    name: str
    id: str
    hash_key: KeyAttribute
    range_key: KeyAttribute | None
    partitions: tuple[Partition, ...]
    created_at: float
    status: str = "ACTIVE"
    billing_mode: str = "PAY_PER_REQUEST"
    read_units: int = 0
    write_units: int = 0
    read_units_per_partition: float = 3000.0
    write_units_per_partition: float = 1000.0


class ItemKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An item's place: the partition key's bytes, and the sort key in an encoding whose byte order is the key's order (b"" if none)."""

    partition_key: bytes
    sort_key: bytes = b""


class WriteRequest(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A validated PutItem, UpdateItem or DeleteItem.

    ``parameters`` is the request's JSON (Item/Key, expressions, names, values, ReturnValues…); the leader evaluates it
    against the current item with :class:`Evaluate`. ``blind``: the result is the same whatever is there, and need not be evaluated
    against it; ``shows``: whoever asks wants to see the item before and after (else the result says that there is none).
    """

    operation: str
    parameters: dict[str, Any]
    blind: bool = False
    shows: bool = True


class WriteResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The item before and after (None: absent). ``updated`` names top-level attributes that an update touched."""

    old: Item | None
    new: Item | None
    updated: tuple[str, ...] = ()


class Evaluate(Protocol):
    """Pure: what a write makes of an item. Raises :class:`ConditionFailed` or :class:`InvalidWrite`."""

    def __call__(self, request: WriteRequest, table: Table, old: Item | None) -> WriteResult:
        """The result of ``request`` on ``old``."""
        ...


class ConditionFailed(Exception):
    """The condition expression is false; carries the item as it is."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("The conditional request failed")
        self.item = item


class InvalidWrite(Exception):
    """The write cannot be applied to this item (an update of the wrong type, an item too large): a ValidationException."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """A range of sort keys in their byte encoding; None is open."""

    lower: bytes | None = None
    lower_inclusive: bool = True
    upper: bytes | None = None
    upper_inclusive: bool = True


class Via(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who answered: the storage node and the partition (for ``x-replica`` and ``x-partition``); None when nobody was reached."""

    node: str | None = None
    partition: str | None = None


class ReadAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One item or None."""

    item: Item | None
    via: Via


class RangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Items in key order (or reversed), at most 1 MB of them; ``more``: there are further ones after the last."""

    items: tuple[Item, ...]
    more: bool
    via: Via


class WriteAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of an acknowledged (replicated, fsynced) write."""

    result: WriteResult
    via: Via


class ErrorKind(StrEnum):
    """Why the back could not answer; ``cluster.errors`` maps each to status, DynamoDB error and whose fault it is."""

    NO_LEADER = "no_leader"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    NO_SUCH_TABLE = "no_such_table"
    TABLE_EXISTS = "table_exists"
    CORRUPT = "corrupt"
    DISK_FULL = "disk_full"
    INTERNAL = "internal"


class StoreError(Exception):
    """The back's refusal, with the node that was (last) asked."""

    def __init__(self, kind: ErrorKind, message: str = "", *, via: Via | None = None) -> None:
        super().__init__(message or kind.value)
        self.kind = kind
        self.via = via or Via()


class Store(Protocol):
    """What a router offers to the API in front of it."""

    async def table(self, name: str) -> Table | None:
        """The table, or None."""
        ...

    async def tables(self) -> list[str]:
        """All table names, sorted."""
        ...

    async def create_table(self, table: Table) -> Table:
        """Create it (``partitions`` empty: the back places them) and wait until it can be used; raises TABLE_EXISTS."""
        ...

    async def delete_table(self, name: str) -> Table:
        """Delete it; raises NO_SUCH_TABLE."""
        ...

    async def read(self, table: Table, key: ItemKey, *, strong: bool) -> ReadAnswer:
        """One item."""
        ...

    async def range(
        self,
        table: Table,
        partition_key: bytes,
        bounds: Bounds,
        *,
        strong: bool,
        forward: bool,
        limit: int | None,
        after: bytes | None,
    ) -> RangeAnswer:
        """Items of one partition key with sort keys within ``bounds``, after the sort key ``after``, at most ``limit``."""
        ...

    async def scan(self, table: Table, *, strong: bool, limit: int | None, after: ItemKey | None) -> RangeAnswer:
        """Items of the whole table in ring order, after ``after``."""
        ...

    async def write(self, table: Table, key: ItemKey, request: WriteRequest) -> WriteAnswer:
        """Apply one write; raises :class:`StoreError`, :class:`ConditionFailed` or :class:`InvalidWrite`."""
        ...
