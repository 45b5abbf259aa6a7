"""What DynamoDB's answers say, operation by operation (pure). Anything that cannot be right raises :class:`~canary.probes.items.BadItem`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

from canary.probes.items import BadItem, ItemKey, Stored, from_item

_decoder = msgspec.json.Decoder()
LIVING = frozenset({"ACTIVE", "UPDATING", "ARCHIVED"})


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer: enough for writes, which answer with any object."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadItem(f"not JSON: {error}", "malformed_answer") from error
    if not isinstance(answer, dict):
        raise BadItem("not a JSON object", "malformed_answer")
    return answer


def error_type(body: bytes) -> tuple[str, str]:
    """The error's short type (after ``#``, before ``:``) and its message, as SDKs read them; empty when there is none."""
    try:
        answer = parsed(body)
    except BadItem:
        return "", ""
    name = str(answer.get("__type", "")).rsplit("#", 1)[-1].split(":", 1)[0]
    return name, str(answer.get("message") or answer.get("Message") or "")


def one(body: bytes, key: ItemKey) -> Stored | None:
    """What a GetItem answer holds, None for no item."""
    return _optional(parsed(body).get("Item"), key)


def _optional(item: object, key: ItemKey) -> Stored | None:
    if item is None:
        return None
    found, stored = from_item(item)
    if found != key:
        raise BadItem(f"asked for {key[0]} {key[1]}, got {found[0]} {found[1]}")
    return stored


def queried(body: bytes, pk: str, prefix: str) -> tuple[dict[str, Stored], str | None]:
    """The items of a Query by sort key, and the last sort key that the page covers (None: it covers all).

    Out of order, twice, or of another partition key is wrong.
    """
    answer = parsed(body)
    items = answer.get("Items")
    if not isinstance(items, list):
        raise BadItem("a Query without Items", "malformed_answer")
    found = [from_item(item) for item in items]
    keys = [key for key, _ in found]
    for key in keys:
        if key[0] != pk or not key[1].startswith(prefix):
            raise BadItem(f"asked for {pk} {prefix}, got {key[0]} {key[1]}")
    for before, after in pairwise(keys):
        if before == after:
            raise BadItem(f"{after[1]} twice in one answer", "duplicate")
        if before[1].encode() > after[1].encode():
            raise BadItem(f"{after[1]} after {before[1]}", "wrong_order")
    return {key[1]: stored for key, stored in found}, _covered(answer)


def _covered(answer: dict[str, Any]) -> str | None:
    last = answer.get("LastEvaluatedKey")
    if not last:
        return None
    try:
        return str(last["sk"]["S"])
    except (KeyError, TypeError) as error:
        raise BadItem("a LastEvaluatedKey without sk", "malformed_answer") from error


def batch(body: bytes, table: str, keys: Sequence[ItemKey]) -> dict[ItemKey, Stored | None]:
    """The items of a BatchGetItem by key, None for what is not there; keys left unprocessed are a reason of their own."""
    answer = parsed(body)
    unprocessed = answer.get("UnprocessedKeys")
    if unprocessed:
        raise BadItem(f"unprocessed: {len(_listed(unprocessed, table, 'Keys'))} of {len(keys)}", "unprocessed_keys")
    found: dict[ItemKey, Stored | None] = dict.fromkeys(keys)
    for item in _listed(answer.get("Responses"), table):
        key, stored = from_item(item)
        if key not in found:
            raise BadItem(f"not asked for {key[0]} {key[1]}")
        if found[key] is not None:
            raise BadItem(f"{key[0]} {key[1]} twice in one answer", "duplicate")
        found[key] = stored
    return found


def _listed(holder: object, table: str, field: str | None = None) -> list[Any]:
    try:
        listed = holder[table] if field is None else holder[table][field]  # type: ignore[index]  # checked by the except
    except (KeyError, TypeError, IndexError):
        listed = None
    if not isinstance(listed, list):
        raise BadItem(f"an answer without table {table}", "malformed_answer")
    return listed


def transaction(body: bytes, keys: Sequence[ItemKey]) -> tuple[Stored | None, ...]:
    """The items of a TransactGetItems in the order of ``keys``; all must be of one transaction: the same version, or none."""
    responses = parsed(body).get("Responses")
    if not isinstance(responses, list) or len(responses) != len(keys):
        raise BadItem("a TransactGetItems without as many Responses as keys", "malformed_answer")
    found = tuple(
        _optional(response.get("Item") if isinstance(response, dict) else None, key)
        for response, key in zip(responses, keys, strict=True)
    )
    versions = [stored.version if stored else None for stored in found]
    if len(set(versions)) > 1:
        raise BadItem(f"versions {versions} of one transaction", "torn_transaction")
    return found


def described(body: bytes, table: str) -> None:
    """A DescribeTable must name the table, and it must be in service."""
    description = parsed(body).get("Table")
    if not isinstance(description, dict) or description.get("TableName") != table:
        raise BadItem(f"not the description of {table}")
    if description.get("TableStatus") not in LIVING:
        raise BadItem(f"status {description.get('TableStatus')}", "table_not_active")


def listed(body: bytes) -> None:
    """A ListTables must hold a list of names."""
    names = parsed(body).get("TableNames")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadItem("a ListTables without TableNames", "malformed_answer")
