"""A batch is accepted, a duplicate, or refused for a named reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector import ingest, wire
from collector.ingest import Accepted, Duplicate, Refusal, RefusedError
from collector.observation import Outcome, Vantage
from collector.series import Reading
from collector.wire import MAX_READINGS_PER_BATCH
from tests.collector.samples import make_batch, make_health, make_series

NOW = 1_764_000_000.0


def plain() -> Any:
    return json.loads(wire.encode(make_batch(at=NOW)))


def change(path: str, value: Any) -> bytes:
    body = plain()
    place = body
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in parents:
        place = place[step]
    place[last] = value
    return json.dumps(body).encode()


def refusal_of(work: Callable[[], object]) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        work()
    return caught.value


def test_a_good_batch_is_read_as_it_was_sent() -> None:
    """Encoding and reading a batch gives the same batch, and nothing speaks against it."""
    batch = make_batch(at=NOW, health=make_health(NOW))
    assert ingest.read(wire.encode(batch)) == batch
    ingest.check(batch, at=NOW)


@pytest.mark.parametrize(
    ("path", "value", "reason", "named"),
    [
        ("bogus", 1, Refusal.UNKNOWN_FIELD, "bogus"),
        ("readings.0.bogus", 1, Refusal.UNKNOWN_FIELD, "$.readings"),
        ("readings.0.series.bogus", 1, Refusal.UNKNOWN_FIELD, "series"),
        ("readings.0.failures.0.bogus", 1, Refusal.UNKNOWN_FIELD, "failures"),
        ("readings.0.counts.success", -1, Refusal.NEGATIVE_COUNT, "counts"),
        ("readings.0.counts.success", 10**12, Refusal.COUNT_TOO_LARGE, "counts"),
        ("readings.0.counts.success", 1.5, Refusal.MALFORMED, "counts"),
        ("readings.0.counts.sucess", 1, Refusal.MALFORMED, "counts"),
        ("readings.0.latency.3", -1, Refusal.NEGATIVE_COUNT, "latency"),
        ("readings.0.series.endpoint", "x" * 300, Refusal.TEXT_LENGTH, "endpoint"),
        ("readings.0.failures.0.detail", "x" * 3000, Refusal.TEXT_LENGTH, "detail"),
        ("host", "", Refusal.TEXT_LENGTH, "host"),
        ("sequence", 0, Refusal.SEQUENCE_NOT_POSITIVE, "sequence"),
        ("sequence", "1", Refusal.MALFORMED, "sequence"),
        ("readings.0.series.operation", "wirte", Refusal.MALFORMED, "operation"),
        ("readings", 7, Refusal.MALFORMED, "readings"),
    ],
)
def test_a_misshapen_batch_is_refused_naming_the_field(path: str, value: Any, reason: Refusal, named: str) -> None:
    """Each way of being misshapen has its reason, and the text names the place."""
    refused = refusal_of(lambda: ingest.read(change(path, value)))
    assert refused.reason is reason
    assert named in refused.detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", Refusal.MALFORMED),
        (b"{", Refusal.MALFORMED),
        (b"[]", Refusal.MALFORMED),
        (b"\xff\xfe", Refusal.MALFORMED),
        (wire.encode(make_batch(at=NOW)).replace(b'"sent_at":1764000000.0', b'"sent_at":NaN'), Refusal.MALFORMED),
        (wire.encode(make_batch(at=NOW)).replace(b'"sent_at":1764000000.0', b'"sent_at":1e999'), Refusal.MALFORMED),
        (b"x" * (wire.MAX_BODY_BYTES + 1), Refusal.OVERSIZED),
    ],
)
def test_bytes_that_are_no_batch_are_refused(text: bytes, reason: Refusal) -> None:
    """Torn, foreign, infinite or huge bytes get a typed reason."""
    assert refusal_of(lambda: ingest.read(text)).reason is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sent_at": NOW + 301}, Refusal.FROM_THE_FUTURE),
        ({"sent_at": NOW - ingest.LATE_SECONDS - 1}, Refusal.TOO_OLD),
        ({"sent_at": float("nan")}, Refusal.NOT_FINITE),
        ({"sent_at": float("inf")}, Refusal.NOT_FINITE),
        ({"sequence": -3}, Refusal.SEQUENCE_NOT_POSITIVE),
        ({"boot": "a\nb"}, Refusal.NOT_PRINTABLE),
        ({"health": make_health(NOW + 400)}, Refusal.FROM_THE_FUTURE),
        ({"health": make_health(NOW, host="az2-canary-1")}, Refusal.FOREIGN_HOST),
        ({"host": "az2-canary-1", "readings": make_batch(at=NOW).readings}, Refusal.FOREIGN_HOST),
        ({"readings": make_batch(at=NOW + 400).readings}, Refusal.FROM_THE_FUTURE),
        ({"readings": make_batch(at=NOW - 8 * 86400).readings}, Refusal.TOO_OLD),
        ({"readings": make_batch(at=NOW).readings * (MAX_READINGS_PER_BATCH + 1)}, Refusal.TOO_MANY_READINGS),
        (
            {"readings": (Reading(series=make_series(), at=int(NOW), counts={}, latency=(1, 2)),)},
            Refusal.LATENCY_BUCKETS,
        ),
        (
            {
                "readings": tuple(
                    Reading(series=make_series(vantage=v), at=int(NOW), counts={Outcome.SUCCESS: 1}) for v in Vantage
                )
            },
            Refusal.MIXED_VANTAGES,
        ),
    ],
)
def test_an_unbelievable_batch_is_refused(changes: dict[str, Any], reason: Refusal) -> None:
    """Times, counts and names that cannot be true are refused, each for its reason."""
    batch = make_batch(**({"at": NOW} | changes))
    assert refusal_of(lambda: ingest.check(batch, at=NOW)).reason is reason


def test_a_clock_five_minutes_ahead_is_still_believed() -> None:
    """The bound itself is allowed."""
    ingest.check(make_batch(at=NOW + 300), at=NOW)


def test_an_empty_batch_of_a_wrong_clock_is_taken() -> None:
    """A sender whose batch was refused can use its number up, whatever its clock says."""
    ingest.check(make_batch(at=NOW + 9000, readings=()), at=NOW)


def test_the_second_arrival_is_a_duplicate() -> None:
    """What was seen once is a duplicate, whatever came in between."""
    first = ingest.decide(make_batch(5, at=NOW), ())
    assert isinstance(first, Accepted)
    second = ingest.decide(make_batch(1, at=NOW), first.seen)
    assert isinstance(second, Accepted)
    assert isinstance(ingest.decide(make_batch(5, at=NOW), second.seen), Duplicate)


def test_a_sender_with_a_thousand_holes_is_refused() -> None:
    """The memory that one sender can take is bounded."""
    holes = tuple((n, n) for n in range(1, 2001, 2))
    assert refusal_of(lambda: ingest.decide(make_batch(5000, at=NOW), holes)).reason is Refusal.TOO_MANY_HOLES


def test_what_is_left_of_a_refused_batch_is_its_number_and_its_counts() -> None:
    """Attempts and unobserved probes become unobserved for the refusal's reason; a time not to be believed becomes now."""
    now = 1_764_000_030.0
    batch = make_batch(7, at=now + 9e5)
    left = ingest.remainder(batch, Refusal.FROM_THE_FUTURE, at=now)
    assert (left.host, left.boot, left.sequence, left.readings, left.health) == (batch.host, "b1", 7, (), None)
    assert [(u.reason, u.count, u.at) for u in left.unobserved] == [("refused_from_the_future", 3, 1_764_000_000)]
    ingest.check(left, at=now)
    again = ingest.remainder(left, Refusal.TOO_OLD, at=now)
    assert [(u.reason, u.count) for u in again.unobserved] == [("refused_too_old", 3)]
