"""Equality and order of attribute values (pure). Values are in their normal form (:mod:`cluster.api.attributes`)."""

from decimal import Decimal
from typing import Any

from cluster.api.attributes import decode_binary

Value = dict[str, Any]
_SETS = frozenset({"SS", "NS", "BS"})
ORDERED = frozenset({"S", "N", "B"})
"""Types that have an order."""


def same(left: Value, right: Value) -> bool:
    """Deep equality; the members of a set have no order."""
    if left == right:
        return True
    ((kind, one),) = left.items()
    other = right.get(kind)
    if other is None:
        return False
    if kind in _SETS:
        return len(one) == len(other) and set(one) == set(other)
    if kind == "L":
        return len(one) == len(other) and all(map(same, one, other))
    if kind == "M":
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return False


def compare(left: Value, right: Value) -> int | None:
    """-1, 0 or 1; None when the two have no order (different types, or types without one)."""
    ((kind, one),) = left.items()
    other = right.get(kind)
    if other is None or kind not in ORDERED:
        return None
    if kind == "N":
        one, other = Decimal(one), Decimal(other)
    elif kind == "B":
        one, other = decode_binary(one), decode_binary(other)
    return int(one > other) - int(one < other)


def size(value: Value) -> int | None:
    """What ``size(path)`` is: characters, bytes or members; None for types without a size."""
    ((kind, inner),) = value.items()
    if kind == "B":
        return len(decode_binary(inner))
    return len(inner) if kind in _SETS or kind in ("S", "L", "M") else None


def contains(value: Value, operand: Value) -> bool:
    """Whether a text has a part, a set a member, or a list an element."""
    ((kind, inner),) = value.items()
    if kind == "L":
        return any(same(member, operand) for member in inner)
    if kind in _SETS:
        return operand.get(kind[0]) in inner
    part = operand.get(kind)
    if part is None or kind not in ("S", "B"):
        return False
    return part in inner if kind == "S" else decode_binary(part) in decode_binary(inner)


def begins_with(value: Value, prefix: Value) -> bool:
    """Whether a text or binary begins with another."""
    if "S" in value and "S" in prefix:
        return bool(value["S"].startswith(prefix["S"]))
    return "B" in value and "B" in prefix and decode_binary(value["B"]).startswith(decode_binary(prefix["B"]))
