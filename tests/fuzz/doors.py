"""The doors that are tried: one row for each route that takes something from outside.

A route that this collector does not have (it answers 404) is left out. ``refused``: the counter of its typed refusals, by the label
``reason``, whose words are the ``error`` of the answers; None where a door counts in another way.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from collector import wire
from collector.remote_write import message
from tests.collector.bulk import frames
from tests.collector.samples import make_batch, make_health


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """``valid``: a body that would be taken, for a number that grows."""

    path: str
    valid: Callable[[random.Random, int], bytes]
    kind: str = "application/json"
    encoding: str | None = None
    refused: str | None = None


def batch(rng: random.Random, number: int) -> bytes:
    """A batch of one of twenty hosts, whose numbers are now and then repeated."""
    host = f"az{rng.randint(1, 3)}-fuzz-{rng.randint(1, 7)}"
    now = time.time()
    health = make_health(now, host=host) if rng.random() < 0.3 else None
    return wire.encode(make_batch(max(1, number - rng.choice((0, 0, 1))), host=host, health=health))


def otlp(rng: random.Random, _number: int) -> bytes:
    """An OTLP export of one sum, as JSON."""
    now = int(time.time() * 1e9)
    point = b'{"asInt":"%d","startTimeUnixNano":"%d","timeUnixNano":"%d","attributes":[]}' % (
        rng.randint(0, 99),
        now - 10**9,
        now,
    )
    return (
        b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"fuzz"}}]},"scopeMetrics":[{"metrics":['
        b'{"name":"rpc.client.requests","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":['
        + point
        + b"]}}]}]}]}"
    )


def remote_write(rng: random.Random, _number: int) -> bytes:
    """A remote write of one sample."""
    labels = message.labels("customer_attempts_total", (("job", "fuzz"), ("outcome", "success")))
    points = ((int(time.time() * 1000), float(rng.randint(0, 99))),)
    return pa.compress(message.request([message.series(labels, points)]), codec="snappy", asbytes=True)


def counters(rng: random.Random, _number: int) -> bytes:
    """A frame of the columnar lane: what numbers mean, or counts by number (409 as long as nobody has said what they mean)."""
    host = f"az{rng.randint(1, 3)}-fuzz-1"
    if rng.random() < 0.5:
        return frames.names(host, range(8))
    return frames.counts(host, rng.randint(1, 200), int(time.time()), {"success": {0: 3, 5: 1}, "timeout": {2: 1}})


def exclusion(rng: random.Random, _number: int) -> bytes:
    """An hour of a zone that exists nowhere, to be left out."""
    start = time.time() - rng.randint(3600, 7200)
    return wire.encode({"start": start, "end": start + 60, "where": {"zone": "fuzz"}, "reason": "fuzz", "who": "fuzz"})


DOORS: tuple[Door, ...] = (
    Door(path="/v1/batches", valid=batch, refused="collector_refused_total"),
    Door(
        path="/v1/counters", valid=counters, kind="application/octet-stream", refused="collector_counters_refused_total"
    ),
    Door(path="/v1/otlp/v1/metrics", valid=otlp),
    Door(path="/v1/exclusions", valid=exclusion),
    Door(path="/v1/write", valid=remote_write, kind="application/x-protobuf", encoding="snappy"),
)
QUESTIONS = (
    "/v1/feed?after={n}&limit={n}", "/v1/feed?after={s}", "/v1/intervals?start={n}&end={n}&by={s}", "/v1/intervals?start=0&end={n}&version={n}",
    "/v1/unobserved?start={n}&end={n}", "/v1/failures?start=0&end={n}&limit={n}", "/v1/health_spans?start={s}", "/v1/targets", "/ready", "/{s}",
)  # fmt: skip
"""Questions with numbers and texts to fill in."""
