"""How the two sample applications are heard as customers: one like an SDK with client-side monitoring on, one by the hook (shell).

The first sends the datagrams that botocore sends with ``AWS_CSM_ENABLED=true``, the second counts with the hook's recorder: the
embedded stack needs no SDK installed, and both ways into the ledger are in use for real.
"""

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Protocol

from collector.customers.recorder import Key, Recorder
from collector.customers.vocabulary import operation_of, outcome_of
from collector.observation import Connection, Level, Observation, Outcome, Phase

REGION = "local"


@dataclass(slots=True, kw_only=True)
class Asked:
    """An attempt, or a call with its last attempt's end. ``at``: UTC epoch seconds of its start; ``exception`` in the SDK's words."""

    api: str
    table: str
    strong: bool
    host: str
    at: float
    latency_ms: float = 0.0
    status: int | None = None
    code: str | None = None
    exception: str | None = None
    request_id: str | None = None


class Teller(Protocol):
    """Tells the collector what an application saw."""

    def attempt(self, asked: Asked) -> None:
        """One attempt has ended."""
        ...

    def call(self, asked: Asked) -> None:
        """One call has ended, retries and all."""
        ...

    def close(self) -> None:
        """Tell what is not told yet, within two seconds."""
        ...


class SdkMonitor:
    """Datagrams of client-side monitoring, as botocore makes them (``botocore/monitoring.py``)."""

    def __init__(self, client_id: str, address: tuple[str, int]) -> None:
        self._client_id, self._address = client_id, address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def attempt(self, asked: Asked) -> None:
        """An ``ApiCallAttempt``."""
        told = {"Fqdn": asked.host, "AttemptLatency": int(asked.latency_ms), "XAmznRequestId": asked.request_id}
        self._send("ApiCallAttempt", asked, told, "")

    def call(self, asked: Asked) -> None:
        """An ``ApiCall``."""
        self._send("ApiCall", asked, {"Latency": int(asked.latency_ms)}, "Final")

    def close(self) -> None:
        """Nothing waits here."""
        self._socket.close()

    def _send(self, kind: str, asked: Asked, told: dict[str, Any], prefix: str) -> None:
        event = {
            "Version": 1,
            "ClientId": self._client_id,
            "Type": kind,
            "Service": "DynamoDB",
            "Api": asked.api,
            "Region": REGION,
            "Timestamp": int(asked.at * 1000),
            f"{prefix}HttpStatusCode": asked.status,
            f"{prefix}AwsException": asked.code,
            f"{prefix}SdkException": asked.exception,
            **told,
        }
        known = {name: value for name, value in event.items() if value is not None}
        with contextlib.suppress(OSError):  # an SDK does not suffer when nobody listens
            self._socket.sendto(json.dumps(known, separators=(",", ":")).encode(), self._address)


class HookMonitor:
    """Counts with the recorder of the botocore hook."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def attempt(self, asked: Asked) -> None:
        """Counted now, posted within a second."""
        self._count(asked, Level.ATTEMPT)

    def call(self, asked: Asked) -> None:
        """Counted now, posted within a second."""
        self._count(asked, Level.CALL)

    def close(self) -> None:
        """Post the rest."""
        self._recorder.close()

    def _count(self, asked: Asked, level: Level) -> None:
        outcome, reason = outcome_of(asked.status, asked.code, asked.exception)
        key = Key(operation_of(asked.api, strong=asked.strong), asked.table, level)
        failure = None
        if level is Level.ATTEMPT and outcome is not Outcome.SUCCESS:
            failure = Observation(
                at=asked.at,
                endpoint=asked.host,
                connection=Connection.POOLED,
                operation=key.operation,
                table=asked.table,
                outcome=outcome,
                reason=reason,
                phase=Phase.WAIT if asked.status is None else Phase.HTTP,
                status=asked.status,
                request_id=asked.request_id,
                total_ms=asked.latency_ms,
            )
        self._recorder.count(key, asked.at, outcome, asked.latency_ms, failure)


def ended(asked: Asked, began: float) -> Asked:
    """``asked`` with the time since ``began`` (monotonic)."""
    asked.latency_ms = (time.monotonic() - began) * 1000
    return asked
