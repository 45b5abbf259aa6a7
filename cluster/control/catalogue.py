"""The catalogue: all tables, kept as the items of a table of its own, in one replication group over all zones (pure)."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cluster.config import ClusterConfig
from cluster.control import placement
from cluster.control.healing import FleetNode
from cluster.ports import (
    ErrorKind,
    Item,
    ItemKey,
    KeyAttribute,
    Partition,
    StoreError,
    Table,
    WriteRequest,
    WriteResult,
)
from cluster.replication.membership import Member, Members, storage
from cluster.routing.messages import MembersAre
from cluster.topology import RING_END, key_hash, replica_names, zone_of

NAME = "catalogue"
GROUP = f"{NAME}/0"
_ATTRIBUTE = "table"


def group_of(table: Table, partition: Partition) -> str:
    """The replication group of a partition."""
    return f"{table.id}/{partition.id}"


def members_of(partition: Partition) -> Members:
    """The members of a partition's replication group as the catalogue has them."""
    storage = (Member(node, zone_of(node)) for node in partition.replicas)
    return (*storage, *(Member(node, zone_of(node), log_only=True) for node in partition.log_replicas))


def catalogue_table(config: ClusterConfig) -> Table:
    """The table that holds the tables: one partition, on the first storage node of each zone."""
    partition = Partition("0", 0, RING_END, replica_names(config, 0))
    key = KeyAttribute("name", "S")
    return Table(name=NAME, id=NAME, hash_key=key, range_key=None, partitions=(partition,), created_at=0.0)


def item_key(table_name: str) -> ItemKey:
    """Where a table's item is in the catalogue."""
    return ItemKey(table_name.encode())


def place(config: ClusterConfig, count: int) -> tuple[Partition, ...]:
    """``count`` partitions that cut the ring evenly, each on three nodes."""
    pieces = enumerate(placement.cuts(count))
    return tuple(Partition(str(i), start, end, replica_names(config, i)) for i, (start, end) in pieces)


def partition_of(table: Table, position: int) -> Partition:
    """The partition that holds a position of the ring."""
    for partition in reversed(table.partitions):
        if partition.start <= position:
            return partition
    return table.partitions[0]


def locate(table: Table, partition_key: bytes) -> Partition:
    """The partition that holds a partition key."""
    return partition_of(table, key_hash(partition_key))


def creation(table: Table, partitions: int = 1) -> WriteRequest:
    """The write that adds a table to the catalogue; one without partitions gets so many."""
    parameters = {_ATTRIBUTE: msgspec.to_builtins(table), "partitions": partitions}
    return WriteRequest(operation="CreateTable", parameters=parameters)


def deletion() -> WriteRequest:
    """The write that takes a table out of the catalogue."""
    return WriteRequest(operation="DeleteTable", parameters={})


def membership(group: str, word: MembersAre) -> WriteRequest:
    """The write that puts a group's members into its table's item."""
    parameters = {"group": group, "members": msgspec.to_builtins(word.members), "epoch": word.config_lsn}
    return WriteRequest(operation="ChangeMembers", parameters=parameters)


def with_members(table: Table, group: str, members: Members, epoch: int) -> Table:
    """``table`` with the members of one of its groups, unless what it has is as new."""
    changed = tuple(
        msgspec.structs.replace(
            partition,
            replicas=storage(members),
            log_replicas=tuple(member.node for member in members if member.log_only),
            epoch=epoch,
            zones=partition.zones or tuple(zone_of(node) for node in partition.replicas),
        )
        if group_of(table, partition) == group and partition.epoch < epoch
        else partition
        for partition in table.partitions
    )
    return msgspec.structs.replace(table, partitions=changed)


def evaluate(
    request: WriteRequest, table: Table, old: Item | None, *, fleet: Mapping[str, FleetNode] | None = None
) -> WriteResult:
    """What a creation, a deletion or a change of members makes of a table's item; raises :class:`StoreError`.

    A new table that says only how many partitions it wants gets them on nodes of ``fleet``. ``table`` is the catalogue's.
    """
    if request.operation == "ChangeMembers":
        return _changed(request, old)
    if request.operation == "CreateTable":
        if old is not None:
            raise StoreError(ErrorKind.TABLE_EXISTS, "Table already exists")
        return WriteResult(old=None, new={_ATTRIBUTE: msgspec.to_builtins(_placed(request, table, fleet or {}))})
    if old is None:
        raise StoreError(ErrorKind.NO_SUCH_TABLE, "no such table")
    return WriteResult(old=old, new=None)


def _placed(request: WriteRequest, own: Table, fleet: Mapping[str, FleetNode]) -> Table:
    """The new table with its partitions on nodes."""
    new = msgspec.convert(request.parameters[_ATTRIBUTE], Table)
    if new.partitions:
        return new
    zones = [zone_of(node) for node in own.partitions[0].replicas]
    partitions = placement.place(request.parameters["partitions"], zones, fleet)
    if partitions is None:
        raise StoreError(ErrorKind.UNAVAILABLE, "fewer than three storage nodes are alive")
    return msgspec.structs.replace(new, partitions=partitions)


def _changed(request: WriteRequest, old: Item | None) -> WriteResult:
    if old is None:
        raise StoreError(ErrorKind.NO_SUCH_TABLE, "no such table")
    given = request.parameters
    members = msgspec.convert(given["members"], Members)
    changed = with_members(table_in(old), given["group"], members, given["epoch"])
    return WriteResult(old=old, new={_ATTRIBUTE: msgspec.to_builtins(changed)})


def table_in(item: dict[str, Any]) -> Table:
    """The table in an item of the catalogue."""
    return msgspec.convert(item[_ATTRIBUTE], Table)


def missing(config: ClusterConfig, existing: Iterable[str], *, at: float, nonce: str) -> list[Table]:
    """Tables that the configuration wants from the start and the catalogue does not hold yet."""
    names = set(existing)
    return [
        Table(
            name=wanted.name,
            id=f"{wanted.name}-{nonce}",
            hash_key=KeyAttribute("pk", "S"),
            range_key=KeyAttribute("sk", "S") if wanted.sort_key else None,
            partitions=place(config, wanted.partitions),
            created_at=at,
            read_units_per_partition=wanted.read_units_per_partition,
            write_units_per_partition=wanted.write_units_per_partition,
        )
        for wanted in config.tables
        if wanted.name not in names
    ]
