"""One attempt, as its witness saw it: the shared vocabulary of canaries, collector and judgement (pure).

Failures are precious and kept whole as an :class:`Observation`; successes become counts (:mod:`collector.series`).
"""

from dataclasses import dataclass
from enum import StrEnum


class Vantage(StrEnum):
    """Who saw it."""

    CANARY = "canary"
    CUSTOMER = "customer"
    SERVER = "server"


class OperationClass(StrEnum):
    """What kind of question was asked."""

    WRITE = "write"
    STRONG_READ = "strong_read"
    EVENTUAL_READ = "eventual_read"
    QUERY = "query"
    TRANSACTION = "transaction"
    BATCH = "batch"
    """Several items in one request; asked as a read by canaries."""
    CONTROL = "control"
    CHECK = "check"
    """No operation of a store: a page, a port, a name, a certificate, a function."""

    @property
    def side(self) -> str:
        """``write`` or ``read``: availability is kept apart for the two."""
        return "write" if self in (OperationClass.WRITE, OperationClass.TRANSACTION, OperationClass.CONTROL) else "read"


class Level(StrEnum):
    """What a count counts; never add the one to the other.

    ``attempt``: single attempts. ``call``: whole calls of an SDK, retries and all. ``confirm``: single attempts that were made *because* another
    host's had failed: evidence, but no sample of what customers got, so in no availability.
    """

    ATTEMPT = "attempt"
    CALL = "call"
    CONFIRM = "confirm"


class Connection(StrEnum):
    """``fresh``: resolve, connect and handshake for this attempt. ``pooled``: reuse what is open, as SDKs do."""

    FRESH = "fresh"
    POOLED = "pooled"


class Phase(StrEnum):
    """The step of an attempt that failed."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    SEND = "send"
    WAIT = "wait"
    HTTP = "http"
    CHECKSUM = "checksum"
    SEMANTIC = "semantic"


class Outcome(StrEnum):
    """What came of an attempt (closed set)."""

    SUCCESS = "success"
    SERVER_FAULT = "server_fault"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    WRONG_ANSWER = "wrong_answer"
    THROTTLED = "throttled"
    CUSTOMER_FAULT = "customer_fault"

    @property
    def is_bad(self) -> bool:
        """Counts against availability."""
        return self in BAD

    @property
    def is_excluded(self) -> bool:
        """Neither good nor bad: the customer's own limit or mistake."""
        return self in (Outcome.THROTTLED, Outcome.CUSTOMER_FAULT)


BAD = frozenset({Outcome.SERVER_FAULT, Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.WRONG_ANSWER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One failed (or excluded) attempt, whole. Times in milliseconds, ``at`` in UTC epoch seconds (intended start).

    ``router``, ``node`` and their zones are the path the attempt took, as far as the witness could learn it:
    from the pinned address, and from the answer's ``x-router``, ``x-replica`` and ``x-partition`` headers;
    ``software_version`` is what the router that answered calls itself in ``x-fivenines-version``.
    ``reason`` is a short word of a bounded vocabulary, e.g. ``dns_empty``, ``connect_refused``,
    ``certificate_expired``, ``http_500``, ``deadline``, ``crc_mismatch``, ``stale_read``.
    """

    at: float
    endpoint: str
    connection: Connection
    operation: OperationClass
    table: str
    outcome: Outcome
    reason: str
    partition: str | None = None
    phase: Phase | None = None
    address: str | None = None
    router: str | None = None
    router_zone: str | None = None
    node: str | None = None
    node_zone: str | None = None
    status: int | None = None
    request_id: str | None = None
    detail: str | None = None
    lateness_ms: float = 0.0
    dns_ms: float | None = None
    tcp_ms: float | None = None
    tls_ms: float | None = None
    http_ms: float | None = None
    total_ms: float = 0.0
    software_version: str | None = None
