"""The back of a router: finds the partition, asks the right replica, answers or raises (shell)."""

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

import msgspec

from cluster.config import ClusterConfig
from cluster.control import catalogue
from cluster.ports import (
    Bounds,
    ConditionFailed,
    ErrorKind,
    InvalidWrite,
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
    WriteResult,
)
from cluster.routing.candidates import Suspects, for_eventual_read, for_leader
from cluster.routing.leader_search import ROUND_PAUSE_SECONDS, SEARCH_SHARE, Search
from cluster.routing.messages import (
    Body,
    ConditionFalse,
    ItemIs,
    ItemsAre,
    NotLeader,
    ReadItem,
    ReadPage,
    ReadRange,
    Refused,
    WriteInvalid,
    WriteItem,
    Written,
)
from cluster.routing.tables import TableCache
from cluster.storage.table import PAGE_BYTES
from cluster.transport import Hub, NoAnswer, Unreachable

logger = logging.getLogger("cluster")

EVENTUAL_SECONDS = 0.25
"""Patience with one replica in an eventual read, as long as there is another to ask."""
CREATE_SECONDS = 15.0
Question = ReadItem | ReadRange | ReadPage | WriteItem


class _Answered(NamedTuple):
    body: Body
    via: Via


class RouterBack:
    """Implements :class:`cluster.ports.Store` for one router."""

    def __init__(
        self, name: str, *, config: ClusterConfig, hub: Hub, zone_of: Mapping[str, str], memds: tuple[str, ...]
    ) -> None:
        self.name = name
        self._config, self._hub, self._zone_of = config, hub, zone_of
        self._patience = config.timing.request_timeout_seconds
        self._tables = TableCache(name, hub=hub, memds=memds)
        self._leaders: dict[str, str] = {}
        self._suspects = Suspects()
        self._catalogue = catalogue.catalogue_table(config)
        hub.attach(name, self._tables)

    # --- tables ---------------------------------------------------------------------------------------------------------

    async def table(self, name: str) -> Table | None:
        """The table, or None; raises UNAVAILABLE when nobody knows the routes."""
        return await self._tables.find(name)

    async def tables(self) -> list[str]:
        """All table names, sorted."""
        return sorted(table.name for table in await self._tables.all())

    async def create_table(self, table: Table) -> Table:
        """Let autoadmin place its partitions and add it to the catalogue, and wait until every partition has a leader."""
        wanted = catalogue.creation(msgspec.structs.replace(table, status="ACTIVE"), self._config.default_partitions)
        answer = await self.write(self._catalogue, catalogue.item_key(table.name), wanted)
        assert answer.result.new is not None
        placed = catalogue.table_in(answer.result.new)
        self._tables.put(placed)
        async with asyncio.timeout(CREATE_SECONDS):
            await asyncio.gather(*(self._usable(placed, partition) for partition in placed.partitions))
        return placed

    async def _usable(self, table: Table, partition: Partition) -> None:
        while True:
            try:
                await self._from_leader(
                    table,
                    partition,
                    ReadPage(group=catalogue.group_of(table, partition), strong=True, limit=1, after=None),
                )
            except StoreError:
                await asyncio.sleep(ROUND_PAUSE_SECONDS)
            else:
                return

    async def delete_table(self, name: str) -> Table:
        """Take it out of the catalogue; the nodes drop it within a second."""
        answer = await self.write(self._catalogue, catalogue.item_key(name), catalogue.deletion())
        self._tables.put(None, name=name)
        assert answer.result.old is not None
        return msgspec.structs.replace(catalogue.table_in(answer.result.old), status="DELETING")

    # --- items ----------------------------------------------------------------------------------------------------------

    async def read(self, table: Table, key: ItemKey, *, strong: bool) -> ReadAnswer:
        """One item."""
        partition = catalogue.locate(table, key.partition_key)
        question = ReadItem(catalogue.group_of(table, partition), key, strong)
        answer = await self._ask(table, partition, question)
        if not isinstance(answer.body, ItemIs):
            _refuse(answer)
        return ReadAnswer(item=_item(answer.body.body), via=answer.via)

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
        """Items of one partition key."""
        partition = catalogue.locate(table, partition_key)
        question = ReadRange(
            group=catalogue.group_of(table, partition),
            partition_key=partition_key,
            bounds=bounds,
            strong=strong,
            forward=forward,
            limit=limit,
            after=after,
        )
        answer = await self._ask(table, partition, question)
        if not isinstance(answer.body, ItemsAre):
            _refuse(answer)
        return RangeAnswer(items=_items(answer.body.bodies), more=answer.body.more, via=answer.via)

    async def scan(self, table: Table, *, strong: bool, limit: int | None, after: ItemKey | None) -> RangeAnswer:
        """Items of the whole table in ring order: partition after partition until the page is full."""
        first = catalogue.locate(table, after.partition_key) if after else table.partitions[0]
        found: list[bytes] = []
        size = 0
        via = Via()
        for partition in table.partitions[table.partitions.index(first) :]:
            left = None if limit is None else limit - len(found)
            if size >= PAGE_BYTES or left == 0:
                return RangeAnswer(items=_items(tuple(found)), more=True, via=via)
            group = catalogue.group_of(table, partition)
            start = after if partition is first else None
            answer = await self._ask(table, partition, ReadPage(group=group, strong=strong, limit=left, after=start))
            if not isinstance(answer.body, ItemsAre):
                _refuse(answer)
            found += answer.body.bodies
            size += sum(map(len, answer.body.bodies))
            via = answer.via
            if answer.body.more:
                return RangeAnswer(items=_items(tuple(found)), more=True, via=via)
        return RangeAnswer(items=_items(tuple(found)), more=False, via=via)

    async def write(self, table: Table, key: ItemKey, request: WriteRequest) -> WriteAnswer:
        """Apply one write; asked of one leader, and never again once it may have been made."""
        partition = catalogue.locate(table, key.partition_key)
        question = WriteItem(catalogue.group_of(table, partition), key, request)
        answer = await self._from_leader(table, partition, question)
        body = answer.body
        if isinstance(body, ConditionFalse):
            raise ConditionFailed(_item(body.body))
        if isinstance(body, WriteInvalid):
            raise InvalidWrite(body.message)
        if not isinstance(body, Written):
            _refuse(answer)
        result = WriteResult(old=_item(body.old), new=_item(body.new), updated=body.updated)
        return WriteAnswer(result=result, via=answer.via)

    # --- asking ---------------------------------------------------------------------------------------------------------

    async def _ask(self, table: Table, partition: Partition, question: ReadItem | ReadRange | ReadPage) -> _Answered:
        if question.strong:
            return await self._from_leader(table, partition, question)
        return await self._from_any(table, partition, question)

    async def _from_any(self, table: Table, partition: Partition, question: Question) -> _Answered:
        """Another replica at once when one fails; only the last is given all the time that is left."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience
        nodes = for_eventual_read(partition, self._zone_of[self.name], self._zone_of, self._suspects, loop.time())
        error = StoreError(ErrorKind.UNREACHABLE)
        for index, node in enumerate(nodes):
            left = give_up_at - loop.time()
            patience = left if index == len(nodes) - 1 else min(left, EVENTUAL_SECONDS)
            try:
                answer = await self._one(node, partition, question, patience)
            except StoreError as failed:
                error = failed
                continue
            if isinstance(answer.body, Refused) and answer.body.kind != ErrorKind.THROTTLED:
                error = StoreError(answer.body.kind, answer.body.message, via=answer.via)
                continue
            return answer
        self._forget(table, error)
        raise error

    async def _from_leader(self, table: Table, partition: Partition, question: Question) -> _Answered:
        started = self._hub.time()
        presumed = self._leaders.get(question.group)
        search: Search | None = None
        if presumed is not None and presumed in partition.replicas and not self._suspects.suspected(presumed, started):
            node: str | None = presumed  # nearly every request ends here, and needs no search
        else:
            search, node = self._search(partition, presumed, started), None
        while True:
            if search is not None and (node := search.next_node()) is None:
                if not search.new_round(self._hub.time()):
                    break
                await asyncio.sleep(ROUND_PAUSE_SECONDS)
                continue
            assert node is not None
            try:
                answer = await self._one(node, partition, question, started + self._patience - self._hub.time())
            except NotAsked:
                search = search or self._search(partition, presumed, started, asked=presumed)
                continue
            if not isinstance(answer.body, NotLeader):
                self._leaders[question.group] = node
                self._forget(table, answer.body)
                return answer
            search = search or self._search(partition, presumed, started, asked=presumed)
            search.not_leader(node, answer.body.leader)
        via = Via(node=search.to_blame(), partition=partition.id)
        raise StoreError(ErrorKind.NO_LEADER, "no leader answers for the partition", via=via)

    def _search(self, partition: Partition, presumed: str | None, at: float, *, asked: str | None = None) -> Search:
        """A search for the leader, for a request that came at ``at``; ``asked``: who was asked already."""
        search = Search(
            for_leader(partition, presumed, self._suspects, at),
            at + self._patience * SEARCH_SHARE,
            [presumed] if presumed else [],
        )
        if asked is not None:
            search.tried.add(asked)
        return search

    async def _one(self, node: str, partition: Partition, question: Question, patience: float) -> _Answered:
        """Ask one node; raises NotAsked (certainly not done) or StoreError (perhaps done)."""
        via = Via(node=node, partition=partition.id)
        try:
            body = await self._hub.ask(self.name, node, question, timeout_seconds=max(patience, 0.001))
        except Unreachable as error:
            self._suspects.add(node, asyncio.get_running_loop().time())
            if not error.sent:
                raise NotAsked(ErrorKind.UNREACHABLE, f"{node} is unreachable", via=via) from None
            raise StoreError(ErrorKind.UNREACHABLE, f"{node} fell while it was asked", via=via) from None
        except NoAnswer:
            self._suspects.add(node, asyncio.get_running_loop().time())
            raise StoreError(ErrorKind.TIMEOUT, f"{node} did not answer in time", via=via) from None
        self._suspects.clear(node)
        return _Answered(body, via)

    def _forget(self, table: Table, sign: Body | StoreError) -> None:
        """A node that does not host the partition: the route may be out of date."""
        if isinstance(sign, Refused | StoreError) and sign.kind == ErrorKind.UNAVAILABLE:
            self._tables.forget(table.name)


class NotAsked(StoreError):
    """The node could not be reached at all: another may be asked without harm."""


def _refuse(answer: _Answered) -> NoReturn:
    if isinstance(answer.body, Refused):
        raise StoreError(answer.body.kind, answer.body.message, via=answer.via)
    raise StoreError(ErrorKind.INTERNAL, f"unexpected {type(answer.body).__name__}", via=answer.via)


def _item(body: bytes | None) -> Item | None:
    return None if body is None else msgspec.msgpack.decode(body, type=dict)


def _items(bodies: tuple[bytes, ...]) -> tuple[Item, ...]:
    return tuple(msgspec.msgpack.decode(body, type=dict) for body in bodies)
