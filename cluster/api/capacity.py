"""How large an item is and what a request consumes (pure).

Sizes after the developer guide: names and values; a number is 1 + one byte per two digits; a list or map 3 + 1 per element.
"""

from math import ceil
from typing import Any

from cluster.ports import Item

MAX_ITEM_BYTES = 400 * 1024
READ_UNIT_BYTES = 4096
WRITE_UNIT_BYTES = 1024


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _number_bytes(text: str) -> int:
    digits = len(text.replace("-", "").replace(".", "").strip("0")) or 1
    return 1 + (digits + 1) // 2 + (text[0] == "-")


def _binary_bytes(text: str) -> int:
    return len(text) * 3 // 4 - text.count("=", -2)


def value_bytes(value: dict[str, Any]) -> int:
    """Bytes of one attribute value."""
    ((kind, inner),) = value.items()
    match kind:
        case "S":
            return _text_bytes(inner)
        case "N":
            return _number_bytes(inner)
        case "B":
            return _binary_bytes(inner)
        case "M":
            return 3 + item_bytes(inner) + len(inner)
        case "L":
            return 3 + sum(value_bytes(member) + 1 for member in inner)
        case "SS" | "NS" | "BS":
            member_kind = kind[0]
            return sum(value_bytes({member_kind: member}) for member in inner)
        case _:
            return 1


def item_bytes(item: Item) -> int:
    """Bytes of an item, attribute names included."""
    return sum(_text_bytes(name) + value_bytes(value) for name, value in item.items())


def write_units(old: Item | None, new: Item | None) -> float:
    """Write units of a write: the larger of the item before and after, in KB, rounded up; at least 1."""
    size = max(item_bytes(old) if old else 0, item_bytes(new) if new else 0)
    return float(max(1, ceil(size / WRITE_UNIT_BYTES)))


def read_units(size: int, *, strong: bool) -> float:
    """Read units of ``size`` bytes read together: per 4 KB rounded up, at least one; half for an eventual read."""
    units = max(1, ceil(size / READ_UNIT_BYTES))
    return float(units) if strong else units / 2


def consumed(table: str, units: float, mode: str) -> dict[str, Any]:
    """The ``ConsumedCapacity`` that ``ReturnConsumedCapacity`` = ``mode`` (TOTAL or INDEXES) asks for."""
    answer: dict[str, Any] = {"TableName": table, "CapacityUnits": units}
    if mode == "INDEXES":
        answer["Table"] = {"CapacityUnits": units}
    return answer
