"""The only table that says what came of an attempt (pure).

A reason is a word of a bounded vocabulary; each has exactly one outcome here. A canary's request is known good, so an
unexpected 4xx is the server's fault.
"""

import errno
import zlib

import msgspec

from canary.probes import answers
from collector.observation import Outcome, Phase

DETAIL_LENGTH = 200

OUTCOMES: dict[str, Outcome] = {
    "dns_empty": Outcome.UNREACHABLE,
    "dns_nxdomain": Outcome.UNREACHABLE,
    "dns_servfail": Outcome.UNREACHABLE,
    "dns_refused": Outcome.UNREACHABLE,
    "dns_malformed": Outcome.UNREACHABLE,
    "dns_unreachable": Outcome.UNREACHABLE,
    "dns_timeout": Outcome.TIMEOUT,
    "connect_refused": Outcome.UNREACHABLE,
    "connect_unreachable": Outcome.UNREACHABLE,
    "connect_failed": Outcome.UNREACHABLE,
    "connect_timeout": Outcome.TIMEOUT,
    "connection_reset": Outcome.UNREACHABLE,
    "connection_closed": Outcome.UNREACHABLE,
    "certificate_expired": Outcome.UNREACHABLE,
    "certificate_not_yet_valid": Outcome.UNREACHABLE,
    "certificate_unknown_ca": Outcome.UNREACHABLE,
    "certificate_wrong_host": Outcome.UNREACHABLE,
    "certificate_other": Outcome.UNREACHABLE,
    "tls_error": Outcome.UNREACHABLE,
    "deadline": Outcome.TIMEOUT,
    "malformed_http": Outcome.SERVER_FAULT,
    "http_500": Outcome.SERVER_FAULT,
    "http_502": Outcome.SERVER_FAULT,
    "http_503": Outcome.SERVER_FAULT,
    "http_504": Outcome.SERVER_FAULT,
    "http_5xx": Outcome.SERVER_FAULT,
    "http_unexpected": Outcome.SERVER_FAULT,
    "unexpected_4xx": Outcome.SERVER_FAULT,
    "throttled": Outcome.THROTTLED,
    "crc_mismatch": Outcome.WRONG_ANSWER,
    "malformed_answer": Outcome.WRONG_ANSWER,
    "stale_read": Outcome.WRONG_ANSWER,
    "lost_write": Outcome.WRONG_ANSWER,
    "wrong_value": Outcome.WRONG_ANSWER,
    "resurrected_delete": Outcome.WRONG_ANSWER,
    "duplicate": Outcome.WRONG_ANSWER,
    "wrong_order": Outcome.WRONG_ANSWER,
    "torn_transaction": Outcome.WRONG_ANSWER,
    "table_not_active": Outcome.SERVER_FAULT,
    # A canary stays far below its table's throughput: what a batch leaves undone is the service's doing.
    "unprocessed_keys": Outcome.SERVER_FAULT,
    # Generic checks.
    "unexpected_status": Outcome.SERVER_FAULT,
    "header_mismatch": Outcome.WRONG_ANSWER,
    "json_mismatch": Outcome.WRONG_ANSWER,
    "body_mismatch": Outcome.WRONG_ANSWER,
    "body_too_large": Outcome.WRONG_ANSWER,
    "answer_mismatch": Outcome.WRONG_ANSWER,
    "dns_wrong_rcode": Outcome.WRONG_ANSWER,
    "dns_wrong_answers": Outcome.WRONG_ANSWER,
    "dns_too_few_answers": Outcome.WRONG_ANSWER,
    "certificate_expires_soon": Outcome.SERVER_FAULT,
    "check_failed": Outcome.SERVER_FAULT,
    "check_raised": Outcome.SERVER_FAULT,
}
"""Every reason there is, and its outcome."""

TIMEOUT_REASONS = frozenset(word for word, outcome in OUTCOMES.items() if outcome is Outcome.TIMEOUT)
"""Reasons that the host's own slowness can produce."""

THROTTLES = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})

_BY_PHASE = {Phase.DNS: "dns_timeout", Phase.TCP: "connect_timeout"}
_BY_ERRNO = {
    errno.ECONNREFUSED: "connect_refused",
    errno.ECONNRESET: "connection_reset",
    errno.EPIPE: "connection_reset",
    errno.ECONNABORTED: "connection_reset",
    errno.ETIMEDOUT: "connect_timeout",
    errno.ENETUNREACH: "connect_unreachable",
    errno.EHOSTUNREACH: "connect_unreachable",
    errno.ENETDOWN: "connect_unreachable",
}
# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_BY_VERIFY_CODE = {
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    2: "certificate_unknown_ca",
    18: "certificate_unknown_ca",
    19: "certificate_unknown_ca",
    20: "certificate_unknown_ca",
    21: "certificate_unknown_ca",
    62: "certificate_wrong_host",
    64: "certificate_wrong_host",
}
_KNOWN_FAULTS = frozenset({500, 502, 503, 504})
# From OpenDNS to BIND, these two are what a broken name service says.
_BY_RCODE = {2: "dns_servfail", 3: "dns_nxdomain", 5: "dns_refused"}


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What came of an attempt. ``phase`` is None when nothing failed."""

    outcome: Outcome
    reason: str = ""
    phase: Phase | None = None
    detail: str | None = None


SUCCESS = Verdict(Outcome.SUCCESS)


def failed(reason: str, phase: Phase, detail: str | None = None) -> Verdict:
    """The verdict for a reason of the table."""
    return Verdict(OUTCOMES[reason], reason, phase, detail[:DETAIL_LENGTH] if detail else None)


def timeout_reason(phase: Phase) -> str:
    """The deadline passed in this phase."""
    return _BY_PHASE.get(phase, "deadline")


def errno_reason(number: int | None, phase: Phase) -> str:
    """The word for an operating-system error; a refused connect is told from a reset one."""
    default = "connection_reset" if phase not in (Phase.DNS, Phase.TCP) else "connect_failed"
    if phase is Phase.DNS:
        return "dns_unreachable"
    return _BY_ERRNO.get(number or 0, default)


def verify_reason(code: int) -> str:
    """The word for OpenSSL's verification error."""
    return _BY_VERIFY_CODE.get(code, "certificate_other")


def rcode_reason(rcode: int) -> str | None:
    """The word for a DNS response code; None for NOERROR."""
    return None if rcode == 0 else _BY_RCODE.get(rcode, "dns_servfail")


def answered(status: int, headers: dict[str, str], body: bytes) -> Verdict:
    """What an HTTP answer says before its content is looked at: ``SUCCESS`` means a whole 200."""
    if status == 200:
        return _whole(headers.get("x-amz-crc32"), body)
    if 400 <= status < 500:
        name, message = answers.error_type(body)
        reason = "throttled" if name in THROTTLES else "unexpected_4xx"
        return failed(reason, Phase.HTTP, f"{status} {name}: {message}")
    if status >= 500:
        name, message = answers.error_type(body)
        word = f"http_{status}" if status in _KNOWN_FAULTS else "http_5xx"
        return failed(word, Phase.HTTP, f"{status} {name}: {message}")
    return failed("http_unexpected", Phase.HTTP, f"status {status}")


def _whole(claimed: str | None, body: bytes) -> Verdict:
    """Targets that do not send the checksum are taken at their word; a wrong one is a wrong answer."""
    if claimed is None or claimed == str(zlib.crc32(body)):
        return SUCCESS
    return failed("crc_mismatch", Phase.CHECKSUM, f"x-amz-crc32 {claimed}, body {zlib.crc32(body)}")
