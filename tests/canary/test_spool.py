"""Batches: numbered, in order, resent, bounded, nothing lost without a count."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from canary.backlog import MAX_BATCH_COST, MemoryStore, cost
from canary.plan import Cell
from canary.spool import Spool
from canary.tally import FULL, Content, Tally
from collector.observation import Connection, Observation, OperationClass, Outcome, Vantage
from collector.series import LATENCY_BOUNDS_MS, Health, Series
from collector.wire import MAX_BODY_BYTES, MAX_READINGS_PER_BATCH, Batch, encode

CELL = Cell(0, "standard", OperationClass.WRITE, Connection.FRESH)


def series(partition: str = "p1") -> Series:
    return Series(
        vantage=Vantage.CANARY,
        host="h",
        zone="z",
        operation=OperationClass.WRITE,
        table="canary",
        endpoint="standard",
        connection=Connection.FRESH,
        partition=partition,
    )


def observation(at: float, outcome: Outcome = Outcome.TIMEOUT) -> Observation:
    return Observation(
        at=at,
        endpoint="standard",
        connection=Connection.FRESH,
        operation=OperationClass.WRITE,
        table="canary",
        outcome=outcome,
        reason="deadline",
        detail="x" * 200,
        request_id="R" * 52,
    )


def second(at: int, failures: int = 0) -> Content:
    tally = Tally()
    tally.success(series(), at, 3.0)
    for _ in range(failures):
        tally.failure(series(), observation(at))
    return tally.flush()


def spool(**changes: Any) -> Spool:
    return Spool("h", "z", "b", **changes)


def taken(queue: Spool, now: float = 0.0, lane: int = 0) -> Batch:
    """What the lane is to offer now; there must be something."""
    bound = queue.next(now, lane)
    assert bound is not None
    return bound.batch


def test_what_is_counted_in_an_account_is_told_once() -> None:
    """An account outlives flushes: each tells what came since the one before, and many open seconds are told early."""
    tally = Tally()
    account = tally.account(series())
    account.success(7.2, 0)
    account.success(7.9, 1)
    assert [(r.at, r.counts) for r in tally.flush().readings] == [(7, {Outcome.SUCCESS: 2})]
    account.success(7.95, 1)
    assert [(r.at, r.counts, r.latency[1]) for r in tally.flush().readings] == [(7, {Outcome.SUCCESS: 1}, 1)]
    assert tally.flush() == Content()
    for at in range(FULL):
        assert not tally.is_full
        account.success(at, 0)
    assert tally.is_full


def test_readings_add_up_and_keep_failures_whole() -> None:
    """A second's successes are counts and a histogram, its failures whole observations."""
    tally = Tally()
    for milliseconds in (0.5, 1.0, 3.0, 9999.0):
        tally.success(series(), 7.9, milliseconds)
    tally.failure(series(), observation(7.1))
    tally.failure(series(), observation(8.0, Outcome.THROTTLED))
    tally.unobserved(CELL, 7.5, "late", 2)
    first, other = (content := tally.flush()).readings
    assert first.counts == {Outcome.SUCCESS: 4, Outcome.TIMEOUT: 1}
    assert (first.at, len(first.failures), len(first.latency)) == (7, 1, len(LATENCY_BOUNDS_MS) + 1)
    assert (first.latency[0], first.latency[2], first.latency[-1]) == (2, 1, 1)
    assert (other.at, other.counts, other.latency) == (8, {Outcome.THROTTLED: 1}, ())
    assert [(u.at, u.count, u.reason) for u in content.unobserved] == [(7, 2, "late")]
    assert tally.flush() == Content()


def test_a_batch_stays_the_same_until_it_is_acknowledged() -> None:
    """What arrives meanwhile goes into the next number."""
    queue = spool()
    assert queue.next(0.0) is None
    queue.add(second(1), None)
    batch = taken(queue, 5.0)
    queue.add(second(2), None)
    assert taken(queue, 6.0) is batch
    queue.acknowledge()
    following = taken(queue, 7.0)
    assert (batch.sequence, following.sequence) == (1, 2)
    assert following.readings[0].at == 2


def test_health_alone_makes_a_batch() -> None:
    """A host with nothing to tell still says how it is, with the newest verdict."""
    queue = spool()
    for at in (1.0, 2.0):
        queue.add(Content(), Health(host="h", zone="z", at=at, recused=False))
    batch = taken(queue, 3.0)
    assert batch.health is not None
    assert batch.health.at == 2.0
    queue.acknowledge()
    assert queue.idle


@given(st.lists(st.sampled_from(["add", "failures", "next", "acknowledge"]), max_size=200))
def test_numbers_have_no_holes_and_every_probe_is_told_once(actions: list[str]) -> None:
    """With a tiny bound and any order of events, sent + given up = what was added, and numbers have no holes."""
    queue, added, told, numbers = spool(store=MemoryStore(8000)), 0, 0, []

    def acknowledge() -> None:
        nonlocal told
        bound = queue.next(0.0)
        if bound is not None:
            batch = bound.batch
            numbers.append(batch.sequence)
            told += sum(sum(r.counts.values()) for r in batch.readings) + sum(u.count for u in batch.unobserved)
            queue.acknowledge()

    for at, action in enumerate(actions):
        if action in ("add", "failures"):
            content = second(at, failures=3 if action == "failures" else 0)
            added += sum(sum(r.counts.values()) for r in content.readings)
            queue.add(content, None)
        elif action == "next":
            queue.next(0.0)
        else:
            acknowledge()
    while len(queue) or not queue.idle:
        acknowledge()
    assert told == added
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_storm_of_failures_is_cut_to_the_limits_of_the_wire() -> None:
    """Ten thousand failures in one second travel in batches that a collector accepts, and none is missing."""
    queue = spool()
    queue.add(second(1, failures=10_000), None)
    arrived = successes = 0
    while (bound := queue.next(0.0)) is not None:
        batch = bound.batch
        assert len(bound.body) < MAX_BODY_BYTES
        assert len(batch.readings) <= MAX_READINGS_PER_BATCH
        arrived += sum(len(reading.failures) for reading in batch.readings)
        successes += sum(reading.counts.get(Outcome.SUCCESS, 0) for reading in batch.readings)
        queue.acknowledge()
    assert (arrived, successes) == (10_000, 1)


def test_the_cost_is_an_upper_estimate() -> None:
    """What is estimated is never smaller than what is encoded."""
    for content in (second(1), second(1, failures=50)):
        queue = spool()
        queue.add(content, None)
        assert len(encode(taken(queue))) <= cost(content) <= MAX_BATCH_COST


def test_a_refused_batch_keeps_its_number_and_counts_what_was_in_it() -> None:
    """A collector that will never take it gets the number with unobserved counts instead."""
    queue = spool()
    queue.add(second(600, failures=2), None)
    queue.next(0.0)
    queue.refuse("refused")
    batch = taken(queue)
    assert (batch.sequence, batch.readings) == (1, ())
    assert [(u.count, u.reason, u.at) for u in batch.unobserved] == [(3, "refused", 600)]
