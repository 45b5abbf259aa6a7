"""Several feeds judged as one: in order, never waiting for the dead, and in the same order again after a restart."""

import asyncio
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa.config import CfaConfig
from cfa.engine import Engine
from cfa.feeds import MergedFeed
from cfa.merging import FOLLOW_SECONDS, HOLD_SECONDS, Merge, Run
from cfa.ports import FeedGap, FeedUnavailable
from cfa.state import StateStore
from collector.series import FeedEntry
from tests.cfa.shell_world import EPOCH, ScriptedJudgement, entry
from tests.cfa.test_engine import Killed

FEEDS = ("a", "b")


def at(cursor: int, received: float, host: str = "calm") -> FeedEntry:
    """An entry of some feed."""
    return replace(entry(cursor), received_at=EPOCH + received, host=host)


def merge(known: list[Run] | None = None, index: int = 0, feeds: tuple[str, ...] = FEEDS) -> Merge:
    return Merge(feeds, known or [], index=index, received_at=0.0, at=0.0)


def times(entries: list[FeedEntry]) -> list[float]:
    return [one.received_at - EPOCH for one in entries]


def test_entries_are_taken_by_the_time_that_they_were_received() -> None:
    """With both feeds speaking the order is that of the collectors' clocks, and cursors number the merged order."""
    one = merge()
    one.arrived("a", [at(7, 1.0), at(8, 4.0)], 0.0)
    one.arrived("b", [at(3, 2.0), at(5, 3.0)], 0.0)
    taken = one.take(10, 0.0)
    assert times(taken) == [1.0, 2.0, 3.0]
    assert [entry.cursor for entry in taken] == [1, 2, 3]
    assert one.journal() == (None, (Run(1, "a", 7), Run(3, "b", 5)))
    assert (one.asked("a"), one.asked("b")) == (8, 5)


def test_a_silent_feed_is_waited_for_only_a_moment() -> None:
    """What one feed has waits for the other for a fifth of a second, not longer."""
    one = merge()
    one.arrived("a", [at(1, 1.0)], 10.0)
    assert one.take(10, 10.0) == []
    assert one.ready_at() == pytest.approx(10.0 + HOLD_SECONDS)
    assert len(one.take(10, 10.0 + HOLD_SECONDS)) == 1


def test_a_dead_feed_is_not_waited_for() -> None:
    """Judging goes on with what there is."""
    one = merge()
    one.down("b")
    one.arrived("a", [at(1, 1.0)], 10.0)
    assert len(one.take(10, 10.0)) == 1


def test_time_never_goes_back() -> None:
    """What comes late from a collector that was away is told at the time of the entry before it."""
    one = merge()
    one.down("b")
    one.arrived("a", [at(1, 5.0)], 0.0)
    assert times(one.take(10, 0.0)) == [5.0]
    one.arrived("b", [at(1, 2.0)], 1.0)
    assert times(one.take(10, 9.0)) == [5.0]


def test_one_feed_until_now_and_a_second_one_from_now_on() -> None:
    """The state of a judgement with one collector goes on where it was; the new one is read from its beginning."""
    one = merge(index=40)
    assert (one.asked("a"), one.asked("b")) == (40, 0)


def test_a_restart_follows_the_written_order_though_things_arrive_differently() -> None:
    """The order of the earlier life comes first, whatever arrives first; a feed that must be followed is waited for."""
    one = merge([Run(1, "a", 1), Run(2, "a", 2), Run(3, "b", 9), Run(4, "a", 3)], index=1)
    assert (one.asked("a"), one.asked("b")) == (1, 0)
    one.arrived("a", [at(2, 5.0), at(3, 6.0), at(4, 7.0)], 0.0)
    assert times(one.take(10, 0.0)) == [5.0]
    one.down("b")
    assert one.take(10, FOLLOW_SECONDS - 1) == []
    one.arrived("b", [at(9, 1.0)], 5.0)
    assert times(one.take(2, 5.0)) == [5.0, 6.0]
    assert one.index == 4
    assert times(one.take(10, 5.0)) == [7.0]


def test_an_order_that_cannot_be_followed_is_given_up_and_forgotten() -> None:
    """When the other collector does not come back within seconds, judging goes on, and what was written down is void."""
    one = merge([Run(1, "a", 1), Run(2, "b", 1), Run(3, "a", 2)], index=1)
    one.down("b")
    one.arrived("a", [at(2, 6.0)], 0.0)
    assert one.take(10, 1.0) == []
    assert one.ready_at() == FOLLOW_SECONDS
    assert [entry.cursor for entry in one.take(10, FOLLOW_SECONDS)] == [2]
    assert one.journal() == (1, (Run(2, "a", 2),))


LIVES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2**32), st.integers(0, 3)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=200)
@given(
    gaps=st.lists(st.tuples(st.sampled_from(FEEDS), st.integers(0, 3)), max_size=40),
    lives=LIVES,
)
def test_whatever_dies_when_what_was_written_down_is_judged_in_the_same_order(
    gaps: list[tuple[str, int]], lives: list[tuple[int, int, int]]
) -> None:
    """Lives of any length from any older snapshot: the order up to the last commit never changes; each entry is judged once."""
    entries: dict[str, list[FeedEntry]] = {name: [] for name in FEEDS}
    now = 0.0
    for name, gap in gaps:
        now += gap
        entries[name].append(at(len(entries[name]) * 2 + 1, now, host=f"{name}{len(entries[name])}"))
    known: dict[int, Run] = {}
    committed: list[str] = []
    snapshots = [0]
    for length, seed, back in [*lives, (10_000, 0, 0)]:
        start = snapshots[max(0, len(snapshots) - 1 - back)]
        judged = committed[:start]
        one = merge(list(known.values()), index=start)
        for taken, runs in life(one, entries, random.Random(seed), length):
            judged += [entry.host for entry in taken]
            shared = min(len(judged), len(committed))
            assert judged[:shared] == committed[:shared]
            known |= {run.index: run for run in runs}
            if len(judged) > len(committed):
                committed = list(judged)
            snapshots.append(len(judged))
        snapshots = sorted({s for s in snapshots if s <= len(committed)})
    assert sorted(committed) == sorted(entry.host for found in entries.values() for entry in found)


def life(one: Merge, entries: dict[str, list[FeedEntry]], dice: random.Random, steps: int) -> Any:
    """One life: things arrive in some order, what can be taken is taken and written down."""
    now = 0.0
    for _ in range(steps):
        now += dice.choice((0.0, 0.05, HOLD_SECONDS))
        name = dice.choice(FEEDS)
        more = [e for e in entries[name] if e.cursor > one.asked(name)][: dice.randint(0, 3)]
        if now < FOLLOW_SECONDS:
            one.arrived(name, more, now)
        taken = one.take(dice.randint(1, 4), min(now, FOLLOW_SECONDS - 1))
        _, runs = one.journal()
        yield taken, runs
        left = any(e.cursor > one.asked(n) for n in FEEDS for e in entries[n]) or any(map(one.waiting, FEEDS))
        if not left or now >= FOLLOW_SECONDS:
            if steps < 10_000 or not left:
                return
            now = 0.0


class Half:
    """A feed in memory; ``away`` makes it unavailable, ``mortal`` ends the reader's life when both are used up."""

    def __init__(self, entries: list[FeedEntry], dice: random.Random) -> None:
        self.entries, self.dice, self.away, self.gone = entries, dice, False, 0

    async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
        """What comes after the cursor, a few at a time, sometimes later."""
        await asyncio.sleep(self.dice.choice((0.0, 0.001, 0.01)))
        if self.away:
            raise FeedUnavailable("away")
        if self.gone > after:
            raise FeedGap(self.gone + 1)
        found = [one for one in self.entries if one.cursor > after][: self.dice.randint(1, 3)]
        if not found:
            await asyncio.sleep(wait_seconds)
        return found


def halves(seed: int) -> dict[str, Half]:
    """The timeline of test_engine dealt to two collectors."""
    words = [("trigger", "one"), ("ticket", "x"), ("update", "one"), ("trigger", "two"), ("calm", ""), ("calm", "")]
    dice = random.Random(seed)
    lists: dict[str, list[FeedEntry]] = {name: [] for name in FEEDS}
    for i, (word, name) in enumerate(words * 2):
        half = lists["a" if name == "one" else "b"]
        half.append(at(len(half) + 1, float(i), host=f"{word} {name}{i // len(words)}".strip()))
    return {name: Half(found, dice) for name, found in lists.items()}


async def live(store: StateStore, feeds: dict[str, Half], entries: int) -> Engine:
    """A life of an engine until it has judged so many entries, then kill -9."""
    feed = MergedFeed(dict(feeds), await store.run(store.merged))
    engine = await Engine.open(CfaConfig(), store, feed, ScriptedJudgement, ("log",))
    engine._snapshot_due = lambda: engine.cursor % 5 == 0  # type: ignore[method-assign]
    commit = engine._commit

    async def mortal(*args: Any, **named: Any) -> None:
        await commit(*args, **named)
        if engine.cursor >= entries:
            raise Killed

    engine._commit = mortal  # type: ignore[method-assign]
    try:
        async with asyncio.timeout(10):
            await engine.run()
    except Killed:
        pass
    finally:
        await feed.close()
    return engine


@pytest.mark.proof
@settings(deadline=None, max_examples=15)
@given(ends=st.lists(st.integers(1, 12), max_size=4), seed=st.integers(0, 1000))
def test_an_engine_with_two_feeds_that_is_killed_again_and_again_tells_each_page_once(
    ends: list[int], seed: int
) -> None:
    """Two feeds with their own timing in every life: four pages opened, each told once, updates once, nothing lost."""

    async def lives() -> None:
        with tempfile.TemporaryDirectory() as folder, StateStore(Path(folder) / "s") as store:
            for number, end in enumerate([*ends, 12]):
                await live(store, halves(seed + number), end)
            told = sorted((page["incident"], page["event"], page["n"]) for page in store.pages(0.0))
            assert told == sorted(
                [(f"i-{name}{n}", "trigger", 1) for name in ("one", "two") for n in (0, 1)]
                + [(f"i-one{n}", "update", 1) for n in (0, 1)]
            )

    asyncio.run(lives())


async def test_judging_goes_on_while_a_collector_is_away(tmp_path: Path) -> None:
    """All that the living one has is judged; when the other comes back, its entries follow."""
    with StateStore(tmp_path / "s") as store:
        feeds = halves(1)
        feeds["b"].away = True
        engine = await live(store, feeds, 4)
        assert {one.id for one in store.incidents()} == {"i-one0", "i-one1"}
        states = {one.url: (one.ok, one.error) for one in engine.feeds}
        assert states == {"a": (True, None), "b": (False, "away")}
        assert all(one.since is not None for one in engine.feeds)
        feeds["b"].away = False
        engine = await live(store, feeds, 12)
        assert engine.cursor == 12
        assert {one.id for one in store.incidents()} > {"i-two0", "i-two1"}


async def test_a_gap_in_one_feed_is_jumped(tmp_path: Path) -> None:
    """Entries that one collector no longer has are skipped; nothing else is."""
    with StateStore(tmp_path / "s") as store:
        feeds = halves(1)
        feeds["b"].gone = 2
        engine = await live(store, feeds, 10)
        assert engine.entries == 10


async def test_nobody_answers(tmp_path: Path) -> None:
    """With all collectors away the feed says so, as one collector's does."""
    feeds = halves(1)
    for half in feeds.values():
        half.away = True
    feed = MergedFeed(dict(feeds))
    with pytest.raises(FeedUnavailable, match="away"):
        await feed.read(0, limit=10, wait_seconds=5.0)
    await feed.close()
