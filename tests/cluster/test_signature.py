"""Signature Version 4 is verified as botocore signs."""

import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from cluster.api.signature import Keyring, canonical_request
from cluster.errors import KINDS, MEANINGS, ApiError, Outcome, by_status
from cluster.ports import ErrorKind


def signed(body=b"{}", *, region="eu-north-1", secret="s", service="dynamodb", **headers):
    request = AWSRequest("POST", "http://store.test:8000/", data=body, headers=headers)
    request.headers["X-Amz-Target"] = "DynamoDB_20120810.ListTables"
    SigV4Auth(Credentials("AK", secret), service, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()} | {"host": "store.test:8000"}


@given(st.binary(max_size=50), st.sampled_from(["local", "us-east-1", "x"]), st.text("ab  \t", max_size=8))
def test_what_botocore_signs_is_verified(body, region, extra):
    """Any body, any region, headers with odd spaces; and not with another body or secret."""
    headers = signed(body, region=region, **{"X-Amz-Extra": extra})
    claim = Keyring({"AK": "s"}).verify(headers, body, time.time())
    assert (claim.access_key_id, claim.region) == ("AK", region)
    for keyring, sent in ((Keyring({"AK": "t"}), body), (Keyring({"AK": "s"}), body + b" ")):
        with pytest.raises(ApiError) as caught:
            keyring.verify(headers, sent, time.time())
        assert caught.value.name == "InvalidSignatureException"


def test_the_scope_must_be_dynamodb():
    """A signature for another service is none for this one."""
    with pytest.raises(ApiError, match="correct service"):
        Keyring({"AK": "s"}).verify(signed(service="s3"), b"{}", time.time())


def test_what_matters_must_be_signed():
    """A target that was added afterwards is refused."""
    headers = signed()
    headers["authorization"] = headers["authorization"].replace(";x-amz-target", "")
    with pytest.raises(ApiError, match="must be a signed header"):
        Keyring({"AK": "s"}).verify(headers, b"{}", time.time())


def test_many_scopes_do_not_fill_the_memory():
    """Derived keys are remembered for a bounded number of scopes."""
    keyring = Keyring({"AK": "s"})
    for number in range(600):
        keyring.verify(signed(region=f"r{number}"), b"{}", time.time())
    assert len(keyring._derived) <= 256


def changed(headers, body, how):
    """One thing that makes a signed request untrue, or makes it lack something."""
    headers = dict(headers)
    match how:
        case "body":
            body += b" "
        case "signature":
            last = headers["authorization"][-1]
            headers["authorization"] = headers["authorization"][:-1] + ("0" if last != "0" else "1")
        case "host" | "x-amz-target":
            headers[how] += "x"
        case "x-amz-date":
            headers[how] = (
                f"{headers[how][:9]}000000Z" if headers[how][9:15] != "000000" else f"{headers[how][:9]}000001Z"
            )
        case "no date":
            del headers["x-amz-date"]
        case "other day":
            headers["x-amz-date"] = "2020" + headers["x-amz-date"][4:]
        case "no signature":
            headers["authorization"] = headers["authorization"].rpartition("=")[0] + "="
        case "odd signature":
            headers["authorization"] = headers["authorization"][:-64] + "é" * 64
        case "trailing":
            headers["authorization"] += ", Signature=" + "0" * 64
    return headers, body


_CHANGES = ["nothing", "body", "signature", "host", "x-amz-target", "x-amz-date", "no date", "other day"]


@pytest.mark.parametrize("late", [0.0, 3600.0, -3600.0])
@pytest.mark.parametrize("how", [*_CHANGES, "no signature", "odd signature", "trailing"])
def test_a_known_client_is_judged_as_a_new_one(how, late):
    """What a keyring remembers of a client changes no verdict and no word of a refusal."""

    def verdict(keyring):
        try:
            return keyring.verify(*changed(signed(b"{}"), b"{}", how), at).access_key_id
        except ApiError as error:
            return error.name, error.message

    known, at = Keyring({"AK": "s"}), time.time()
    known.verify(signed(b"{}"), b"{}", at)
    at += late
    assert verdict(known) == verdict(Keyring({"AK": "s"}))


def test_only_true_requests_are_remembered():
    """Nobody without a secret can fill a keyring's memory."""
    keyring = Keyring({"AK": "s"})
    for number in range(20):
        with pytest.raises(ApiError):
            keyring.verify(signed(region=f"r{number}", secret="t"), b"{}", time.time())
    assert not keyring._known
    for number in range(600):
        keyring.verify(signed(region=f"r{number}"), b"{}", time.time())
    assert 0 < len(keyring._known) <= 256


def test_the_canonical_form():
    """As the AWS General Reference shows it."""
    text = canonical_request({"host": "h", "x": " a   b "}, ("host", "x"), b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert text == f"POST\n/\n\nhost:h\nx:a b\n\nhost;x\n{empty}"


def test_every_refusal_of_the_back_has_a_meaning():
    """No ErrorKind is left out; only 5xx are the server's fault; a throttle is nobody's."""
    assert set(KINDS) == set(ErrorKind)
    for kind, name in KINDS.items():
        meaning = MEANINGS[name]
        assert (meaning.outcome is Outcome.SERVER_FAULT) is (meaning.status >= 500), kind
    assert {MEANINGS[by_status(status)].status for status in (400, 429, 500, 502, 503)} == {400, 500, 503}
