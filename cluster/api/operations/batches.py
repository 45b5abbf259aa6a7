"""BatchGetItem and BatchWriteItem (shell). What the store could not do now comes back as unprocessed; all of it: an error."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.api import capacity
from cluster.api.attributes import check_item, key_of, key_of_item
from cluster.api.call import Call
from cluster.api.expressions import binding
from cluster.api.expressions.paths import Steps
from cluster.api.expressions.projections import project
from cluster.api.operations.items import refuse_too_large, write
from cluster.api.shapes import Shape, capacity_mode, check_shape, checked_table_name, required
from cluster.errors import Invalid, Unreadable
from cluster.ports import ItemKey, ReadAnswer, StoreError, Table, WriteResult

MAX_GETS = 100
MAX_WRITES = 25
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_GET_SHAPE: Shape = {
    "Keys": list,
    "ConsistentRead": bool,
    "ProjectionExpression": str,
    "ExpressionAttributeNames": dict,
}
_DUPLICATES = "Provided list of item keys contains duplicates"
_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True)
class Get:
    """One key of a BatchGetItem."""

    table: Table
    key: ItemKey
    given: dict[str, Any]
    strong: bool
    paths: list[Steps] | None


@dataclass(frozen=True, slots=True)
class Write:
    """One put or delete of a BatchWriteItem."""

    table: Table
    key: ItemKey
    given: dict[str, Any]
    operation: str
    parameters: dict[str, Any]


async def _all(
    call: Call, jobs: list[_Job], do: Callable[[_Job], Awaitable[_Done]]
) -> list[tuple[_Job, _Done | StoreError]]:
    """Every job with its result or the store's refusal, in order; raises the first refusal when nothing was done."""

    async def one(job: _Job) -> tuple[_Job, _Done | StoreError]:
        async with call.gate:
            try:
                return job, await do(job)
            except StoreError as error:
                return job, error

    results = await asyncio.gather(*(one(job) for job in jobs))
    refusals = [result for _, result in results if isinstance(result, StoreError)]
    if refusals and len(refusals) == len(jobs):
        raise refusals[0]
    return results


def _tables(parameters: dict[str, Any]) -> dict[str, Any]:
    tables: dict[str, Any] = required(parameters, "RequestItems")
    if not tables:
        raise Invalid(
            "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1"
        )
    return tables


def _refuse_duplicates(jobs: Iterable[Get | Write]) -> None:
    seen = set()
    for job in jobs:
        place = (job.table.name, job.key.partition_key, job.key.sort_key)
        if place in seen:
            raise Invalid(_DUPLICATES)
        seen.add(place)


def _consumed(units: dict[str, float], mode: str) -> dict[str, Any]:
    if mode == "NONE":
        return {}
    return {"ConsumedCapacity": [capacity.consumed(name, used, mode) for name, used in units.items()]}


async def batch_get_item(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Up to 100 items of several tables."""
    mode, tables = capacity_mode(parameters), _tables(parameters)
    jobs = await _gets(call, tables)

    async def read(job: Get) -> ReadAnswer:
        return await call.store.read(job.table, job.key, strong=job.strong)

    answers: dict[str, list[Any]] = {job.table.name: [] for job in jobs}
    left: dict[str, Any] = {}
    units: dict[str, float] = {}
    total = 0
    for job, result in await _all(call, jobs, read):
        name = job.table.name
        size = 0
        if not isinstance(result, StoreError):
            call.via = result.via
            size = capacity.item_bytes(result.item) if result.item else 0
        if isinstance(result, StoreError) or total + size > MAX_ANSWER_BYTES:
            left.setdefault(name, tables[name] | {"Keys": []})["Keys"].append(job.given)
            continue
        total += size
        units[name] = units.get(name, 0.0) + capacity.read_units(size, strong=job.strong)
        if result.item is not None:
            answers[name].append(result.item if job.paths is None else project(result.item, job.paths))
    return {"Responses": answers, "UnprocessedKeys": left, **_consumed(units, mode)}


async def _gets(call: Call, tables: dict[str, Any]) -> list[Get]:
    count = 0
    for wanted in tables.values():
        if type(wanted) is not dict:
            raise Unreadable("Unexpected field type")
        check_shape(wanted, _GET_SHAPE)
        count += len(required(wanted, "Keys"))
    if count > MAX_GETS:
        raise Invalid("Too many items requested for the BatchGetItem call")
    jobs: list[Get] = []
    for name, wanted in tables.items():
        keys = [check_item(key) for key in wanted["Keys"]]
        if not keys:
            raise Invalid(
                f"1 validation error detected: Value '[]' at 'requestItems.{name}.member.keys' failed to satisfy "
                "constraint: Member must have length greater than or equal to 1"
            )
        paths = binding.bind(wanted, binding.PROJECTION).projection
        table = await call.find(checked_table_name(name, "RequestItems"))
        strong = wanted.get("ConsistentRead") is True
        jobs += [Get(table, key_of(table, key), key, strong, paths) for key in keys]
    _refuse_duplicates(jobs)
    return jobs


async def batch_write_item(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Up to 25 puts and deletes in several tables, each on its own."""
    mode, tables = capacity_mode(parameters), _tables(parameters)
    jobs = await _writes(call, tables)

    async def do(job: Write) -> WriteResult:
        return await write(call, job.table, job.key, job.operation, job.parameters)

    left: dict[str, list[Any]] = {}
    units: dict[str, float] = {}
    for job, result in await _all(call, jobs, do):
        name = job.table.name
        if isinstance(result, StoreError):
            left.setdefault(name, []).append(job.given)
        else:
            units[name] = units.get(name, 0.0) + capacity.write_units(result.old, result.new)
    return {"UnprocessedItems": left, **_consumed(units, mode)}


async def _writes(call: Call, tables: dict[str, Any]) -> list[Write]:
    for requests in tables.values():
        if type(requests) is not list:
            raise Unreadable("Unexpected field type")
    if sum(map(len, tables.values())) > MAX_WRITES:
        raise Invalid("Too many items requested for the BatchWriteItem call")
    checked = [(name, [_checked_write(call, request) for request in requests]) for name, requests in tables.items()]
    jobs: list[Write] = []
    for name, pairs in checked:
        table = await call.find(checked_table_name(name, "RequestItems"))
        for operation, content, given in pairs:
            if operation == "PutItem":
                jobs.append(Write(table, key_of_item(table, content), given, operation, {"Item": content}))
            else:
                jobs.append(Write(table, key_of(table, content), given, operation, {"Key": content}))
    _refuse_duplicates(jobs)
    return jobs


def _checked_write(call: Call, request: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Operation, item or key, and the request as given."""
    if type(request) is not dict:
        raise Unreadable("Unexpected field type")
    given = {name: value for name, value in request.items() if value is not None}
    if len(given) != 1 or not given.keys() <= {"PutRequest", "DeleteRequest"}:
        raise Invalid(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
            if len(given) > 1
            else "Invalid write request: it must contain exactly one of PutRequest and DeleteRequest"
        )
    ((kind, inner),) = given.items()
    if type(inner) is not dict:
        raise Unreadable("Unexpected field type")
    if kind == "DeleteRequest":
        return "DeleteItem", check_item(required(inner, "Key")), given
    item = check_item(required(inner, "Item"))
    refuse_too_large(call, item)
    return "PutItem", item, given
