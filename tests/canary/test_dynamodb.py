"""What a canary's questions say and what answers hold."""

import json
from typing import Any

import pytest

from canary.probes import answers, dynamodb
from canary.probes.items import BadItem, Stored, as_item

KEY, OTHER = ("pk", "sk/main"), ("pk", "sk/other")
WHAT = Stored(7, "b", 5, 1000)


def item(**changes: object) -> dict[str, Any]:
    return as_item(KEY, WHAT) | changes


def body(answer: object) -> bytes:
    return json.dumps(answer).encode()


def test_what_was_written_is_read() -> None:
    """Version, boot, floor and clock come back; no item is None."""
    assert answers.one(body({"Item": item()}), KEY) == Stored(7, "b", 5, 1000)
    assert answers.one(b"{}", KEY) is None


@pytest.mark.parametrize(
    "answer",
    [
        body({"Item": item(payload={"S": "other"})}),
        body({"Item": item(version={"N": "8"})}),
        body({"Item": item(floor={"N": "8"})}),
        body({"Item": item(checksum={"N": "x"})}),
        body({"Item": item(sk={"S": "other"})}),
        body({"Item": as_item(OTHER, WHAT)}),
        body({"Item": item(boot="b")}),
        b'{"Item": 3}',
        b"[]",
        b"\xff",
        b"",
    ],
)
def test_anything_else_is_refused(answer: bytes) -> None:
    """A changed value, a missing attribute, another's item and no JSON are all bad items."""
    with pytest.raises(BadItem):
        answers.one(answer, KEY)


def test_reads_differ_only_in_consistency() -> None:
    """A strong read asks for ConsistentRead."""
    strong, eventual = (json.loads(dynamodb.get("t", ("p", "s"), strong=strong).body) for strong in (True, False))
    assert strong.pop("ConsistentRead") is True
    assert eventual.pop("ConsistentRead") is False
    assert strong == eventual


def reason(check: object, *arguments: object) -> str:
    with pytest.raises(BadItem) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value.reason


def test_a_query_must_be_in_order_without_doubles_and_of_its_key() -> None:
    """Ascending sort keys of the asked prefix; a page that ends early says how far it goes."""
    main, other = as_item(KEY, WHAT), as_item(OTHER, WHAT)
    found, covered = answers.queried(body({"Items": [main, other]}), "pk", "sk/")
    assert (list(found), covered) == ([KEY[1], OTHER[1]], None)
    page = {"Items": [main], "LastEvaluatedKey": {"pk": {"S": "pk"}, "sk": {"S": KEY[1]}}}
    assert answers.queried(body(page), "pk", "sk/")[1] == KEY[1]
    assert reason(answers.queried, body({"Items": [other, main]}), "pk", "sk/") == "wrong_order"
    assert reason(answers.queried, body({"Items": [main, main]}), "pk", "sk/") == "duplicate"
    assert reason(answers.queried, body({"Items": [main]}), "pk", "another/") == "wrong_value"
    assert reason(answers.queried, body({"Count": 0}), "pk", "sk/") == "malformed_answer"


def test_a_batch_holds_each_key_once_or_says_that_it_is_unprocessed() -> None:
    """Missing items are None; unprocessed keys, doubles and strangers are reasons of their own."""
    main = as_item(KEY, WHAT)
    whole = {"Responses": {"t": [main]}, "UnprocessedKeys": {}}
    assert answers.batch(body(whole), "t", (KEY, OTHER)) == {KEY: Stored(7, "b", 5, 1000), OTHER: None}
    undone = {"Responses": {"t": []}, "UnprocessedKeys": {"t": {"Keys": [{}]}}}
    assert reason(answers.batch, body(undone), "t", (KEY,)) == "unprocessed_keys"
    assert reason(answers.batch, body({"Responses": {"t": [main, main]}}), "t", (KEY,)) == "duplicate"
    assert reason(answers.batch, body({"Responses": {"t": [main]}}), "t", (OTHER,)) == "wrong_value"
    assert reason(answers.batch, body({}), "t", (KEY,)) == "malformed_answer"


def test_a_transaction_is_all_or_nothing() -> None:
    """Both items of one version, or neither; anything between is torn."""
    both = [{"Item": as_item(KEY, WHAT)}, {"Item": as_item(OTHER, WHAT)}]
    assert len(answers.transaction(body({"Responses": both}), (KEY, OTHER))) == 2
    assert answers.transaction(body({"Responses": [{}, {}]}), (KEY, OTHER)) == (None, None)
    assert reason(answers.transaction, body({"Responses": [both[0], {}]}), (KEY, OTHER)) == "torn_transaction"
    newer = {"Item": as_item(OTHER, Stored(8, "b"))}
    assert reason(answers.transaction, body({"Responses": [both[0], newer]}), (KEY, OTHER)) == "torn_transaction"
    assert reason(answers.transaction, body({"Responses": both[:1]}), (KEY, OTHER)) == "malformed_answer"


def test_the_control_plane_names_the_table_and_that_it_is_in_service() -> None:
    """Another table, one that is being deleted, and no list are refused."""
    answers.described(body({"Table": {"TableName": "t", "TableStatus": "ACTIVE"}}), "t")
    assert reason(answers.described, body({"Table": {"TableName": "u", "TableStatus": "ACTIVE"}}), "t") == "wrong_value"
    deleting = {"Table": {"TableName": "t", "TableStatus": "DELETING"}}
    assert reason(answers.described, body(deleting), "t") == "table_not_active"
    answers.listed(body({"TableNames": []}))
    assert reason(answers.listed, b"{}") == "malformed_answer"
