"""PutItem, GetItem, UpdateItem, DeleteItem (shell)."""

from typing import Any

from cluster.api import capacity
from cluster.api.attributes import check_item, key_attributes, key_of, key_of_item
from cluster.api.call import Call
from cluster.api.expressions import binding
from cluster.api.expressions.projections import project
from cluster.api.shapes import capacity_mode, choice, required, table_name
from cluster.errors import ApiError, Invalid
from cluster.ports import ConditionFailed, InvalidWrite, Item, ItemKey, Table, WriteRequest, WriteResult

_RETURN_VALUES = ("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
_ON_FAILURE = ("ALL_OLD", "NONE")
_EVALUATED = (
    "Item",
    "Key",
    binding.CONDITION,
    binding.UPDATE,
    binding.NAMES,
    binding.VALUES,
)


async def get_item(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """One item, or ``{}``."""
    name, mode = table_name(parameters), capacity_mode(parameters)
    key_given = check_item(required(parameters, "Key"))
    paths = binding.bind(parameters, binding.PROJECTION).projection
    table = await call.find(name)
    strong = parameters.get("ConsistentRead") is True
    found = await call.store.read(table, key_of(table, key_given), strong=strong)
    call.via = found.via
    answer: dict[str, Any] = {}
    if found.item is not None:
        answer["Item"] = found.item if paths is None else project(found.item, paths)
    if mode != "NONE":
        size = capacity.item_bytes(found.item) if found.item else 0
        answer["ConsumedCapacity"] = capacity.consumed(name, capacity.read_units(size, strong=strong), mode)
    return answer


async def put_item(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Create or replace an item."""
    name, mode = table_name(parameters), capacity_mode(parameters)
    returned = _old_or_none(parameters)
    item = check_item(required(parameters, "Item"))
    binding.bind(parameters, binding.CONDITION)
    refuse_too_large(call, item)
    table = await call.find(name)
    result = await write(call, table, key_of_item(table, item), "PutItem", parameters)
    return _answer(result, name, mode, result.old if returned == "ALL_OLD" else None)


async def delete_item(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Delete an item if there is one."""
    name, mode = table_name(parameters), capacity_mode(parameters)
    returned = _old_or_none(parameters)
    key_given = check_item(required(parameters, "Key"))
    binding.bind(parameters, binding.CONDITION)
    table = await call.find(name)
    result = await write(call, table, key_of(table, key_given), "DeleteItem", parameters)
    return _answer(result, name, mode, result.old if returned == "ALL_OLD" else None)


async def update_item(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Change an item, or create it."""
    name, mode = table_name(parameters), capacity_mode(parameters)
    returned = choice(parameters, "ReturnValues", _RETURN_VALUES, "NONE")
    choice(parameters, "ReturnValuesOnConditionCheckFailure", _ON_FAILURE, "NONE")
    key_given = check_item(required(parameters, "Key"))
    bound = binding.bind(parameters, binding.UPDATE, binding.CONDITION)
    table = await call.find(name)
    key = key_of(table, key_given)
    paths = bound.update.paths(bound.scope) if bound.update else []
    keys = {attribute.name for attribute in key_attributes(table)}
    for steps in paths:
        if steps[0] in keys:
            raise Invalid(
                "One or more parameter values were invalid: "
                f"Cannot update attribute {steps[0]}. This attribute is part of the key"
            )
    result = await write(call, table, key, "UpdateItem", parameters)
    shown = result.new if returned.endswith("NEW") else result.old if returned.endswith("OLD") else None
    if shown is not None and returned.startswith("UPDATED"):
        shown = project(shown, paths)
    return _answer(result, name, mode, shown)


def refuse_too_large(call: Call, item: Item) -> None:
    """Raise Invalid for an item above 400 KB before it is sent on; a small request cannot hold one."""
    if call.body_bytes > capacity.MAX_ITEM_BYTES and capacity.item_bytes(item) > capacity.MAX_ITEM_BYTES:
        raise Invalid("Item size has exceeded the maximum allowed size")


async def write(call: Call, table: Table, key: ItemKey, operation: str, parameters: dict[str, Any]) -> WriteResult:
    """Send one write to the store; a failed condition or an impossible update becomes its API error."""
    evaluated = {name: parameters[name] for name in _EVALUATED if parameters.get(name) is not None}
    shows = (
        parameters.get("ReturnValues", "NONE") != "NONE" or parameters.get("ReturnConsumedCapacity", "NONE") != "NONE"
    )
    blind = operation != "UpdateItem" and binding.CONDITION not in evaluated
    try:
        request = WriteRequest(operation=operation, parameters=evaluated, blind=blind, shows=shows)
        answer = await call.store.write(table, key, request)
    except ConditionFailed as failed:
        shows = parameters.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and failed.item is not None
        raise ApiError("ConditionalCheckFailedException", extra={"Item": failed.item} if shows else None) from failed
    except InvalidWrite as invalid:
        raise Invalid(str(invalid)) from invalid
    call.via = answer.via
    return answer.result


def _old_or_none(parameters: dict[str, Any]) -> str:
    returned = choice(parameters, "ReturnValues", _RETURN_VALUES, "NONE")
    choice(parameters, "ReturnValuesOnConditionCheckFailure", _ON_FAILURE, "NONE")
    if returned not in ("NONE", "ALL_OLD"):
        raise Invalid("ReturnValues can only be ALL_OLD or NONE")
    return returned


def _answer(result: WriteResult, name: str, mode: str, shown: Item | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"Attributes": shown} if shown else {}
    if mode != "NONE":
        units = capacity.write_units(result.old, result.new)
        answer["ConsumedCapacity"] = capacity.consumed(name, units, mode)
    return answer
