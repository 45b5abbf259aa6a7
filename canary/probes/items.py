"""The items that canaries keep in a store, so that a reader can tell whose value it holds and whether it is whole (pure).

An item carries its version, the boot of the process that wrote it, the lowest version that could still turn up after it (``floor``),
its writer's wall clock, a payload, and a checksum over all of it.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

PAYLOAD = "five nines is five minutes and fifteen seconds a year; this item is here to be found again"
ItemKey = tuple[str, str]
"""Partition key and sort key."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """What a write puts into an item beside its key, and a read finds there.

    ``floor``: no lower version of the same ``boot`` can turn up any more; ``settled``: none of an earlier boot either.
    ``written_ms``: the writer's UTC clock.
    """

    version: int
    boot: str
    floor: int = 0
    written_ms: int = 0
    settled: bool = False


class BadItem(ValueError):
    """An answer that holds something other than what was written; the text says what. ``reason``: a word of the outcome table."""

    def __init__(self, detail: str, reason: str = "wrong_value") -> None:
        super().__init__(detail)
        self.reason = reason


def checksum(key: ItemKey, *values: str) -> int:
    """CRC-32 over everything in an item: version, boot, floor, writer's clock, whether settled, and payload, as text."""
    return zlib.crc32("\n".join((*key, *values)).encode())


def as_item(key: ItemKey, what: Stored) -> dict[str, Any]:
    """The item in DynamoDB's JSON."""
    version, floor, written, settled = str(what.version), str(what.floor), str(what.written_ms), str(int(what.settled))
    return {
        "pk": {"S": key[0]},
        "sk": {"S": key[1]},
        "version": {"N": version},
        "boot": {"S": what.boot},
        "floor": {"N": floor},
        "written_ms": {"N": written},
        "settled": {"N": settled},
        "payload": {"S": PAYLOAD},
        "checksum": {"N": str(checksum(key, version, what.boot, floor, written, settled, PAYLOAD))},
    }


def from_item(item: object) -> tuple[ItemKey, Stored]:
    """Key and content of an item; raises :class:`BadItem` when it is not what we write."""
    if not isinstance(item, Mapping):
        raise BadItem("an item that is not an object")
    try:
        key = (item["pk"]["S"], item["sk"]["S"])
        version, boot, payload = item["version"]["N"], item["boot"]["S"], item["payload"]["S"]
        floor, written, settled = item["floor"]["N"], item["written_ms"]["N"], item["settled"]["N"]
        found, expected = int(item["checksum"]["N"]), checksum(key, version, boot, floor, written, settled, payload)
        stored = Stored(int(version), boot, int(floor), int(written), settled == "1")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadItem(f"item without {error}") from error
    if found != expected:
        raise BadItem(f"checksum {found}, expected {expected}")
    return key, stored
