"""Customers: each asks one thing after another through some router, and writes down what it was told (shell)."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.ports import (
    Bounds,
    ConditionFailed,
    ErrorKind,
    InvalidWrite,
    Item,
    ItemKey,
    StoreError,
    Table,
    WriteRequest,
)
from cluster.routing.router import RouterBack
from fivenines.simulation.history import WRITES, History, Kind, Operation, Outcome
from fivenines.simulation.trace import Trace

SLOTS = ("a", "b")
"""The sort keys of every partition key."""
CERTAINLY_NOT = frozenset({ErrorKind.NO_LEADER, ErrorKind.THROTTLED, ErrorKind.DISK_FULL, ErrorKind.NO_SUCH_TABLE})
"""Refusals that promise that a write was not made; of any other failed write the outcome is unknown."""


class Region(Protocol):
    """What customers see of the store."""

    def router(self, zone: str) -> RouterBack | None:
        """A router of the zone, unless the zone is down."""
        ...

    async def through(self, zone: str, work: Coroutine[Any, Any, Any]) -> Any:
        """What ``work`` on the zone's router returns; raises ConnectionError when the zone falls meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class Habits:
    """What customers like to do. ``weights`` by kind; ``gap_seconds``: mean pause between two operations of a client."""

    clients: int
    keys: int
    gap_seconds: float
    weights: tuple[tuple[Kind, float], ...]


class Client:
    """One customer, who does one thing at a time. ``zones``: where it may ask, its own first."""

    def __init__(
        self,
        name: str,
        *,
        region: Region,
        zones: tuple[str, ...],
        table: str,
        habits: Habits,
        history: History,
        draw: random.Random,
        trace: Trace,
    ) -> None:
        self.name = name
        self._region, self._zones, self._table, self._habits = region, zones, table, habits
        self._history, self._draw, self._trace = history, draw, trace
        self._believed: dict[tuple[str, str], str | None] = {}
        self._kinds = [kind for kind, _ in habits.weights]
        self._weights = [weight for _, weight in habits.weights]
        self._keys = [f"k{number}" for number in range(habits.keys)]

    async def run(self, until: float) -> None:
        """Ask now and then until virtual time ``until``."""
        loop = asyncio.get_running_loop()
        while True:
            pause = self._draw.expovariate(1.0 / self._habits.gap_seconds)
            if loop.time() + pause >= until:
                return
            await asyncio.sleep(pause)
            kind = self._draw.choices(self._kinds, self._weights)[0]
            await self.ask(kind, self._draw.choice(self._keys), self._draw.choice(SLOTS), self._zone())

    def _zone(self) -> str:
        return self._zones[0] if self._draw.random() < 0.7 else self._draw.choice(self._zones)

    async def ask(self, kind: Kind, pk: str, sk: str, zone: str) -> Operation:
        """One operation from call to return."""
        loop = asyncio.get_running_loop()
        operation = self._history.call(self.name, kind, pk=pk, sk=sk, at=loop.time())
        if kind in (Kind.PUT, Kind.PUT_IF):
            operation.value = f"v{operation.number}"
        if kind is Kind.PUT_IF:
            operation.expected = self._believed.get((pk, sk))
        await self._attempt(operation, zone)
        operation.returned_at = loop.time()
        for slot, value in operation.seen.items():
            self._believed[pk, slot] = value
        if operation.outcome is Outcome.OK and kind in WRITES:
            self._believed[pk, sk] = operation.value
        self._trace.note(loop.time(), "client", str(operation))
        return operation

    async def _attempt(self, operation: Operation, zone: str) -> None:
        router = self._region.router(zone)
        if router is None:
            operation.outcome, operation.reason = Outcome.FAILED, "zone is down "
            return
        try:
            await self._region.through(zone, _ASK[operation.kind](router, self._table, operation))
            operation.outcome = Outcome.OK
        except ConditionFailed as failed:
            operation.outcome = Outcome.CONDITION_FALSE
            operation.seen[operation.sk] = _value(failed.item)
        except StoreError as error:
            certain = operation.kind not in WRITES or error.kind in CERTAINLY_NOT
            operation.outcome = Outcome.FAILED if certain else Outcome.UNKNOWN
            operation.reason = f"{error.kind} "
        except (ConnectionError, InvalidWrite) as error:
            operation.outcome = Outcome.UNKNOWN if operation.kind in WRITES else Outcome.FAILED
            operation.reason = f"{error} "


# --- what is said to a router -------------------------------------------------------------------------------------------


async def _table_of(router: RouterBack, name: str) -> Table:
    table = await router.table(name)
    if table is None:
        raise StoreError(ErrorKind.NO_SUCH_TABLE)
    return table


async def _write(router: RouterBack, name: str, operation: Operation) -> None:
    table = await _table_of(router, name)
    key = {"pk": {"S": operation.pk}, "sk": {"S": operation.sk}}
    parameters: dict[str, Any] = {"TableName": name}
    if operation.kind is Kind.DELETE:
        request = WriteRequest(operation="DeleteItem", parameters={**parameters, "Key": key})
    else:
        parameters["Item"] = {**key, "v": {"S": operation.value}}
        if operation.kind is Kind.PUT_IF:
            parameters |= _condition(operation.expected)
        request = WriteRequest(operation="PutItem", parameters=parameters)
    answer = await router.write(table, _place(operation), request)
    operation.seen[operation.sk] = _value(answer.result.old)


def _condition(expected: str | None) -> dict[str, Any]:
    if expected is None:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {"ConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": {"S": expected}}}


async def _read(router: RouterBack, name: str, operation: Operation) -> None:
    table = await _table_of(router, name)
    strong = operation.kind is Kind.READ
    answer = await router.read(table, _place(operation), strong=strong)
    operation.seen[operation.sk] = _value(answer.item)


async def _range(router: RouterBack, name: str, operation: Operation) -> None:
    table = await _table_of(router, name)
    answer = await router.range(
        table, operation.pk.encode(), Bounds(), strong=True, forward=True, limit=None, after=None
    )
    found = {item["sk"]["S"]: _value(item) for item in answer.items}
    operation.seen.update({slot: found.get(slot) for slot in SLOTS})


def _place(operation: Operation) -> ItemKey:
    return ItemKey(operation.pk.encode(), operation.sk.encode())


def _value(item: Item | None) -> str | None:
    return None if item is None else str(item["v"]["S"])


_ASK: dict[Kind, Callable[[RouterBack, str, Operation], Coroutine[Any, Any, None]]] = {
    Kind.PUT: _write,
    Kind.PUT_IF: _write,
    Kind.DELETE: _write,
    Kind.READ: _read,
    Kind.EVENTUAL_READ: _read,
    Kind.RANGE: _range,
}
