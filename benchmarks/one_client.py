"""What most users meet: one boto3 client that asks one thing after the other (shell).

A server that is asked so slowly wakes, answers and sleeps again for each request, and gathers nothing: its CPU for each is many times
that at capacity, for every store. CPU that a store uses at rest is in its figures, too.
"""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.load import ACCESS_KEY, REGION, SECRET, percentile
from benchmarks.processes import cpu_seconds
from benchmarks.stores import TABLE, Running

SECONDS = float(os.environ.get("BENCH_ONE_CLIENT_SECONDS", "10"))
"""For each store and operation, in pieces that take turns."""
PIECES = 5
Item = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """Of one operation on one store: the server's CPU for each request, by piece, and all latencies in seconds."""

    cpu_us: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    @property
    def median_cpu_us(self) -> float:
        """Of all pieces."""
        return statistics.median(self.cpu_us)

    @property
    def p50_ms(self) -> float:
        """Of all requests."""
        return percentile(self.latencies, 0.5) * 1e3


def client(address: tuple[str, int]) -> Any:
    """A boto3 client as anybody makes one; it does not retry, so that nothing is counted once that was asked twice."""
    return boto3.client(
        "dynamodb",
        endpoint_url=f"http://{address[0]}:{address[1]}",
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}),
    )


def _operations(asks: Any, items: list[Item]) -> dict[str, Callable[[int], Any]]:
    def put(number: int) -> Any:
        return asks.put_item(TableName=TABLE, Item=items[number % len(items)])

    def get(number: int) -> Any:
        key = {name: items[number % len(items)][name] for name in ("pk", "sk")}
        return asks.get_item(TableName=TABLE, Key=key, ConsistentRead=True)["Item"]

    return {"put": put, "get": get}


def measure(stores: list[Running], items: list[Item]) -> dict[tuple[str, str], Asked]:
    """By store and operation; ``items`` are there already."""
    found: dict[tuple[str, str], Asked] = defaultdict(Asked)
    operations = {store.name: _operations(client(store.addresses[0]), items) for store in stores}
    for store in stores:
        for ask in operations[store.name].values():
            ask(0)
    for _ in range(PIECES):
        for operation in ("put", "get"):
            for store in stores:
                _piece(store, operations[store.name][operation], found[store.name, operation])
    return found


def _piece(store: Running, ask: Callable[[int], Any], asked: Asked) -> None:
    began, before, count = time.monotonic(), cpu_seconds(store.pids), 0
    while (at := time.monotonic()) < began + SECONDS / PIECES:
        ask(count)
        asked.latencies.append(time.monotonic() - at)
        count += 1
    asked.cpu_us.append((cpu_seconds(store.pids) - before) / count * 1e6)


def figures(asked: dict[tuple[str, str], Asked]) -> dict[str, float]:
    """By name, as in the benchmark's result."""
    found: dict[str, float] = {}
    for (store, operation), one in asked.items():
        found[f"{store}_{operation}_one_client_cpu_us"] = one.median_cpu_us
        found[f"{store}_{operation}_one_client_p50_ms"] = one.p50_ms
    return found


def ratios(asked: dict[tuple[str, str], Asked], other: str) -> dict[str, float]:
    """By operation: the other's CPU for a request divided by the store's, which is the ratio of their rates per core."""
    return {
        operation: asked[other, operation].median_cpu_us / asked["store", operation].median_cpu_us
        for operation in ("put", "get")
        if (other, operation) in asked
    }


def table(asked: dict[tuple[str, str], Asked], names: dict[str, str]) -> str:
    """For people."""
    lines = ["One boto3 client that asks one thing after the other, 100 bytes: CPU µs of the server for each, p50 ms"]
    for (store, operation), one in sorted(asked.items(), key=lambda entry: entry[0][1], reverse=True):
        spread = f"{one.median_cpu_us:.0f} ({min(one.cpu_us):.0f}–{max(one.cpu_us):.0f})"
        lines.append(f"  {names[operation]:<18}{store:<10}{spread:>22}{one.p50_ms:>8.1f}")
    return "\n".join(lines)
