"""Customers of a power-off drill: unique values written and read all the time, and everything read back at the end (shell)."""

import asyncio
import hashlib
import itertools
import random
import time
from collections.abc import Mapping
from typing import Any

from fivenines.drills import DrillTraffic
from fivenines.durability import SLOT
from fivenines.simulation.history import WRITES, History, Kind, Operation, Outcome
from fivenines.witness_client import Answer, WitnessClient

MIX = (
    (0.34, Kind.PUT),
    (0.50, Kind.PUT_IF),
    (0.56, Kind.DELETE),
    (0.86, Kind.READ),
    (1.00, Kind.EVENTUAL_READ),
)
"""Shares of the operations, added up."""
HOT_SHARE, HOT_KEYS = 0.3, 8
"""Some keys are asked for much more often than others, so that operations on them overlap."""
MAX_IN_FLIGHT = 400
READ_BACK_PATIENCE_SECONDS = 30.0
READ_BACK_AT_ONCE = 8
_REFUSED = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "ValidationException"})
"""Errors that say that nothing was written."""


def padded(value: str) -> str:
    """What goes with a value, so that a damaged item shows: from 64 to 1,024 characters that follow from it."""
    digest = hashlib.sha256(value.encode()).hexdigest()
    return digest * (1 + int(digest[0], 16))


class Witness:
    """The customers. ``routers``: base URLs by zone; ``run``: a word that no other run has."""

    def __init__(
        self,
        client: WitnessClient,
        traffic: DrillTraffic,
        routers: Mapping[str, tuple[str, ...]],
        *,
        run: str,
        seed: int,
    ) -> None:
        self._client, self._traffic, self._run = client, traffic, run
        self._routers = routers
        self._urls = itertools.cycle(url for urls in zip(*routers.values(), strict=True) for url in urls)
        self._random = random.Random(seed)
        self._believed: dict[str, str | None] = {}
        self.history = History()
        self.successes: list[tuple[str, float]] = []
        self.partitions: set[str] = set()
        self.keys = tuple(f"drill-{run}-{number:04}" for number in range(traffic.keys))

    async def work(self, until: asyncio.Event) -> None:
        """Open loop: a slow store does not slow its customers. Returns when everything asked was answered."""
        started, sent = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            in_flight: set[asyncio.Task[None]] = set()
            while not until.is_set():
                due = int((time.monotonic() - started) * self._traffic.rate)
                for _ in range(min(due - sent, MAX_IN_FLIGHT - len(in_flight))):
                    task = group.create_task(self._one())
                    in_flight.add(task)
                    task.add_done_callback(in_flight.discard)
                sent = due
                await asyncio.sleep(0.02)

    async def _one(self) -> None:
        share = self._random.random()
        kind = next(kind for limit, kind in MIX if share < limit)
        hot = self._random.random() < HOT_SHARE
        key = self.keys[self._random.randrange(min(HOT_KEYS, len(self.keys)) if hot else len(self.keys))]
        await self._ask(kind, key, next(self._urls))

    async def _ask(self, kind: Kind, key: str, url: str) -> tuple[Operation, Answer]:
        operation = self.history.call("witness", kind, pk=key, sk=SLOT, at=time.monotonic())
        if kind in (Kind.PUT, Kind.PUT_IF):
            operation.value = f"{self._run}-{operation.number}"
        if kind is Kind.PUT_IF:
            operation.expected = self._believed.get(key)
        answer = await self._client.ask(url, *self._question(operation))
        self._conclude(operation, answer)
        return operation, answer

    def _question(self, operation: Operation) -> tuple[str, dict[str, Any]]:
        key = {"pk": {"S": operation.pk}, "sk": {"S": SLOT}}
        asked: dict[str, Any] = {"TableName": self._traffic.table}
        if operation.kind in (Kind.READ, Kind.EVENTUAL_READ):
            return "GetItem", asked | {"Key": key, "ConsistentRead": operation.kind is Kind.READ}
        asked |= {"ReturnValues": "ALL_OLD"}
        if operation.kind is Kind.DELETE:
            return "DeleteItem", asked | {"Key": key}
        value = operation.value or ""
        asked |= {"Item": {**key, "v": {"S": value}, "padding": {"S": padded(value)}}}
        if operation.kind is Kind.PUT_IF:
            asked |= {"ReturnValuesOnConditionCheckFailure": "ALL_OLD", **_condition(operation.expected)}
        return "PutItem", asked

    def _conclude(self, operation: Operation, answer: Answer) -> None:
        operation.returned_at, operation.reason = answer.at, answer.reason
        if answer.partition is not None:
            self.partitions.add(answer.partition)
        if answer.status == 200:
            operation.outcome = Outcome.OK
            shown = answer.body.get("Item" if operation.kind not in WRITES else "Attributes")
        elif answer.error == "ConditionalCheckFailedException":
            operation.outcome, shown = Outcome.CONDITION_FALSE, answer.body.get("Item")
        else:
            made_for_sure_not = not answer.sent or answer.error in _REFUSED
            operation.outcome = Outcome.FAILED if made_for_sure_not else Outcome.UNKNOWN
            return
        operation.seen = {SLOT: _value_of(shown)}
        if operation.kind is not Kind.EVENTUAL_READ:
            written = operation.kind in WRITES and operation.outcome is Outcome.OK
            self._believed[operation.pk] = operation.value if written else operation.seen[SLOT]
        if operation.kind in WRITES and operation.outcome is Outcome.OK and answer.partition is not None:
            self.successes.append((answer.partition, answer.at))

    # --- afterwards -----------------------------------------------------------------------------------------------------

    async def read_back(self) -> tuple[list[str], list[str]]:
        """Read every key strongly, and from each zone eventually; keys without an answer, and keys whose replicas differ."""
        gate = asyncio.Semaphore(READ_BACK_AT_ONCE)

        async def one(key: str) -> tuple[bool, str | None]:
            async with gate:
                return await self._read_back_one(key)

        read = await asyncio.gather(*(one(key) for key in self.keys))
        return [k for k, (ok, _) in zip(self.keys, read, strict=True) if not ok], [told for _, told in read if told]

    async def _read_back_one(self, key: str) -> tuple[bool, str | None]:
        """Nothing writes any more: within a while all replicas must show what the leader shows."""
        deadline = time.monotonic() + READ_BACK_PATIENCE_SECONDS
        while True:
            strong, _ = await self._ask(Kind.READ, key, next(self._urls))
            copies = [await self._ask(Kind.EVENTUAL_READ, key, urls[0]) for urls in self._routers.values()]
            answered = strong.outcome is Outcome.OK and all(o.outcome is Outcome.OK for o, _ in copies)
            differ = {a.replica: o.seen.get(SLOT) for o, a in copies if o.seen != strong.seen}
            if answered and not differ:
                return True, None
            if time.monotonic() > deadline:
                shown = ", ".join(f"{replica} shows {value or 'nothing'}" for replica, value in differ.items())
                told = f"{key}: the leader shows {strong.seen.get(SLOT) or 'nothing'}, {shown}"
                return strong.outcome is Outcome.OK, told if strong.outcome is Outcome.OK else None
            await asyncio.sleep(0.5)

    async def clean(self) -> None:
        """Delete what the drill has written; what cannot be deleted stays."""
        for key in self.keys:
            parameters = {"TableName": self._traffic.table, "Key": {"pk": {"S": key}, "sk": {"S": SLOT}}}
            await self._client.ask(next(self._urls), "DeleteItem", parameters)


def _condition(expected: str | None) -> dict[str, Any]:
    if expected is None:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {"ConditionExpression": "v = :expected", "ExpressionAttributeValues": {":expected": {"S": expected}}}


def _value_of(item: dict[str, Any] | None) -> str | None:
    """The value in an item; one whose padding does not fit it was damaged, and is no value that anybody wrote."""
    if not item:
        return None
    value = str(item.get("v", {}).get("S"))
    return value if item.get("padding", {}).get("S") == padded(value) else f"damaged {value}"
