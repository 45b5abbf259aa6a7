"""Turns a KeyConditionExpression into a partition key and bounds of the sort key (pure)."""

from typing import Any

from cluster.api.attributes import key_bytes, partition_key_bytes
from cluster.api.expressions.conditions import (
    All,
    AnyOf,
    Attribute,
    Between,
    Call,
    Comparison,
    Condition,
    Exists,
    Given,
    In,
    Not,
)
from cluster.api.expressions.paths import Scope
from cluster.errors import Invalid
from cluster.ports import Bounds, KeyAttribute, Table

_UNSUPPORTED = "Query key condition not supported"
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


def query_of(condition: Condition, scope: Scope, table: Table) -> tuple[bytes, Bounds]:
    """The partition key's bytes and the sort key's bounds; raises Invalid."""
    by_name: dict[str, Condition] = {}
    for part in condition.parts if isinstance(condition, All) else (condition,):
        name = _subject(part, scope)
        if name in by_name:
            raise Invalid("KeyConditionExpressions must only contain one condition per key")
        by_name[name] = part
    first = by_name.pop(table.hash_key.name, None)
    if first is None:
        raise Invalid(f"Query condition missed key schema element: {table.hash_key.name}")
    operator, given = _operation(first, scope, table.hash_key)
    if operator != "=":
        raise Invalid(_UNSUPPORTED)
    partition_key = partition_key_bytes(table, given[0])
    if not by_name:
        return partition_key, Bounds()
    if table.range_key is None or set(by_name) != {table.range_key.name}:
        raise Invalid(_UNSUPPORTED)
    return partition_key, _bounds(*_operation(by_name[table.range_key.name], scope, table.range_key), table.range_key)


def _subject(part: Condition, scope: Scope) -> str:
    """The key attribute that ``part`` speaks of."""
    operator = _operator(part)
    if operator:
        raise Invalid(f"Invalid operator used in KeyConditionExpression: {operator}")
    if isinstance(part, Comparison):
        attribute = part.left if isinstance(part.left, Attribute) else part.right
    else:
        attribute = part.operand if isinstance(part, Between) else part.subject  # type: ignore[attr-defined]
    if not isinstance(attribute, Attribute):
        raise Invalid("Invalid condition in KeyConditionExpression: No key attribute specified")
    steps = attribute.path.resolved(scope)
    if len(steps) > 1:
        raise Invalid("KeyConditionExpressions cannot have conditions on nested attributes")
    return str(steps[0])


def _operator(part: Condition) -> str:
    """The operator if a key condition may not use it."""
    names: dict[type, str] = {AnyOf: "OR", Not: "NOT", In: "IN", All: "AND"}
    if isinstance(part, Exists):
        return "attribute_exists" if part.wanted else "attribute_not_exists"
    if isinstance(part, Call):
        return "" if part.function == "begins_with" else part.function
    if isinstance(part, Comparison):
        return "<>" if part.operator == "<>" else ""
    return names.get(type(part), "")


def _operation(part: Condition, scope: Scope, attribute: KeyAttribute) -> tuple[str, list[dict[str, Any]]]:
    """The operator (seen from the attribute) and its values, which must have the key's type."""
    if isinstance(part, Comparison):
        mirrored = not isinstance(part.left, Attribute)
        operator = _MIRRORED[part.operator] if mirrored else part.operator
        operands = [part.left if mirrored else part.right]
    elif isinstance(part, Between):
        operator, operands = "BETWEEN", [part.lower, part.upper]
    else:
        operator, operands = "begins_with", [part.argument]  # type: ignore[attr-defined]
    values = [operand.value({}, scope) for operand in operands if isinstance(operand, Given)]
    if len(values) != len(operands):
        raise Invalid("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
    given = [value for value in values if value is not None]
    if any(attribute.type not in value for value in given):
        raise Invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
    return operator, given


def _bounds(operator: str, given: list[dict[str, Any]], attribute: KeyAttribute) -> Bounds:
    first = key_bytes(attribute, given[0])
    match operator:
        case "=":
            return Bounds(lower=first, upper=first)
        case "<" | "<=":
            return Bounds(upper=first, upper_inclusive=operator == "<=")
        case ">" | ">=":
            return Bounds(lower=first, lower_inclusive=operator == ">=")
        case "BETWEEN":
            return Bounds(lower=first, upper=key_bytes(attribute, given[1]))
        case _:
            if attribute.type == "N":
                raise Invalid(_UNSUPPORTED)
            return Bounds(lower=first, upper=after_prefix(first), upper_inclusive=False)


def after_prefix(prefix: bytes) -> bytes | None:
    """The least bytes above everything that begins with ``prefix``; None when there are none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
