"""What a read's answer holds."""

import json

import pytest

from canary.probes import dynamodb
from collector.observation import OperationClass


def written(**changes: object) -> bytes:
    asked = dynamodb.question(OperationClass.WRITE, "canary", "pk", "sk", version=7, boot="b")
    item = json.loads(asked.body)["Item"]
    return json.dumps({"Item": item | changes}).encode()


def test_what_was_written_is_read() -> None:
    """Version and boot come back; no item is None."""
    assert dynamodb.stored(written(), "pk", "sk") == dynamodb.Stored(7, "b")
    assert dynamodb.stored(b"{}", "pk", "sk") is None


@pytest.mark.parametrize(
    "body",
    [
        written(payload={"S": "other"}),
        written(version={"N": "8"}),
        written(checksum={"N": "x"}),
        written(sk={"S": "other"}),
        written(boot="b"),
        b'{"Item": 3}',
        b"[]",
        b"\xff",
        b"",
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    """A changed value, a missing attribute, another's item and no JSON are all bad items."""
    with pytest.raises(dynamodb.BadItem):
        dynamodb.stored(body, "pk", "sk")


def test_reads_differ_only_in_consistency() -> None:
    """A strong read asks for ConsistentRead."""
    strong, eventual = (
        json.loads(dynamodb.question(operation, "t", "p", "s", version=0, boot="").body)
        for operation in (OperationClass.STRONG_READ, OperationClass.EVENTUAL_READ)
    )
    assert strong.pop("ConsistentRead") is True
    assert eventual.pop("ConsistentRead") is False
    assert strong == eventual
