"""Our Signature Version 4 against botocore's."""

import datetime as dt
import hashlib
from unittest import mock

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.probes import dynamodb
from canary.probes.items import Stored
from canary.signature import Signer, amz_date


def botocore_authorization(body: bytes, target: str, at: float, region: str) -> str:
    request = AWSRequest("POST", "https://dynamodb.local.test:8443/", data=body)
    request.headers["Content-Type"] = "application/x-amz-json-1.0"
    request.headers["X-Amz-Target"] = target
    now = dt.datetime.fromtimestamp(at, dt.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        SigV4Auth(Credentials("AKIDEXAMPLE", "secret/with+signs"), "dynamodb", region).add_auth(request)
    return str(request.headers["Authorization"])


@settings(max_examples=30)
@given(
    body=st.binary(max_size=200),
    at=st.integers(1_700_000_000, 1_900_000_000),
    region=st.sampled_from(["local", "eu-central-1"]),
)
def test_signatures_are_those_of_botocore(body: bytes, at: int, region: str) -> None:
    """Same key, body and second give the same Authorization header."""
    signer = Signer("AKIDEXAMPLE", "secret/with+signs", region)
    digest = hashlib.sha256(body).hexdigest()
    date, ours = signer.sign(
        host="dynamodb.local.test:8443", target="DynamoDB_20120810.GetItem", body_sha256=digest, at=at
    )
    assert date == amz_date(at)
    assert ours == botocore_authorization(body, "DynamoDB_20120810.GetItem", at, region)


def test_the_day_s_key_is_renewed_at_midnight() -> None:
    """One signer signs rightly on both sides of a UTC midnight, forwards and back."""
    signer = Signer("AKIDEXAMPLE", "secret/with+signs", "local")
    for at in (1_763_855_999, 1_763_856_000, 1_763_855_999):
        digest = hashlib.sha256(b"{}").hexdigest()
        _, ours = signer.sign(
            host="dynamodb.local.test:8443", target="DynamoDB_20120810.PutItem", body_sha256=digest, at=at
        )
        assert ours == botocore_authorization(b"{}", "DynamoDB_20120810.PutItem", at, "local")


def test_a_request_is_whole_http() -> None:
    """Content-Length is right and the body is the question's."""
    signer = Signer("a", "b", "local")
    asked = dynamodb.put("canary", ("pk", "sk"), Stored(3, "b"))
    head, _, body = dynamodb.request(asked, "h:1", signer, 1_763_856_000.0, call_id="mine").partition(b"\r\n\r\n")
    assert body == asked.body
    assert f"Content-Length: {len(body)}".encode() in head
    assert head.startswith(b"POST / HTTP/1.1\r\nHost: h:1\r\n")
