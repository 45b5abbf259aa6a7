"""Backtests: the same entries under another policy, held against what was recorded."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest

from cfa.backtest import Finding, Trial
from cfa.config import CfaConfig
from cfa.incident import Incident
from cfa.judgement import Judgement
from cfa.rebuilding import Numbered, rebuilt
from collector.merge import collect, counts_of
from collector.observation import Outcome, Vantage
from collector.series import FeedEntry
from collector.wire import FailureRow, IntervalRow
from tests.cfa.world import REFUSED, START, Answer, Attempt, World

OUTAGE, SECONDS = 65.0, 130.0


def refused(_world: World, attempt: Attempt) -> Answer | None:
    return REFUSED if attempt.endpoint == "standard" else None


@pytest.fixture(scope="module")
def feed() -> list[FeedEntry]:
    """Two minutes and a bit, in which an endpoint refuses everybody for 20 seconds."""
    world = World(seed=3)
    world.during(OUTAGE, 20.0, refused)
    return list(world.run(SECONDS))


@pytest.fixture(scope="module")
def recorded(feed: list[FeedEntry]) -> list[Incident]:
    """What the judgement made of it at that time."""
    judge = Judgement(CfaConfig())
    for entry in feed:
        judge.step(entry)
    return judge.incidents()


def tried(feed: Iterable[FeedEntry], recorded: list[Incident], **changes: object) -> Finding:
    config = CfaConfig(**changes)  # type: ignore[arg-type]
    trial = Trial("new", config, since=START, until=START + SECONDS)
    for entry in feed:
        trial.take(entry)
    return trial.finding(recorded)


@pytest.fixture(scope="module")
def today(feed: list[FeedEntry]) -> Trial:
    """The same policy once more."""
    trial = Trial("current", CfaConfig(), since=START, until=START + SECONDS)
    for entry in feed:
        trial.take(entry)
    return trial


def test_the_policy_of_that_time_sends_the_pages_of_that_time(
    feed: list[FeedEntry], recorded: list[Incident], today: Trial
) -> None:
    """The same entries and the same configuration give the recorded page with its recorded delay; nothing missed, nothing false."""
    found = today.finding(recorded)
    paged = [one for one in recorded if one.paged_at is not None]
    assert paged
    assert [page.incident for page in found.pages] == [one.id for one in paged]
    assert (found.missed, found.false_pages) == ((), ())
    for held in found.incidents:
        assert held.delay_seconds == held.recorded_delay_seconds
    assert found.entries == len(feed)


def test_a_laxer_policy_misses_what_was_recorded(feed: list[FeedEntry], recorded: list[Incident]) -> None:
    """Who wants no false page in all time is told of nothing in 20 seconds: the recorded page is missed, and there is none that is false."""
    found = tried(feed, recorded, false_pages_per_year=1e-250)
    assert found.pages == ()
    assert [one.verdict for one in found.incidents if one.recorded_delay_seconds is not None] == ["missed"]


def test_a_page_without_a_record_is_false(recorded: list[Incident], today: Trial) -> None:
    """Where nothing was recorded, every page is a false one; an incident that was no page and gets none is not missed."""
    found = today.finding([])
    assert len(found.false_pages) == len(found.pages) > 0
    ticket = replace(recorded[0], paged_at=None, severity="ticket", first_failure_at=START - 9, closed_at=START + 1)
    assert [one.verdict for one in today.finding([ticket]).incidents] == ["no_page_needed"]


def test_what_comes_before_the_span_only_warms_up(feed: list[FeedEntry], recorded: list[Incident]) -> None:
    """Pages before --from and incidents outside of the span are not counted."""
    trial = Trial("new", CfaConfig(), since=START + 110, until=START + SECONDS)
    for entry in feed:
        trial.take(entry)
    assert trial.finding(recorded).pages == ()
    outside = [replace(one, first_failure_at=START - 900, closed_at=START - 800) for one in recorded]
    assert trial.finding(outside).incidents == ()


def test_silence_is_ticked_as_in_the_engine(feed: list[FeedEntry]) -> None:
    """Two minutes without an entry are told to the judgement second by second until it must know, and not for ever."""
    ticks: list[float] = []

    class Judge(Judgement):
        def tick(self, at: float) -> list:  # type: ignore[type-arg]
            ticks.append(at)
            return super().tick(at)

    trial = Trial("new", CfaConfig(), since=START, until=START + SECONDS, factory=Judge)
    trial.take(feed[0])
    trial.take(replace(feed[1], received_at=feed[0].received_at + 120))
    assert 15 <= len(ticks) <= 20


def in_intervals(feed: list[FeedEntry]) -> tuple[list[IntervalRow], list[FailureRow]]:
    """The same as a ledger keeps it."""
    tallies: dict = {}
    failures = []
    for entry in feed:
        for key, tally in collect(entry.readings, recused=False).items():
            before = tallies.get(key, (0,) * len(tally))
            tallies[key] = tuple(a + b for a, b in zip(before, tally, strict=True))
        for reading in entry.readings:
            failures += [
                FailureRow(
                    host=entry.host, zone=entry.zone, vantage=entry.vantage, received_at=entry.received_at,
                    recused=False, observation=one,
                )
                for one in reading.failures
            ]  # fmt: skip
    rows = [
        IntervalRow(series=key.series, start=key.start, version=1, counts=counts_of(tally))
        for key, tally in tallies.items()
    ]
    return rows, failures


def test_what_is_rebuilt_adds_up_and_pages_with_the_recorded_delay(
    feed: list[FeedEntry], recorded: list[Incident]
) -> None:
    """Out of five-minute intervals and whole failures come the same sums, in order of time, and the same page within seconds."""
    rows, failures = in_intervals(feed)
    starts = sorted({row.start for row in rows})
    numbered = Numbered()
    again = [
        numbered.next(entry)
        for start in starts
        for entry in rebuilt(
            start,
            [row for row in rows if row.start == start],
            [one for one in failures if start <= one.observation.at < start + 300],
            (),
        )
    ]
    assert [e.cursor for e in again] == list(range(1, len(again) + 1))
    assert all(a.received_at <= b.received_at for a, b in itertools.pairwise(again))

    def sums(entries: list[FeedEntry]) -> dict[tuple[Vantage, Outcome], int]:
        found: dict[tuple[Vantage, Outcome], int] = {}
        for entry in entries:
            for reading in entry.readings:
                for outcome, count in reading.counts.items():
                    key = (entry.vantage, outcome)
                    found[key] = found.get(key, 0) + count
        return found

    assert sums(again) == sums(feed)
    found = tried(again, recorded)
    assert found.missed == ()
    assert found.false_pages == ()
    paged = [one for one in found.incidents if one.delay_seconds is not None]
    assert paged
    assert all(abs((one.delay_seconds or 0) - (one.recorded_delay_seconds or 0)) <= 10 for one in paged)
