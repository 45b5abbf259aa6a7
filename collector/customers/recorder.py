"""Counts in a customer's program and posts them to the collector, a batch a second, on a thread of its own (shell).

It never raises into the program and never makes it wait: counting holds a lock for microseconds, nothing else. While no
collector answers, counts pile up by second and series, up to a bound; what is beyond is counted and told as unobserved.
Light to import: the standard library, and the vocabulary.
"""

import atexit
import http.client
import json
import logging
import os
import threading
import time
import urllib.parse
import uuid
import weakref
from dataclasses import dataclass
from typing import Any

from collector.customers.vocabulary import bucket_of
from collector.observation import Level, Observation, OperationClass, Outcome
from collector.series import LATENCY_BOUNDS_MS

logger = logging.getLogger("fivenines.customer")

CELLS_MAX = 5_000
"""Seconds × series that wait; a collector takes 10,000 readings in a batch."""
FAILURES_MAX = 500
"""Failures kept whole while they wait; beyond that they are counted only."""
CLOSE_SECONDS = 2.0
_RETRIED_STATUS = frozenset({401, 403, 404, 408, 429, 500, 502, 503, 504})
"""The collector, or the way to it, is not ready: the same batch again. Other refusals are final for that batch."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is counted together. ``endpoint``: the name that the program was given for it, if any."""

    operation: OperationClass
    table: str
    level: Level
    endpoint: str | None = None


class _Cell:
    __slots__ = ("counts", "failures", "latency")

    def __init__(self) -> None:
        self.counts: dict[Outcome, int] = {}
        self.latency: list[int] = []
        self.failures: list[Observation] = []


class Recorder:
    """One customer's counts. Safe to use from any thread, and after a fork (the child counts for itself).

    ``customer``: the name in figures and reports; ``collector``: its base URL; ``token``: bearer token, when it wants one;
    ``zone``: where this program runs, "" when it does not know.
    """

    def __init__(
        self, customer: str, collector: str = "http://127.0.0.1:8081", *, token: str | None = None, zone: str = "",
        seconds: float = 1.0,
    ) -> None:  # fmt: skip
        self._customer, self._zone, self._seconds = customer, zone, seconds
        self._url = urllib.parse.urlsplit(collector)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise ValueError(f"collector: {collector!r} is not a base URL such as http://127.0.0.1:8081")
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        self._begin()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            me = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _begin_again(me()))

    def _begin(self) -> None:
        """A new life: nothing counted, nothing sent, no thread yet."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._cells: dict[tuple[int, Key], _Cell] = {}
        self._failures = 0
        self._lost: dict[OperationClass, int] = {}
        self._boot, self._sequence = uuid.uuid4().hex, 0
        self._in_flight: bytes | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self.refused = 0

    # --- in the program's threads -----------------------------------------------------------------------------------------

    def count(
        self, key: Key, at: float, outcome: Outcome, latency_ms: float | None = None, failure: Observation | None = None
    ) -> None:
        """Count one attempt or call that began ``at`` (UTC epoch seconds)."""
        with self._lock:
            cell = self._cells.get((int(at), key))
            if cell is None:
                if len(self._cells) >= CELLS_MAX:
                    self._lost[key.operation] = self._lost.get(key.operation, 0) + 1
                    return
                cell = self._cells[int(at), key] = _Cell()
            cell.counts[outcome] = cell.counts.get(outcome, 0) + 1
            if outcome is Outcome.SUCCESS and latency_ms is not None:
                cell.latency = cell.latency or [0] * (len(LATENCY_BOUNDS_MS) + 1)
                cell.latency[bucket_of(latency_ms)] += 1
            if failure is not None and self._failures < FAILURES_MAX:
                self._failures += 1
                cell.failures.append(failure)
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="fivenines-customer", daemon=True)
                self._thread.start()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is there, for at most ``seconds``. Called at the program's end by itself."""
        with self._lock:
            self._closing, thread = True, self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    # --- on the recorder's own thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            ends = self._wake.wait(self._seconds)
            try:
                done = self._send()
            except Exception:
                logger.debug("counts were not sent", exc_info=True)
                done = False
            if ends and (done or self._idle()):
                return
            if ends:
                time.sleep(0.05)

    def _idle(self) -> bool:
        with self._lock:
            return not self._cells and self._in_flight is None

    def _send(self) -> bool:
        """Everything counted so far; False when the collector did not take it."""
        while True:
            if self._in_flight is None:
                self._in_flight = self._pack()
            if self._in_flight is None:
                return True
            if not self._post(self._in_flight):
                return False
            self._in_flight = None

    def _pack(self) -> bytes | None:
        with self._lock:
            cells, lost = self._cells, self._lost
            if not cells:
                return None
            self._cells, self._lost, self._failures = {}, {}, 0
        self._sequence += 1
        now = time.time()
        readings = [self._reading(at, key, cell) for (at, key), cell in cells.items()]
        batch = {
            "host": self._customer,
            "zone": self._zone,
            "boot": self._boot,
            "sequence": self._sequence,
            "sent_at": now,
            "readings": readings,
            "unobserved": [_unobserved(operation, count, int(now)) for operation, count in lost.items()],
        }
        return json.dumps(batch, separators=(",", ":")).encode()

    def _reading(self, at: int, key: Key, cell: _Cell) -> dict[str, Any]:
        series = {
            "vantage": "customer",
            "host": self._customer,
            "zone": self._zone,
            "operation": key.operation,
            "table": key.table,
            "endpoint": key.endpoint,
            "level": key.level,
        }
        failures = [_known(failure) for failure in cell.failures]
        return {"series": series, "at": at, "counts": cell.counts, "latency": cell.latency, "failures": failures}

    def _post(self, body: bytes) -> bool:
        """Whether this batch is done with: taken, or refused for good."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=5.0)
        try:
            connection.request("POST", f"{self._url.path.rstrip('/')}/v1/batches", body, self._headers)
            answer = connection.getresponse()
            detail = answer.read(300)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.status in _RETRIED_STATUS:
            return False
        if answer.status != 200:
            self.refused += 1
            logger.warning("the collector refused counts of %s: %d %r", self._customer, answer.status, detail)
        return True


def _begin_again(recorder: Recorder | None) -> None:
    """In the child of a fork: what the parent had counted is the parent's to tell."""
    if recorder is not None:
        recorder._begin()


def _unobserved(operation: OperationClass, count: int, at: int) -> dict[str, Any]:
    return {
        "endpoint": "hook",
        "connection": "pooled",
        "operation": operation,
        "at": at,
        "count": count,
        "reason": "hook_overflow",
    }


def _known(failure: Observation) -> dict[str, Any]:
    return {name: value for name in failure.__slots__ if (value := getattr(failure, name)) is not None}
