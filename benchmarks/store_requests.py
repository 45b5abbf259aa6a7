"""PutItem and strong GetItem: the bundled store beside dynalite and moto, under one load generator in the same run.

CPU seconds of the server's processes are the truth (the machine may be shared): a rate per core is operations by CPU second,
at capacity (16 connections that always ask). Latency is that of an open loop at half of the capacity of the same round, from
the intended start of each request. A second open loop asks every store at the same low rate: a store that is lightly used
gathers less into one fsync, one write, one turn of its loop. Rounds are interleaved over the stores; the table shows
median (minimum–maximum). At last one boto3 client asks each store one thing after the other (``one_client``): the ratio is
another one then, and both are told.
"""

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import one_client
from benchmarks.figures import Result
from benchmarks.load import Crowd, Heard, Question, percentile
from benchmarks.processes import cpu_seconds, fsync_seconds, memory_bytes
from benchmarks.stores import STORES, TABLE, Missing, Running, cache

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
WARM_UP_SECONDS = float(os.environ.get("BENCH_WARM_UP_SECONDS", "2"))
SHARE = 0.5
"""The open loop's share of the capacity that the closed loop has just shown."""
LOW_RATE = 200.0
"""Requests a second that every store is asked alike."""
KEYS = 300
SIZES = {"100b": 100, "1kb": 1024}
TARGETS = {"put": 0.5, "get": 1.0}
"""How much of dynalite's rate per core is wanted: its writes are neither replicated nor fsynced."""
_NAMES = {"put": "PutItem", "get": "GetItem, strong"}


def _item(number: int, size: int) -> dict[str, object]:
    """An item of ``size`` bytes as DynamoDB counts them: names and values."""
    item = {"pk": {"S": f"customer-{size}-{number:05}"}, "sk": {"S": "current"}}
    used = sum(len(name) + len(value["S"]) for name, value in item.items())
    return {**item, "note": {"S": "x" * (size - used - len("note"))}}


def _body(**parameters: object) -> bytes:
    return json.dumps({"TableName": TABLE, **parameters}).encode()


def questions(size: int) -> dict[str, Question]:
    """Both operations on items of ``size`` bytes, round all keys."""
    items = [_item(number, size) for number in range(KEYS)]
    keys = [{name: item[name] for name in ("pk", "sk")} for item in items]
    return {
        "put": Question("PutItem", tuple(_body(Item=item) for item in items)),
        "get": Question("GetItem", tuple(_body(Key=key, ConsistentRead=True) for key in keys), b'"Item"'),
    }


@dataclass(slots=True)
class Cell:
    """One operation at one size on one store: what each round has measured, by name of the figure."""

    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, when: str, heard: Heard, cpu: float) -> None:
        """A round's measurements; ``when``: capacity, half or low."""
        figures = {
            "per_core_second": heard.answers / cpu,
            "cpu_us": cpu / heard.answers * 1e6,
            "per_second": heard.answers / heard.seconds,
            "failures": len(heard.failures),
        }
        if heard.latencies:
            figures |= {f"p{share}_ms": percentile(heard.latencies, share / 100) * 1e3 for share in (50, 99)}
        for name, value in figures.items():
            self.figures[f"{when}_{name}"].append(value)

    def median(self, name: str) -> float:
        """Of all rounds."""
        return statistics.median(self.figures[name])

    def shown(self, name: str, digits: int = 0) -> str:
        """Median (minimum–maximum)."""
        values = self.figures[name]
        return f"{self.median(name):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


Key = tuple[str, str, str]
"""Store, operation, size."""


async def _make_table(crowd: Crowd) -> None:
    names = {"pk": "HASH", "sk": "RANGE"}
    await crowd.once(
        "CreateTable",
        _body(
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in names.items()],
            BillingMode="PAY_PER_REQUEST",
        ),
    )
    while b'"ACTIVE"' not in await crowd.once("DescribeTable", _body()):
        await asyncio.sleep(0.1)


async def _round(store: Running, crowd: Crowd, question: Question, cell: Cell, seed: int) -> None:
    async def part(when: str, load: Awaitable[Heard]) -> Heard:
        before = cpu_seconds(store.pids)
        heard = await load
        used = cpu_seconds(store.pids) - before
        if not heard.answers:
            raise Missing(f"{store.name} answers nothing: {heard.failures[:1]}")
        if heard.failures:
            print(f"  {store.name}: {len(heard.failures)} failures, such as: {heard.failures[0]}", file=sys.stderr)
        cell.add(when, heard, used)
        return heard

    await crowd.closed(question, SECONDS / 10)
    heard = await part("capacity", crowd.closed(question, SECONDS))
    half = SHARE * heard.answers / heard.seconds
    await part("half", crowd.open(question, per_second=half, seconds=SECONDS, seed=seed))
    await part("low", crowd.open(question, per_second=LOW_RATE, seconds=SECONDS, seed=seed))


async def measure(stores: list[Running]) -> tuple[dict[Key, Cell], dict[str, float]]:
    """All cells of all stores, and what each store uses at rest."""
    crowds = {store.name: Crowd(store.addresses) for store in stores}
    asked = {size: questions(bytes_) for size, bytes_ in SIZES.items()}
    cells: dict[Key, Cell] = defaultdict(Cell)
    for store in stores:
        if not store.table_exists:
            await _make_table(crowds[store.name])
        for of_size in asked.values():
            await crowds[store.name].each(of_size["put"])
            for question in of_size.values():
                await crowds[store.name].closed(question, WARM_UP_SECONDS)
    for number in range(ROUNDS):
        print(f"  round {number + 1} of {ROUNDS}", file=sys.stderr)
        for size, of_size in asked.items():
            for operation, question in of_size.items():
                for store in stores:
                    cell = cells[store.name, operation, size]
                    await _round(store, crowds[store.name], question, cell, seed=number)
    for crowd in crowds.values():
        crowd.close()
    return cells, await _at_rest(stores)


async def _at_rest(stores: list[Running]) -> dict[str, float]:
    figures: dict[str, float] = {}
    await asyncio.sleep(1.0)
    before = {store.name: cpu_seconds(store.pids) for store in stores}
    await asyncio.sleep(2 * SECONDS)
    for store in stores:
        figures[f"{store.name}_rest_cores"] = (cpu_seconds(store.pids) - before[store.name]) / (2 * SECONDS)
        figures[f"{store.name}_memory_mb"] = memory_bytes(store.pids) / 1e6
    return figures


def _figures(cells: dict[Key, Cell]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for (store, operation, size), cell in cells.items():
        for name, values in cell.figures.items():
            key = f"{store}_{operation}_{size}_{name}"
            figures |= {key: cell.median(name), f"{key}_min": min(values), f"{key}_max": max(values)}
    return figures


def ratios(cells: dict[Key, Cell], other: str, when: str = "capacity") -> dict[str, float]:
    """By operation and size: the store's rate per core divided by the other's, in the same rounds."""
    found: dict[str, float] = {}
    name = f"{when}_per_core_second"
    for operation in TARGETS:
        for size in SIZES:
            ours, theirs = cells.get(("store", operation, size)), cells.get((other, operation, size))
            if ours and theirs:
                found[f"{operation}_{size}"] = ours.median(name) / theirs.median(name)
    return found


_COLUMNS = {
    "capacity_per_core_second": ("per core-second", 0),
    "capacity_cpu_us": ("CPU µs each", 0),
    "capacity_per_second": ("at capacity /s", 0),
    "half_p50_ms": ("half load p50 ms", 1),
    "half_p99_ms": ("p99 ms", 1),
    "low_cpu_us": (f"{LOW_RATE:.0f}/s: CPU µs", 0),
    "low_p50_ms": ("p50 ms", 1),
    "low_p99_ms": ("p99 ms", 1),
}


def _table(cells: dict[Key, Cell], rest: dict[str, float]) -> str:
    width = 22
    lines = [" " * 12 + "".join(f"{title:>{width}}" for title, _ in _COLUMNS.values())]
    for operation in TARGETS:
        for size, bytes_ in SIZES.items():
            lines.append(f"{_NAMES[operation]}, {bytes_} bytes")
            for name in STORES:
                if (cell := cells.get((name, operation, size))) is not None:
                    shown = (f"{cell.shown(figure, digits):>{width}}" for figure, (_, digits) in _COLUMNS.items())
                    lines.append(f"  {name:<10}" + "".join(shown))
    lines += [
        f"{name} at rest: {rest[f'{name}_rest_cores']:.3f} cores, {rest[f'{name}_memory_mb']:.0f} MB"
        for name in STORES
        if f"{name}_rest_cores" in rest
    ]
    return "\n".join(lines)


def _verdict(cells: dict[Key, Cell], asked: dict[tuple[str, str], one_client.Asked]) -> str:
    """How the store stands to dynalite, and to what is wanted."""
    lines = []
    for when, says in (("capacity", "at capacity"), ("low", f"at {LOW_RATE:.0f} requests a second")):
        for cell, ratio in ratios(cells, "dynalite", when).items():
            wanted = TARGETS[cell.partition("_")[0]]
            lines.append(f"{cell} {says}: {ratio:.2f} of dynalite's rate per core (wanted: {wanted})")
    for operation, ratio in one_client.ratios(asked, "dynalite").items():
        lines.append(f"{operation}_100b by one boto3 client: {ratio:.2f} of dynalite's (wanted: {TARGETS[operation]})")
    return "\n".join(lines)


def run() -> Result:
    """Start the stores that can be had, measure, end them."""
    folder = Path(tempfile.mkdtemp(prefix="store-", dir=cache()))
    try:
        fsync = fsync_seconds(folder)
        with contextlib.ExitStack() as stack:
            stores: list[Running] = []
            for name, start in STORES.items():
                try:
                    stores.append(stack.enter_context(start(folder)))
                except Missing as reason:
                    if name == "store":
                        raise
                    print(f"  without {name}: {reason}", file=sys.stderr)
            cells, rest = _in_loop(stores)
            asked = one_client.measure(stores, [_item(number, SIZES["100b"]) for number in range(KEYS)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    against = {
        f"rate_per_core_to_{name}_{cell}_{when}": value
        for name in STORES
        if name != "store"
        for when in ("capacity", "low")
        for cell, value in ratios(cells, name, when).items()
    }
    against |= {
        f"rate_per_core_to_{name}_{operation}_100b_one_client": value
        for name in STORES
        if name != "store"
        for operation, value in one_client.ratios(asked, name).items()
    }
    return Result(
        name="store",
        figures=against | rest | {"fsync_ms": fsync * 1e3} | _figures(cells) | one_client.figures(asked),
        ratio=min(ratios(cells, "dynalite").values(), default=None),
        against="dynalite, rate per core at capacity; the least of writes and strong reads at both sizes",
        table=f"{_table(cells, rest)}\n{one_client.table(asked, _NAMES)}\n{_verdict(cells, asked)}",
    )


def _in_loop(stores: list[Running]) -> tuple[dict[Key, Cell], dict[str, float]]:
    import uvloop  # noqa: PLC0415

    return uvloop.run(measure(stores))
