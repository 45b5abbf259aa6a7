"""The questions of a canary in DynamoDB's words, and what an answer says (pure).

An item carries its version, the boot of the process that wrote it, a payload and a checksum over all of it, so that a
reader can tell whose value it holds and whether it is whole.
"""

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from canary.signature import CONTENT_TYPE, Signer
from collector.observation import OperationClass

PUT = "DynamoDB_20120810.PutItem"
GET = "DynamoDB_20120810.GetItem"
PAYLOAD = "five nines is five minutes and fifteen seconds a year; this item is here to be found again"

_decoder = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Question:
    """A request before it is signed."""

    target: str
    body: bytes
    body_sha256: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What a read found: a version and the boot that wrote it."""

    version: int
    boot: str


class BadItem(ValueError):
    """An answer that holds something other than what was written; the text says what."""


def checksum(pk: str, sk: str, version: str, boot: str, payload: str) -> int:
    """CRC-32 over everything in an item."""
    return zlib.crc32(f"{pk}\n{sk}\n{version}\n{boot}\n{payload}".encode())


def write(table: str, pk: str, sk: str, *, version: int, boot: str) -> Question:
    """PutItem of this version."""
    item = {
        "pk": {"S": pk},
        "sk": {"S": sk},
        "version": {"N": str(version)},
        "boot": {"S": boot},
        "payload": {"S": PAYLOAD},
        "checksum": {"N": str(checksum(pk, sk, str(version), boot, PAYLOAD))},
    }
    return _question(PUT, {"TableName": table, "Item": item})


@lru_cache(maxsize=4096)
def read(table: str, pk: str, sk: str, *, strong: bool) -> Question:
    """GetItem; the same question is asked again and again, so it is built and hashed once."""
    key = {"pk": {"S": pk}, "sk": {"S": sk}}
    return _question(GET, {"TableName": table, "Key": key, "ConsistentRead": strong})


def question(operation: OperationClass, table: str, pk: str, sk: str, *, version: int, boot: str) -> Question:
    """The request of an operation class."""
    if operation is OperationClass.WRITE:
        return write(table, pk, sk, version=version, boot=boot)
    return read(table, pk, sk, strong=operation is OperationClass.STRONG_READ)


def _question(target: str, parameters: dict[str, Any]) -> Question:
    body = msgspec.json.encode(parameters)
    return Question(target, body, hashlib.sha256(body).hexdigest())


def request(asked: Question, host: str, signer: Signer, at: float) -> bytes:
    """The HTTP/1.1 request, signed at UTC ``at``; ``host`` is the Host header's value."""
    date, authorization = signer.sign(host=host, target=asked.target, body_sha256=asked.body_sha256, at=at)
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: fivenines-canary\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"X-Amz-Date: {date}\r\nX-Amz-Target: {asked.target}\r\nAuthorization: {authorization}\r\n"
        f"amz-sdk-request: attempt=1; max=1\r\nContent-Length: {len(asked.body)}\r\n\r\n"
    )
    return head.encode() + asked.body


def stored(body: bytes, pk: str, sk: str) -> Stored | None:
    """What a GetItem answer holds, None for no item; raises :class:`BadItem` when it is not what we write."""
    answer = _object(body)
    item = answer.get("Item")
    if item is None:
        return None
    try:
        version, boot, payload = item["version"]["N"], item["boot"]["S"], item["payload"]["S"]
        keys, found = (item["pk"]["S"], item["sk"]["S"]), int(item["checksum"]["N"])
        expected, number = checksum(pk, sk, version, boot, payload), int(version)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadItem(f"item without {error}") from error
    if keys != (pk, sk):
        raise BadItem(f"asked for {pk} {sk}, got {keys[0]} {keys[1]}")
    if found != expected:
        raise BadItem(f"checksum {found}, expected {expected}")
    return Stored(number, boot)


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadItem(f"not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise BadItem("not a JSON object")
    return answer


def confirm(body: bytes) -> None:
    """Raise :class:`BadItem` unless this is the answer to a PutItem: any JSON object."""
    _object(body)


def error_type(body: bytes) -> tuple[str, str]:
    """The error's short type (after ``#``, before ``:``) and its message, as SDKs read them; empty when there is none."""
    try:
        answer = _object(body)
    except BadItem:
        return "", ""
    name = str(answer.get("__type", "")).rsplit("#", 1)[-1].split(":", 1)[0]
    return name, str(answer.get("message") or answer.get("Message") or "")
