"""One size of the table engine in a process of its own: ``python -m benchmarks.table_engine_child TABLES TICKS FOLDER``; prints JSON.

Windows are full before the first tick. A tick is all of it: frames through the collector's books (checks, log, fsync), its feed read,
decoded and counted, then windows, burn rates, verdicts, evidence, roll-ups and incidents of every table.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.bulk_frames import BOOT, HOST, OPERATIONS, ZONE, table
from cfa.objective import Objective
from cfa.tables.fleet import Fleet
from cfa.tables.incidents import TableIncidents
from cfa.tables.policy import SEGMENTS, TICK_SECONDS
from collector.bulk.books import Limits
from collector.bulk.reading import names_page
from collector.bulk.store import CounterStore
from collector.column_batch import Counts, Increments, decode, decode_told, encode, encode_names, sections_of

NAMES_AT_ONCE = 50_000
SAMPLES = 50_000
FAILING = 1e-5
"""Of all requests: a tenth of what the objective allows, so that some twenty thousand of two million rows fail in a tick."""
FEED_BYTES = 16 * 2**20
BEGIN = 1_795_046_400 - 130
"""Two minutes before a slot of the widest kind begins: moving on from segment to segment is part of what is measured."""


class Load:
    """Requests of every table and side, from a few a minute to thousands a second."""

    def __init__(self, tables: int) -> None:
        self.series = 2 * tables
        self.dice = np.random.default_rng(7)
        self.rate = np.minimum(self.dice.pareto(1.2, self.series) * 20 + 0.2, 20_000)
        self.sequence = 0

    def names(self, first: int) -> bytes:
        """Registers series: reads and writes of each table."""
        numbers = np.arange(first, min(first + NAMES_AT_ONCE, self.series), dtype=np.uint32)
        rows = numbers.tolist()
        columns: list[tuple[str, list[str | None]]] = [
            ("table", [table(n // 2) for n in rows]),
            ("operation", [OPERATIONS[n % 2] for n in rows]),
            ("vantage", ["customer"] * len(rows)),
        ]
        return encode_names((HOST, ZONE, BOOT), numbers, columns)

    def counts(self, seconds: int) -> tuple[np.ndarray, np.ndarray]:
        """Good and bad of so many seconds."""
        mean = self.rate * seconds
        return self.dice.poisson(mean), self.dice.poisson(mean * FAILING)

    def frames(self, at: int, good: np.ndarray, bad: np.ndarray) -> list[bytes]:
        """A tick: each series' requests with the numbers written out, and the failures of those that failed."""
        found = []
        for first in range(0, self.series, SAMPLES):
            part = slice(first, min(first + SAMPLES, self.series))
            numbers = np.arange(part.start, part.stop, dtype=np.uint32)
            failed = np.flatnonzero(bad[part])
            increments = [Increments("success", numbers, good[part].astype(np.uint32))]
            if len(failed):
                increments.append(
                    Increments("server_fault", numbers[failed], bad[part][failed].astype(np.uint32))
                )  # fmt: skip
            sections, arrays = sections_of(increments)
            if sections[0].first is not None:  # the dearer form, as senders that skip idle series have it
                sections = (type(sections[0])(place="success", count=len(numbers), width=4), *sections[1:])
                arrays = [numbers, *arrays]
            self.sequence += 1
            header = Counts(
                host=HOST, zone=ZONE, boot=BOOT, sequence=self.sequence, sent_at=float(at), at=at, sections=sections
            )  # fmt: skip
            found.append(encode(header, arrays))
        return found


def fill(fleet: Fleet, load: Load, now: int) -> None:
    """Thirty days of history, one part a slot."""
    rings = fleet.tables.rings
    rings.advance(now)
    end = now
    for segment in SEGMENTS:
        begin = (now // segment.width - segment.seconds // segment.width) * segment.width
        for at in range(begin, end, segment.width):
            good, bad = load.counts(min(segment.width, end - at))
            rings.add(at, (good, bad, None))
        end = begin
    rollups = fleet.rollups.rings
    rollups.advance(now)
    for i, slots in enumerate(rings.slots):
        for slot, parts in slots.items():
            sums = [np.zeros(fleet.tables.rows, np.int64) for _ in range(2)]
            for part in parts:
                for total, column in zip(sums, part.columns, strict=False):
                    if column is not None:
                        column.add_to(total)
            rolled = [np.zeros(fleet.rollups.rows, np.int64) for _ in range(2)]
            for kind in range(2):
                rolled[kind][:2] = sums[kind].reshape(-1, 2).sum(axis=0)
            rollups.add(slot * SEGMENTS[i].width, (*rolled, None))


def main() -> None:
    """Measure and print."""
    tables, ticks, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    load, store = Load(tables), CounterStore(folder, Limits())
    fleet, incidents = Fleet(Objective(0.9999, {}), 1.0), TableIncidents("local")
    for first in range(0, load.series, NAMES_AT_ONCE):
        store.apply([load.names(first)], at=float(BEGIN))
    while fleet.roster.series < load.series:
        fleet.learn(decode(names_page(store, fleet.roster.series, 65_536)))
    fill(fleet, load, BEGIN)
    used: dict[str, list[float]] = {name: [] for name in ("collector", "feed", "judging", "tick")}
    sent, cursor, hot = 0, 0, 0
    for n in range(ticks + 2):
        at = BEGIN + n * TICK_SECONDS
        good, bad = load.counts(TICK_SECONDS)
        frames = load.frames(at, good, bad)
        sent = int(np.count_nonzero(bad)) + load.series
        began = time.process_time()
        for group in range(0, len(frames), 64):
            store.apply(frames[group : group + 64], at=at + 5.0)
        taken = time.process_time()
        while data := store.log.read(cursor, FEED_BYTES):
            for told, increments in decode_told(data):
                if fleet.due(told.received_at):
                    raise AssertionError("the tick is called below")
                fleet.count(told, increments)
                cursor = told.cursor
        counted = time.process_time()
        tick = fleet.tick(float(at + TICK_SECONDS))
        events = incidents.evaluate(tick, fleet)
        judged = time.process_time()
        hot = max(hot, len(tick.tables.rows))
        assert not events, events[0].incident.summary
        if n >= 2:  # the first ones touch their memory for the first time
            for name, seconds in zip(
                used, (taken - began, counted - taken, judged - counted, judged - began), strict=True
            ):
                used[name].append(seconds)
    last = fleet.tables.rings.window(0, np.arange(4))[0]
    assert int(last.sum()) > 0
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
    now = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
    figures = {f"{name}_cpu_seconds": statistics.median(values) for name, values in used.items()}
    print(
        json.dumps(
            figures
            | {
                "tick_cpu_seconds_mean": statistics.mean(used["tick"]),
                "tick_cpu_seconds_worst": max(used["tick"]),
                "counters": sent,
                "rss_mib": now,
                "rss_peak_mib": peak,
                "counts_mib": fleet.tables.rings.nbytes / 2**20,
                "hot_rows_most": hot,
            }
        )
    )


if __name__ == "__main__":
    main()
