"""The outcome table, and what an answer says."""

import errno
import json
import zlib

import pytest

from canary.classify import (
    OUTCOMES,
    SUCCESS,
    answered,
    errno_reason,
    failed,
    rcode_reason,
    timeout_reason,
    verify_reason,
)
from collector.observation import Outcome, Phase


def error(name: str, message: str = "m") -> bytes:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "body", "outcome", "reason"),
    [
        (400, error("ProvisionedThroughputExceededException"), Outcome.THROTTLED, "throttled"),
        (400, error("ThrottlingException"), Outcome.THROTTLED, "throttled"),
        (400, error("RequestLimitExceeded"), Outcome.THROTTLED, "throttled"),
        (400, error("ValidationException"), Outcome.SERVER_FAULT, "unexpected_4xx"),
        (400, error("InvalidSignatureException"), Outcome.SERVER_FAULT, "unexpected_4xx"),
        (404, b"<html>", Outcome.SERVER_FAULT, "unexpected_4xx"),
        (500, error("InternalServerError"), Outcome.SERVER_FAULT, "http_500"),
        (503, b"", Outcome.SERVER_FAULT, "http_503"),
        (599, b"\xff", Outcome.SERVER_FAULT, "http_5xx"),
        (301, b"", Outcome.SERVER_FAULT, "http_unexpected"),
        (204, b"", Outcome.SERVER_FAULT, "http_unexpected"),
    ],
)
def test_statuses(status: int, body: bytes, outcome: Outcome, reason: str) -> None:
    """A canary's request is known good: every unexpected answer is the server's fault, a throttle nobody's."""
    verdict = answered(status, {}, body)
    assert (verdict.outcome, verdict.reason, verdict.phase) == (outcome, reason, Phase.HTTP)


def test_the_error_type_is_kept_in_the_detail() -> None:
    """Which 4xx it was can be read from the observation."""
    assert "ValidationException: m" in (answered(400, {}, error("ValidationException")).detail or "")
    assert len(answered(400, {}, error("ValidationException", "x" * 9999)).detail or "") <= 200


def test_a_checksum_is_verified_when_there_is_one() -> None:
    """200 with a wrong x-amz-crc32 is a wrong answer; without the header the answer is taken."""
    body = b'{"Item":{}}'
    assert answered(200, {"x-amz-crc32": str(zlib.crc32(body))}, body) is SUCCESS
    assert answered(200, {}, body) is SUCCESS
    verdict = answered(200, {"x-amz-crc32": "1"}, body)
    assert (verdict.outcome, verdict.reason, verdict.phase) == (Outcome.WRONG_ANSWER, "crc_mismatch", Phase.CHECKSUM)


def test_words_for_what_the_system_says() -> None:
    """Errno, verification codes, response codes and deadlines each have a word of the table."""
    assert errno_reason(errno.ECONNREFUSED, Phase.TCP) == "connect_refused"
    assert errno_reason(errno.ECONNRESET, Phase.WAIT) == "connection_reset"
    assert errno_reason(errno.ECONNREFUSED, Phase.DNS) == "dns_unreachable"
    assert errno_reason(None, Phase.TLS) == "connection_reset"
    assert verify_reason(10) == "certificate_expired"
    assert verify_reason(20) == "certificate_unknown_ca"
    assert verify_reason(62) == "certificate_wrong_host"
    assert verify_reason(99999) == "certificate_other"
    assert [rcode_reason(code) for code in (0, 2, 3, 5)] == [None, "dns_servfail", "dns_nxdomain", "dns_refused"]
    words = {timeout_reason(phase) for phase in Phase}
    assert words == {"dns_timeout", "connect_timeout", "deadline"}
    assert all(OUTCOMES[word] is Outcome.TIMEOUT for word in words)


def test_a_word_outside_the_table_is_a_mistake() -> None:
    """The vocabulary is closed."""
    with pytest.raises(KeyError):
        failed("something_else", Phase.HTTP)
