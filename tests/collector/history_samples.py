"""A small region's sealed intervals, and where they are written."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from collector import columns
from collector.columns import RowKey
from collector.history.arrow import Dimensions
from collector.history.layout import hour_of
from collector.history.manifest import Manifest
from collector.history.reading import History
from collector.history.store import open_store
from collector.history.writing import HistoryWriter, Place, SealedTable
from collector.merge import WIDTH, Tally
from collector.observation import Level, OperationClass, Vantage
from collector.series import Series
from tests.collector.samples import make_series

DAY = 1_764_028_800
"""A midnight in UTC."""
SERIES: list[Series] = [
    make_series(
        f"{zone}-canary-1",
        zone=zone,
        table=table,
        endpoint=endpoint,
        operation=operation,
    )
    for zone in ("az1", "az2")
    for table in ("orders", "sessions", "a table")
    for endpoint in ("standard", None)
    for operation in (OperationClass.WRITE, OperationClass.STRONG_READ)
] + [
    make_series("n1", zone="az1", vantage=Vantage.SERVER, table="orders", node=node, router="r1", connection=None)
    for node in (None, "n1")
] + [make_series("shop", zone="", vantage=Vantage.CUSTOMER, table="orders", level=Level.CALL)]  # fmt: skip


def rows_of_interval(dice: random.Random, share: float = 0.8) -> dict[RowKey, Tally]:
    return {
        (number, dice.choice((0, 0, 0, 1, 2))): tuple(dice.randint(0, 50) for _ in range(WIDTH))
        for number in range(1, len(SERIES) + 1)
        if dice.random() < share
    }


def sealed(start: int, version: int, rows: dict[RowKey, Tally]) -> SealedTable:
    return SealedTable(start, version, start + 900.0, "first" if version == 1 else "late", columns.table_of(rows))


class Written:
    """A history that grows hour by hour, of one ledger."""

    def __init__(self, root: Path | str, ledger: str = "abc123", **options: str) -> None:
        self.store = open_store(str(root), **options)  # type: ignore[arg-type]
        self.history = History(self.store)
        self.writer = HistoryWriter(self.store)
        self.ledger = ledger
        self.manifests: list[Manifest] = []
        self.dimensions = Dimensions()
        self.dimensions.learn(SERIES)

    def place(self) -> Place:
        """The next manifest's."""
        previous = self.manifests[-1].digest if self.manifests else ""
        return Place(self.ledger, len(self.manifests) + 1, previous)

    def hour(self, versions: Sequence[SealedTable]) -> Manifest:
        """Writes these versions of one hour."""
        hour = hour_of(versions[0].start)
        number = self.history.known.next_number(self.ledger, hour, 3600)
        return self._done(
            self.writer.write_hour(self.place(), hour, number, versions, self.dimensions, at=hour + 5000.0)
        )

    def day(self, day: int) -> Manifest:
        """Writes a day's roll-ups."""
        rollups = self.history.day_rollups(self.ledger, day)
        number = self.history.known.next_number(self.ledger, day, 86400)
        versions = self.history.known.newest_of_day(self.ledger, day)
        return self._done(self.writer.write_day(self.place(), day, number, versions, rollups, at=day + 90000.0))

    def _done(self, manifest: Manifest) -> Manifest:
        self.manifests.append(manifest)
        self.history.add(manifest)
        return manifest

    def hours(self, starts: Iterable[int], dice: random.Random) -> dict[int, dict[RowKey, Tally]]:
        """Seals these intervals with random rows, hour by hour; what was sealed."""
        found = {start: rows_of_interval(dice) for start in starts}
        for hour in sorted({hour_of(start) for start in found}):
            self.hour([sealed(s, 1, rows) for s, rows in found.items() if hour_of(s) == hour])
        return found
