"""Query and Scan: pages of items (shell: it yields to other requests while it filters)."""

import asyncio
from dataclasses import dataclass
from typing import Any

from cluster.api import capacity
from cluster.api.attributes import check_item, key_attributes, key_of, key_part, partition_key_bytes
from cluster.api.call import Call
from cluster.api.expressions import binding, keys
from cluster.api.expressions.projections import project
from cluster.api.shapes import at_least_one, capacity_mode, choice, constraint, table_name
from cluster.errors import Invalid
from cluster.ports import Item, ItemKey, RangeAnswer, Table
from cluster.topology import key_hash

_SELECT = ("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES")
_MAX_SEGMENTS = 1_000_000
_RING = 2**64
_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Page:
    """How a page is asked for, whatever it is a page of."""

    name: str
    mode: str
    select: str
    limit: int | None
    strong: bool
    bound: binding.Bound


def _page(parameters: dict[str, Any], *kinds: str) -> Page:
    name = table_name(parameters)
    if parameters.get("IndexName") is not None:
        raise Invalid(f"The table does not have the specified index: {parameters['IndexName']}")
    default = "ALL_ATTRIBUTES" if parameters.get(binding.PROJECTION) is None else "SPECIFIC_ATTRIBUTES"
    select = choice(parameters, "Select", _SELECT, default)
    if select == "ALL_PROJECTED_ATTRIBUTES":
        raise Invalid(
            "One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"
        )
    if default == "SPECIFIC_ATTRIBUTES" and select != default:
        raise Invalid(f"Cannot specify the ProjectionExpression when choosing to get {select}")
    if select == "SPECIFIC_ATTRIBUTES" and default != select:
        raise Invalid(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
        )
    limit = at_least_one(parameters, "Limit")
    bound = binding.bind(parameters, *kinds, binding.FILTER, binding.PROJECTION)
    return Page(name, capacity_mode(parameters), select, limit, parameters.get("ConsistentRead") is True, bound)


def _start_key(parameters: dict[str, Any], table: Table) -> ItemKey | None:
    given = parameters.get("ExclusiveStartKey")
    if given is None:
        return None
    try:
        return key_of(table, check_item(given))
    except Invalid as error:
        raise Invalid(f"The provided starting key is invalid: {error.message}") from error


async def query(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """A page of one partition key's items."""
    page = _page(parameters, binding.KEY_CONDITION)
    condition = page.bound.condition(binding.KEY_CONDITION)
    if condition is None:
        raise Invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
    table = await call.find(page.name)
    _refuse_keys_in_filter(parameters, page, table)
    partition_key, bounds = keys.query_of(condition, page.bound.scope, table)
    start = _start_key(parameters, table)
    if start is not None and start.partition_key != partition_key:
        raise Invalid("The provided starting key is outside query boundaries based on provided conditions")
    found = await call.store.range(
        table,
        partition_key,
        bounds,
        strong=page.strong,
        forward=parameters.get("ScanIndexForward") is not False,
        limit=page.limit,
        after=None if start is None else start.sort_key,
    )
    return await _answer(call, page, table, found, found.items)


def _refuse_keys_in_filter(parameters: dict[str, Any], page: Page, table: Table) -> None:
    text = parameters.get(binding.FILTER)
    if text is None:
        return
    tops = {page.bound.scope.names.get(top, top) for top in binding.parse(binding.FILTER, text).tops}
    for attribute in key_attributes(table):
        if attribute.name in tops:
            raise Invalid(
                "Filter Expression can only contain non-primary key attributes: "
                f"Primary key attribute: {attribute.name}"
            )


async def scan(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """A page of the whole table, or of one segment of it."""
    page = _page(parameters)
    segment = _segment(parameters)
    table = await call.find(page.name)
    start = _start_key(parameters, table)
    found = await call.store.scan(table, strong=page.strong, limit=page.limit, after=start)
    items = found.items
    if segment is not None:
        low, high = segment
        items = tuple(i for i in items if low <= key_hash(partition_key_bytes(table, i[table.hash_key.name])) < high)
    return await _answer(call, page, table, found, items)


def _segment(parameters: dict[str, Any]) -> tuple[int, int] | None:
    """The part ``[low, high)`` of the ring that a parallel scan's worker reads."""
    total, number = at_least_one(parameters, "TotalSegments", at_most=_MAX_SEGMENTS), parameters.get("Segment")
    if total is None and number is None:
        return None
    if total is None:
        raise Invalid(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present"
        )
    if number is None:
        raise Invalid(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present"
        )
    if number < 0:
        raise constraint(number, "Segment", "Member must have value greater than or equal to 0")
    if number >= total:
        raise Invalid(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {number} is not less than TotalSegments: {total}"
        )
    return number * _RING // total, (number + 1) * _RING // total


async def _kept(page: Page, items: tuple[Item, ...]) -> list[Item]:
    """Those that the filter lets through, a few at a time, so that a long page does not hold up other requests."""
    wanted = page.bound.condition(binding.FILTER)
    if wanted is None:
        return list(items)
    kept: list[Item] = []
    for first in range(0, len(items), _AT_A_TIME):
        kept += [item for item in items[first : first + _AT_A_TIME] if wanted.holds(item, page.bound.scope)]
        await asyncio.sleep(0)
    return kept


async def _answer(call: Call, page: Page, table: Table, found: RangeAnswer, items: tuple[Item, ...]) -> dict[str, Any]:
    call.via = found.via
    kept = await _kept(page, items)
    answer: dict[str, Any] = {"Count": len(kept), "ScannedCount": len(items)}
    if page.select != "COUNT":
        paths = page.bound.projection
        answer["Items"] = kept if paths is None else [project(item, paths) for item in kept]
    if found.more and found.items:
        answer["LastEvaluatedKey"] = key_part(table, found.items[-1])
    if page.mode != "NONE":
        size = sum(map(capacity.item_bytes, found.items))
        answer["ConsumedCapacity"] = capacity.consumed(
            page.name, capacity.read_units(size, strong=page.strong), page.mode
        )
    return answer
