"""The shape of requests: which field holds what, and the complaints about those that do not (pure)."""

import re
from typing import Any

from cluster.api.attributes import json_kind
from cluster.errors import Invalid, Unreadable

Shape = dict[str, type]
"""Field → the Python type of its JSON value."""

LEGACY = {
    "AttributesToGet": "ProjectionExpression",
    "AttributeUpdates": "UpdateExpression",
    "ConditionalOperator": "ConditionExpression or FilterExpression",
    "Expected": "ConditionExpression",
    "KeyConditions": "KeyConditionExpression",
    "QueryFilter": "FilterExpression",
    "ScanFilter": "FilterExpression",
}
_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}\Z")
_ARN = re.compile(r"arn:[^:]*:dynamodb:[^:]*:[^:]*:table/")
_CAPACITY_MODES = ("INDEXES", "TOTAL", "NONE")
_WORDS: dict[type, str] = {str: "String", bool: "Boolean", int: "Integer", dict: "Map", list: "List"}

EXPRESSION_FIELDS: Shape = {
    "ExpressionAttributeNames": dict,
    "ExpressionAttributeValues": dict,
    "ReturnConsumedCapacity": str,
    "TableName": str,
}


def check_shape(parameters: dict[str, Any], shape: Shape) -> None:
    """Raise Unreadable when a field holds the wrong type, Invalid for DynamoDB's pre-2014 parameters. Unknown ones are ignored."""
    for name, value in parameters.items():
        wanted = shape.get(name)
        if wanted is not None:
            if type(value) is not wanted and value is not None:
                raise Unreadable(f"{json_kind(value)} cannot be converted to {_WORDS[wanted]}")
        elif name in LEGACY and value is not None:
            raise Invalid(f"{name} is a legacy parameter that this store does not serve; use {LEGACY[name]}")


def constraint(value: object, field: str, rule: str) -> Invalid:
    """DynamoDB's complaint about one value. ``field`` as in the request (``TableName``)."""
    said = "null" if value is None else f"'{str(value)[:255]}'"
    place = field[0].lower() + field[1:]
    return Invalid(f"1 validation error detected: Value {said} at '{place}' failed to satisfy constraint: {rule}")


def required(parameters: dict[str, Any], field: str) -> Any:
    """The value of a field that must be there."""
    value = parameters.get(field)
    if value is None:
        raise constraint(None, field, "Member must not be null")
    return value


def choice(parameters: dict[str, Any], field: str, allowed: tuple[str, ...], default: str) -> str:
    """The value of an enumeration."""
    value = parameters.get(field)
    if value is None:
        return default
    if value not in allowed:
        raise constraint(value, field, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    return str(value)


def at_least_one(parameters: dict[str, Any], field: str, *, at_most: int | None = None) -> int | None:
    """A positive number, or None."""
    value: int | None = parameters.get(field)
    if value is not None and value < 1:
        raise constraint(value, field, "Member must have value greater than or equal to 1")
    if value is not None and at_most is not None and value > at_most:
        raise constraint(value, field, f"Member must have value less than or equal to {at_most}")
    return value


def capacity_mode(parameters: dict[str, Any]) -> str:
    """``ReturnConsumedCapacity``."""
    return choice(parameters, "ReturnConsumedCapacity", _CAPACITY_MODES, "NONE")


def checked_table_name(given: str | None, field: str = "TableName") -> str:
    """A table's name, taken out of its ARN if that was given."""
    if given is None:
        raise constraint(None, field, "Member must not be null")
    name = _ARN.sub("", given) if given.startswith("arn:") else given
    if _TABLE_NAME.match(name):
        return name
    if not 3 <= len(name) <= 255:
        bound = "greater than or equal to 3" if len(name) < 3 else "less than or equal to 255"
        raise constraint(name, field, f"Member must have length {bound}")
    raise constraint(name, field, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")


def table_name(parameters: dict[str, Any]) -> str:
    """The request's ``TableName``."""
    return checked_table_name(parameters.get("TableName"))
