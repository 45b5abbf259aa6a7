"""What one attempt learned on its way, filled in step by step (pure)."""

import msgspec

from canary.classify import Verdict, failed
from collector.observation import Phase


class AttemptFailed(Exception):
    """A step could not be done: a reason of the outcome table."""

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


_SENT = frozenset({Phase.SEND, Phase.WAIT, Phase.HTTP})


class Trace(msgspec.Struct):
    """Times in milliseconds. ``phase`` is the step under way; ``verdict`` is set when one failed."""

    phase: Phase = Phase.DNS
    call_id: str = ""
    address: str | None = None
    status: int | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    dns_ms: float | None = None
    tcp_ms: float | None = None
    tls_ms: float | None = None
    http_ms: float | None = None
    ended: float = 0.0
    verdict: Verdict | None = None

    @property
    def request_id(self) -> str | None:
        """The server's name for the request; without an answer the one that the request itself bore, once it was sent."""
        theirs = self.headers.get("x-amzn-requestid")
        return theirs or (self.call_id if self.phase in _SENT and self.call_id else None)

    def fail(self, reason: str, detail: str | None = None) -> None:
        """The step under way failed."""
        self.verdict = failed(reason, self.phase, detail)
