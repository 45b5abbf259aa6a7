"""The questions of a canary in DynamoDB's words (pure). What answers say is read by :mod:`canary.probes.answers`."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from canary.probes.items import ItemKey, Stored, as_item
from canary.signature import CONTENT_TYPE, Signer

_PREFIX = "DynamoDB_20120810."


class Question(msgspec.Struct, frozen=True, gc=False):
    """A request before it is signed."""

    target: str
    body: bytes
    body_sha256: str


def put(table: str, key: ItemKey, what: Stored) -> Question:
    """PutItem of this version."""
    return _question("PutItem", {"TableName": table, "Item": as_item(key, what)})


@lru_cache(maxsize=4096)
def delete(table: str, key: ItemKey) -> Question:
    """DeleteItem, whether or not it is there."""
    return _question("DeleteItem", {"TableName": table, "Key": _key(key)})


@lru_cache(maxsize=32768)
def get(table: str, key: ItemKey, *, strong: bool) -> Question:
    """GetItem; the same question is asked again and again, so it is built and hashed once."""
    return _question("GetItem", {"TableName": table, "Key": _key(key), "ConsistentRead": strong})


@lru_cache(maxsize=4096)
def query(table: str, pk: str, prefix: str) -> Question:
    """Strongly consistent Query of all items of a partition key whose sort key begins with ``prefix``, in ascending order."""
    return _question(
        "Query",
        {
            "TableName": table,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": {":pk": {"S": pk}, ":sk": {"S": prefix}},
            "ConsistentRead": True,
        },
    )


def transact_write(table: str, items: Sequence[tuple[ItemKey, Stored]]) -> Question:
    """TransactWriteItems that puts all of ``items`` or none."""
    puts = [{"Put": {"TableName": table, "Item": as_item(key, what)}} for key, what in items]
    return _question("TransactWriteItems", {"TransactItems": puts})


@lru_cache(maxsize=4096)
def transact_get(table: str, keys: tuple[ItemKey, ...]) -> Question:
    """TransactGetItems of ``keys``."""
    gets = [{"Get": {"TableName": table, "Key": _key(key)}} for key in keys]
    return _question("TransactGetItems", {"TransactItems": gets})


@lru_cache(maxsize=4096)
def batch_get(table: str, keys: tuple[ItemKey, ...]) -> Question:
    """Strongly consistent BatchGetItem of ``keys``."""
    wanted = {"Keys": [_key(key) for key in keys], "ConsistentRead": True}
    return _question("BatchGetItem", {"RequestItems": {table: wanted}})


@lru_cache(maxsize=16)
def describe_table(table: str) -> Question:
    """DescribeTable."""
    return _question("DescribeTable", {"TableName": table})


@lru_cache(maxsize=1)
def list_tables() -> Question:
    """ListTables, one page of ten."""
    return _question("ListTables", {"Limit": 10})


def _key(key: ItemKey) -> dict[str, Any]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _question(operation: str, parameters: dict[str, Any]) -> Question:
    body = msgspec.json.encode(parameters)
    return Question(_PREFIX + operation, body, hashlib.sha256(body).hexdigest())


def request(
    asked: Question, host: str, signer: Signer, at: float, *, call_id: str, attempt: int = 1, attempts: int = 1
) -> bytes:
    """The HTTP/1.1 request, signed at UTC ``at``; ``host`` is the Host header's value.

    ``attempt`` of ``attempts`` is what SDKs say about their retries in ``amz-sdk-request``; ``call_id`` is the
    ``amz-sdk-invocation-id``: a router that logs it can be asked whether the request ever arrived, when no answer names one.
    """
    date, authorization = signer.sign(host=host, target=asked.target, body_sha256=asked.body_sha256, at=at)
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: fivenines-canary\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"X-Amz-Date: {date}\r\nX-Amz-Target: {asked.target}\r\nAuthorization: {authorization}\r\n"
        f"amz-sdk-invocation-id: {call_id}\r\namz-sdk-request: attempt={attempt}; max={attempts}\r\nContent-Length: {len(asked.body)}\r\n\r\n"
    )
    return head.encode() + asked.body
