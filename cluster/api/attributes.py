"""Attribute values: what is allowed in them, their one normal form, and the keys made of them (pure).

Checking a value also brings it to its normal form in place (numbers, base64), so that equal values are equal texts.
"""

import binascii
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from cluster.api import numbers
from cluster.errors import Invalid, Unreadable
from cluster.ports import Item, ItemKey, KeyAttribute, Table

MAX_DEPTH = 32
MAX_PARTITION_KEY_BYTES = 2048
MAX_SORT_KEY_BYTES = 1024
MAX_NAME_BYTES = 65535
_INVALID = "One or more parameter values were invalid: "
_NOT_ONE = "must contain exactly one of the supported datatypes"


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Unreadable(f"{json_kind(value)} cannot be converted to String")
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Unreadable("Unexpected field type")
    return value


def json_kind(value: Any) -> str:
    """What DynamoDB calls a JSON value of the wrong type."""
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, int | float):
        return "NUMBER_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    return "START_ARRAY" if isinstance(value, list) else "START_OBJECT"


def decode_binary(text: str) -> bytes:
    """The bytes of a base64 text."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise Unreadable(f"Invalid base64: {error}") from error


def _check_binary(value: Any, _depth: int) -> str:
    return b64encode(decode_binary(_text(value))).decode()


def _check_text(value: Any, _depth: int) -> str:
    return _text(value)


def _check_number(value: Any, _depth: int) -> str:
    return numbers.normal(_text(value))


def _check_boolean(value: Any, _depth: int) -> bool:
    if type(value) is not bool:
        raise Unreadable(f"{json_kind(value)} cannot be converted to Boolean")
    return value


def _check_null(value: Any, depth: int) -> bool:
    if _check_boolean(value, depth) is not True:
        raise Invalid(_INVALID + "Null attribute value types must have the value of true")
    return True


def _check_map(value: Any, depth: int) -> dict[str, Any]:
    if type(value) is not dict:
        raise Unreadable("Unexpected field type")
    for member in value.values():
        check_value(member, depth + 1)
    return value


def _check_list(value: Any, depth: int) -> list[Any]:
    for member in _list(value):
        check_value(member, depth + 1)
    return value  # type: ignore[no-any-return]  # _list has seen to it


def _set_of(kind: str, check: Callable[[Any, int], str]) -> Callable[[Any, int], list[str]]:
    def check_set(value: Any, depth: int) -> list[str]:
        members = [check(member, depth) for member in _list(value)]
        if not members:
            raise Invalid(f"{_INVALID}An {kind} set  may not be empty")
        if len(set(members)) != len(members):
            shown = ", ".join(members)[:200]
            raise Invalid(f"{_INVALID}Input collection [{shown}] contains duplicates.")
        return members

    return check_set


_CHECKS: dict[str, Callable[[Any, int], Any]] = {
    "N": _check_number,
    "B": _check_binary,
    "BOOL": _check_boolean,
    "NULL": _check_null,
    "M": _check_map,
    "L": _check_list,
    "SS": _set_of("string", _check_text),
    "NS": _set_of("number", _check_number),
    "BS": _set_of("binary", _check_binary),
}


def check_value(value: Any, depth: int = 0) -> None:
    """Check one attribute value and normalise it in place; raises Invalid or Unreadable."""
    if type(value) is not dict:
        raise Unreadable("Unexpected value type in payload" if value is None else "Unexpected field type")
    if len(value) != 1:
        trouble = "is empty" if not value else "has more than one datatypes set"
        raise Invalid(f"Supplied AttributeValue {trouble}, {_NOT_ONE}")
    ((kind, inner),) = value.items()
    if kind == "S":
        _text(inner)
        return
    check = _CHECKS.get(kind)
    if check is None:
        raise Invalid(f"Supplied AttributeValue is empty, {_NOT_ONE}")
    if depth >= MAX_DEPTH:
        raise Invalid("Nesting Levels have exceeded supported limits")
    value[kind] = check(inner, depth)


def check_item(item: Any) -> Item:
    """Check an attribute map (an item or a key) and normalise it in place."""
    if type(item) is not dict:
        raise Unreadable("Unexpected field type" if item is not None else "Unexpected value type in payload")
    for name, value in item.items():
        if not name or len(name) > MAX_NAME_BYTES:
            raise Invalid(_INVALID + "An attribute name must be between 1 and 65535 bytes long")
        check_value(value)
    return item


def type_of(value: dict[str, Any]) -> str:
    """The type word of an attribute value."""
    return next(iter(value))


def key_bytes(attribute: KeyAttribute, value: dict[str, Any]) -> bytes:
    """A key attribute's bytes; their order is the values' order."""
    inner: str = value[attribute.type]
    if attribute.type == "S":
        return inner.encode()
    return decode_binary(inner) if attribute.type == "B" else numbers.sortable(inner)


def _part(attribute: KeyAttribute, value: dict[str, Any], limit: int, *, role: str) -> bytes:
    encoded = key_bytes(attribute, value)
    if not encoded:
        kind = "string" if attribute.type == "S" else "binary"
        raise Invalid(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            f"empty {kind} value. Key: {attribute.name}"
        )
    if len(encoded) > limit:
        raise Invalid(f"{_INVALID}Size of {role} has exceeded the maximum size limit of {limit} bytes")
    return encoded


def partition_key_bytes(table: Table, value: dict[str, Any]) -> bytes:
    """The partition key's bytes, within its limits."""
    return _part(table.hash_key, value, MAX_PARTITION_KEY_BYTES, role="hashkey")


def _encoded(table: Table, item: Item) -> ItemKey:
    hash_part = partition_key_bytes(table, item[table.hash_key.name])
    if table.range_key is None:
        return ItemKey(hash_part)
    return ItemKey(hash_part, _part(table.range_key, item[table.range_key.name], MAX_SORT_KEY_BYTES, role="rangekey"))


def key_attributes(table: Table) -> tuple[KeyAttribute, ...]:
    """The partition key and, if there is one, the sort key."""
    return (table.hash_key,) if table.range_key is None else (table.hash_key, table.range_key)


def key_of_item(table: Table, item: Item) -> ItemKey:
    """The key of a checked item that is to be put."""
    for attribute in key_attributes(table):
        value = item.get(attribute.name)
        if value is None:
            raise Invalid(f"{_INVALID}Missing the key {attribute.name} in the item")
        if attribute.type not in value:
            raise Invalid(
                f"{_INVALID}Type mismatch for key {attribute.name} expected: {attribute.type} actual: {type_of(value)}"
            )
    return _encoded(table, item)


def key_of(table: Table, key: Item) -> ItemKey:
    """The key given as exactly the key attributes."""
    attributes = key_attributes(table)
    if len(key) != len(attributes) or any(a.type not in key.get(a.name, ()) for a in attributes):
        raise Invalid("The provided key element does not match the schema")
    return _encoded(table, key)


def key_part(table: Table, item: Item) -> Item:
    """The key attributes of an item, as a ``LastEvaluatedKey`` shows them."""
    return {attribute.name: item[attribute.name] for attribute in key_attributes(table)}
