"""Counters of many tables as frames of the columnar lane, and as Prometheus remote write (pure)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from collector.column_batch import Counts, Increments, encode, encode_names, sections_of

HOST, ZONE, BOOT = "counters-az1-1", "az1", "2026-11-24T17:00:00Z"
OPERATIONS = ("write", "strong_read")
PLACES = ("success", "server_fault")
NAMES_AT_ONCE = 50_000
PROMETHEUS_AT_ONCE = 10_000
"""Time series in one remote write request; Prometheus itself sends 2,000 by default, VictoriaMetrics' agent 10,000."""


def table(n: int) -> str:
    """The name of the ``n``-th table, as customers name theirs."""
    return f"customer-{n % 9973:04d}-prod-orders-{n:07d}"


@dataclass(slots=True)
class Ticks:
    """Two counters (requests that went well, requests that failed) of each of ``series`` series; values by seed."""

    series: int
    seed: int = 5
    sequence: int = 0

    def names(self) -> Iterator[bytes]:
        """What registers them all."""
        for first in range(0, self.series, NAMES_AT_ONCE):
            numbers = np.arange(first, min(first + NAMES_AT_ONCE, self.series), dtype=np.uint32)
            rows = numbers.tolist()
            columns: list[tuple[str, list[str | None]]] = [
                ("table", [table(n // 2) for n in rows]),
                ("operation", [OPERATIONS[n % 2] for n in rows]),
                ("vantage", ["customer"] * len(rows)),
                ("zone", [f"az{n // 2 % 3 + 1}" for n in rows]),
                ("endpoint", ["standard"] * len(rows)),
            ]
            yield encode_names((HOST, ZONE, BOOT), numbers, columns)

    def values(self, tick: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Increments of a tick, by place."""
        dice = np.random.default_rng([self.seed, tick])
        good = dice.integers(0, 2000, self.series, np.uint32)
        return good, dice.integers(0, 3, self.series, np.uint32)

    def frames(self, tick: int, at: int, samples: int) -> list[bytes]:
        """A tick in frames of ``samples`` increments, with their series numbers written out (the dearer form)."""
        good, bad = self.values(tick)
        found = []
        for first in range(0, self.series, samples // 2):
            part = slice(first, min(first + samples // 2, self.series))
            numbers = np.arange(part.start, part.stop, dtype=np.uint32)
            found.append(self._frame(at, numbers, good[part], bad[part]))
        return found

    def _frame(self, at: int, numbers: NDArray[np.uint32], good: NDArray[Any], bad: NDArray[Any]) -> bytes:
        sections, arrays = sections_of([Increments("success", numbers, good), Increments("server_fault", numbers, bad)])
        written_out: list[NDArray[Any] | bytes] = [array for values in arrays for array in (numbers, values)]
        sections = tuple(type(s)(place=s.place, count=s.count, width=s.width) for s in sections)
        self.sequence += 1
        header = Counts(
            host=HOST, zone=ZONE, boot=BOOT, sequence=self.sequence, sent_at=float(at), at=at, sections=sections
        )  # fmt: skip
        return encode(header, written_out)


class RemoteWrite:
    """The same counters as Prometheus remote write 1.0: totals since the start, one time series for each series and outcome."""

    def __init__(self, ticks: Ticks) -> None:
        self._ticks = ticks
        self._totals = np.zeros((2, ticks.series), np.uint64)
        self._snappy = pa.Codec("snappy")
        self._labels = [
            [self._label_bytes(n, outcome) for n in range(ticks.series)] for outcome in PLACES
        ]  # fmt: skip

    def _label_bytes(self, n: int, outcome: str) -> bytes:
        labels = {
            "__name__": "requests_total", "endpoint": "standard", "host": HOST, "operation": OPERATIONS[n % 2],
            "outcome": outcome, "table": table(n // 2), "vantage": "customer", "zone": f"az{n // 2 % 3 + 1}",
        }  # fmt: skip
        return b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in labels.items())

    def requests(self, tick: int, at_ms: int) -> Iterator[bytes]:
        """A tick in requests, each compressed as the protocol wants it."""
        self._totals += np.array(self._ticks.values(tick), np.uint64)
        time = b"\x10" + _varint(at_ms)
        for totals, labels in zip(self._totals, self._labels, strict=True):
            doubles = totals.astype("<f8").tobytes()
            for first in range(0, len(labels), PROMETHEUS_AT_ONCE):
                series = [
                    _field(1, labels[n] + _field(2, b"\x09" + doubles[8 * n : 8 * n + 8] + time))
                    for n in range(first, min(first + PROMETHEUS_AT_ONCE, len(labels)))
                ]
                yield self._snappy.compress(b"".join(series), asbytes=True)


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(body)) + body
