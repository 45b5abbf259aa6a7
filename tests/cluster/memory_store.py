# ruff: noqa: D102 -- cluster.ports.Store says what its methods do
"""A :class:`cluster.ports.Store` in memory: what the front's tests serve."""

import dataclasses
from typing import Any

import msgspec

from cluster.api.attributes import key_of_item
from cluster.api.capacity import item_bytes
from cluster.api.evaluation import evaluate
from cluster.ports import (
    Bounds,
    ErrorKind,
    Item,
    ItemKey,
    Partition,
    RangeAnswer,
    ReadAnswer,
    StoreError,
    Table,
    Via,
    WriteAnswer,
    WriteRequest,
)
from cluster.topology import key_hash

PAGE_BYTES = 1024 * 1024
VIA = Via(node="az1-node-1", partition="p0")


@dataclasses.dataclass
class MemoryStore:
    """Items as encoded JSON (as a real store would keep them). ``failing``: raised by the next calls for these keys or for all."""

    catalogue: dict[str, Table] = dataclasses.field(default_factory=dict)
    items: dict[str, dict[ItemKey, bytes]] = dataclasses.field(default_factory=dict)
    failing: StoreError | Exception | None = None
    failing_keys: set[bytes] = dataclasses.field(default_factory=set)
    asked: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)

    def _fail(self, key: ItemKey | None = None) -> None:
        if self.failing is not None and (not self.failing_keys or (key and key.partition_key in self.failing_keys)):
            raise self.failing

    async def table(self, name: str) -> Table | None:
        return self.catalogue.get(name)

    async def tables(self) -> list[str]:
        return sorted(self.catalogue)

    async def create_table(self, table: Table) -> Table:
        if table.name in self.catalogue:
            raise StoreError(ErrorKind.TABLE_EXISTS)
        partition = Partition("p0", 0, 2**64, ("az1-node-1", "az2-node-1", "az3-node-1"))
        self.catalogue[table.name] = msgspec.structs.replace(table, status="ACTIVE", partitions=(partition,))
        self.items[table.name] = {}
        return self.catalogue[table.name]

    async def delete_table(self, name: str) -> Table:
        if name not in self.catalogue:
            raise StoreError(ErrorKind.NO_SUCH_TABLE)
        del self.items[name]
        return self.catalogue.pop(name)

    def _item(self, table: Table, key: ItemKey) -> Item | None:
        stored = self.items[table.name].get(key)
        return None if stored is None else msgspec.json.decode(stored)

    async def read(self, table: Table, key: ItemKey, *, strong: bool) -> ReadAnswer:
        self.asked.append(("read", table.name, strong))
        self._fail(key)
        return ReadAnswer(item=self._item(table, key), via=VIA)

    async def write(self, table: Table, key: ItemKey, request: WriteRequest) -> WriteAnswer:
        self._fail(key)
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=WriteRequest)
        result = evaluate(sent, table, self._item(table, key))
        if result.new is None:
            self.items[table.name].pop(key, None)
        else:
            assert key_of_item(table, result.new) == key
            self.items[table.name][key] = msgspec.json.encode(result.new)
        return WriteAnswer(result=result, via=VIA)

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
        self._fail()
        keys = sorted(
            (k for k in self.items[table.name] if k.partition_key == partition_key and _within(k.sort_key, bounds)),
            key=lambda k: k.sort_key,
            reverse=not forward,
        )
        if after is not None:
            keys = [k for k in keys if (k.sort_key > after if forward else k.sort_key < after)]
        return self._page(table, keys, limit)

    async def scan(self, table: Table, *, strong: bool, limit: int | None, after: ItemKey | None) -> RangeAnswer:
        self._fail()

        def place(key: ItemKey) -> tuple[int, bytes, bytes]:
            return key_hash(key.partition_key), key.partition_key, key.sort_key

        keys = sorted(self.items[table.name], key=place)
        return self._page(table, [k for k in keys if after is None or place(k) > place(after)], limit)

    def _page(self, table: Table, keys: list[ItemKey], limit: int | None) -> RangeAnswer:
        page: list[Item] = []
        size = 0
        for key in keys[:limit]:
            item = self._item(table, key)
            assert item is not None
            size += item_bytes(item)
            if page and size > PAGE_BYTES:
                break
            page.append(item)
        return RangeAnswer(items=tuple(page), more=len(page) < len(keys), via=VIA)


def _within(key: bytes, bounds: Bounds) -> bool:
    lower, upper = bounds.lower, bounds.upper
    if lower is not None and (key < lower or (key == lower and not bounds.lower_inclusive)):
        return False
    return upper is None or key < upper or (key == upper and bounds.upper_inclusive)
