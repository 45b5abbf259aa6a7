"""A week of a large region's ledger, written by the collector's own code: what ``ledger-history`` asks its questions of."""

import sys
import time
from pathlib import Path

import numpy as np

from collector.columns import COLUMNS, Table
from collector.history.arrow import Dimensions
from collector.history.layout import DAY_SECONDS, HOUR_SECONDS
from collector.history.reading import History
from collector.history.store import open_store
from collector.history.writing import HistoryWriter, Place, SealedTable
from collector.interval import INTERVAL_SECONDS
from collector.merge import OUTCOMES
from collector.observation import Connection, OperationClass, Outcome, Vantage
from collector.series import Series

START = 1_795_392_000
"""A Monday, 00:00 UTC: 2026-W48."""
TABLES = 1000
ZONES, ENDPOINTS = ("az1", "az2", "az3"), ("standard", "fips", "dualstack", "account")
OPERATIONS = (OperationClass.WRITE, OperationClass.STRONG_READ, OperationClass.EVENTUAL_READ)
LEDGER = "bench0"


def series(number: int) -> Series:
    """The series of that number, of ``TABLES`` tables with equally many each."""
    table, place = number % TABLES, number // TABLES
    zone = ZONES[place % 3]
    return Series(
        vantage=Vantage.CUSTOMER if place % 10 == 9 else Vantage.CANARY,
        host=f"{zone}-canary-{place % 2 + 1}",
        zone=zone,
        operation=OPERATIONS[place // 3 % 3],
        table=f"table-{table:04}",
        endpoint=ENDPOINTS[place // 9 % 4],
        connection=tuple(Connection)[place // 36 % 2],
        partition=str(place % 16),
        router=f"{ZONES[place // 5 % 3]}-router-{place % 4}",
        router_zone=ZONES[place // 5 % 3],
    )


class Week:
    """Counts are drawn from a fixed seed: about 60 attempts a series and interval, one row in a thousand with failures."""

    def __init__(self, root: Path, count: int) -> None:
        self._dice = np.random.default_rng(5)
        self._count = count
        self.history = History(open_store(str(root)))
        self._writer = HistoryWriter(self.history.store)
        self._dimensions = Dimensions()
        self._dimensions.learn(series(number) for number in range(count))
        self._serial, self._previous = 0, ""
        self._load = self._dice.integers(20, 100, count)
        self._active = np.arange(count)
        self.rows = self.bytes = 0

    def write(self, first: int, days: int, share: float = 1.0) -> None:
        """Hour by hour, and each day's roll-ups; ``share`` of the series are active."""
        began = time.monotonic()
        self._active = np.sort(self._dice.permutation(self._count)[: int(self._count * share)])
        for day in range(first, first + days * DAY_SECONDS, DAY_SECONDS):
            for hour in range(day, day + DAY_SECONDS, HOUR_SECONDS):
                self._hour(hour)
            self._day(day)
            print(f"  {self.rows:,} rows after {time.monotonic() - began:.0f} s", file=sys.stderr)

    def _place(self) -> Place:
        self._serial += 1
        return Place(LEDGER, self._serial, self._previous)

    def _hour(self, hour: int) -> None:
        sealed = [
            SealedTable(start, 1, start + 900.0, "first", self._interval())
            for start in range(hour, hour + HOUR_SECONDS, INTERVAL_SECONDS)
        ]
        one = self._writer.write_hour(self._place(), hour, 1, sealed, self._dimensions, at=hour + 4500.0)
        self._previous = one.digest
        self.history.add(one)
        self.rows += sum(version.rows for version in one.versions)
        self.bytes += sum(part.bytes for part in one.of_kind("intervals"))

    def _day(self, day: int) -> None:
        rollups = self.history.day_rollups(LEDGER, day)
        versions = self.history.known.newest_of_day(LEDGER, day)
        one = self._writer.write_day(self._place(), day, 1, versions, rollups, at=day + 90_000.0)
        self._previous = one.digest
        self.history.add(one)

    def _interval(self) -> Table:
        active = len(self._active)
        table = np.zeros((COLUMNS, active), dtype=np.int64)
        table[0] = self._active + 1
        attempts = self._load[self._active] + self._dice.integers(0, 8, active)
        failures = np.zeros(active, dtype=np.int64)
        failing = self._dice.integers(0, active, active // 1000)
        failures[failing] = self._dice.integers(1, 20, len(failing))
        slow = self._dice.integers(0, 6, active)
        table[2 + OUTCOMES.index(Outcome.SUCCESS)] = attempts
        table[2 + OUTCOMES.index(Outcome.SERVER_FAULT)] = failures
        first_bucket = 2 + len(OUTCOMES)
        table[first_bucket + 2], table[first_bucket + 3] = attempts - slow, slow
        return table
