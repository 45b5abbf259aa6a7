"""The engine: order, snapshots, replay, gaps, silence, crashes."""

import asyncio
import dataclasses
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa import engine as engine_module
from cfa.config import CfaConfig
from cfa.engine import Engine
from cfa.feed import CollectorClient
from cfa.ports import FeedGap, FeedUnavailable
from cfa.recovery import STATE_LOST, answered_cells
from cfa.state import Commit, StateStore
from collector.observation import Level, Outcome
from collector.series import FeedEntry
from tests.cfa.shell_world import (
    FakeCollector,
    Receiver,
    ScriptedJudgement,
    entry,
    eventually,
    incident,
    serving,
)

CONFIG = CfaConfig()
TIMELINE = [
    entry(cursor, word, name)
    for cursor, (word, name) in enumerate(
        [
            ("calm", ""),
            ("trigger", "one"),
            ("calm", ""),
            ("update", "one"),
            ("ticket", "three"),
            ("trigger", "two"),
            ("resolve", "one"),
            ("update", "two"),
            ("resolve", "three"),
            ("resolve", "two"),
            ("calm", ""),
        ],
        start=1,
    )
]
TOLD = [
    ("i-one", "trigger", 1),
    ("i-one", "update", 1),
    ("i-two", "trigger", 1),
    ("i-one", "resolve", 1),
    ("i-two", "update", 1),
    ("i-two", "resolve", 1),
]


class Killed(BaseException):
    """The process is gone."""


class ListFeed:
    """A feed in memory that ends the life of its reader when it is used up."""

    def __init__(self, entries: list[FeedEntry], *, batch: int = 3) -> None:
        self.entries, self.batch = entries, batch

    async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
        """What comes after the cursor."""
        found = [one for one in self.entries if one.cursor > after][: self.batch]
        if not found:
            raise Killed
        return found


async def live_once(store: StateStore, feed: ListFeed, **changes: Any) -> Engine:
    """One life of an engine, ended without any farewell."""
    engine = await Engine.open(CONFIG, store, feed, ScriptedJudgement, ("log",))
    for name, value in changes.items():
        setattr(engine, name, value)
    try:
        await engine.run()
    except Killed:
        return engine
    raise AssertionError("the feed ends every life")


def told(store: StateStore) -> list[tuple[str, str, int]]:
    return [(page["incident"], page["event"], page["n"]) for page in reversed(store.pages(0.0))]


async def test_entries_become_incidents_and_notices_in_order(tmp_path: Path) -> None:
    """Pages are in the outbox once each, in the order of their events, and tickets are not among the pages."""
    with StateStore(tmp_path / "s") as store:
        engine = await live_once(store, ListFeed(TIMELINE))
        assert told(store) == TOLD
        assert engine.cursor == len(TIMELINE)
        assert {one.id: one.state for one in store.incidents()} == dict.fromkeys(
            ("i-one", "i-two", "i-three"), "closed"
        )


def _always() -> bool:
    return True


def _never() -> bool:
    return False


class MortalStore(StateStore):
    """Dies at its n-th commit, just before or just after it is durable; dead things write nothing."""

    def __init__(self, path: Path, commits: int, *, late: bool) -> None:
        super().__init__(path)
        self.commits, self.late, self.dead = commits, late, False

    def apply(self, commit: Commit, now: float) -> int:
        """Writes, or dies."""
        if self.dead:
            raise Killed
        self.commits -= 1
        if self.commits > 0:
            return super().apply(commit, now)
        self.dead = True
        if self.late:
            super().apply(commit, now)
        raise Killed


@pytest.mark.proof
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6), st.booleans(), st.booleans()), max_size=6))
def test_a_crash_between_any_two_steps_neither_repeats_nor_loses_a_page(
    lives: list[tuple[int, int, bool, bool]],
) -> None:
    """Whatever the batches, whichever commit a life ends at and whether snapshots were saved, every page exists exactly once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        for batch, commits, late, saves in lives:
            with MortalStore(path, commits, late=late) as store:
                asyncio.run(live_once(store, ListFeed(TIMELINE, batch=batch), _snapshot_due=[_never, _always][saves]))
        with StateStore(path) as store:
            asyncio.run(live_once(store, ListFeed(TIMELINE)))
            assert told(store) == TOLD


async def test_a_batch_that_was_not_committed_is_judged_again(tmp_path: Path) -> None:
    """Cancelled between judging and committing, the engine saves no snapshot that would hide the events."""
    with StateStore(tmp_path / "s") as store:
        engine = await Engine.open(CONFIG, store, ListFeed(TIMELINE), ScriptedJudgement, ("log",))
        engine._commit = _cancelled  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await engine.run()
        del engine
        assert store.snapshots() == []
        await live_once(store, ListFeed(TIMELINE))
        assert told(store) == TOLD


async def _cancelled(*_: object, **__: object) -> None:
    raise asyncio.CancelledError


async def test_a_farewell_snapshot_makes_the_next_start_immediate(tmp_path: Path) -> None:
    """After an orderly end nothing is replayed, and answered cells are still known."""
    with StateStore(tmp_path / "s") as store:
        await live_once(store, ListFeed(TIMELINE))
        second = await live_once(store, ListFeed(TIMELINE))
        assert second.entries == 0
        assert second.answered == {("az1", "standard", "write", "fresh")}


async def test_a_damaged_snapshot_falls_back_to_the_one_before(tmp_path: Path) -> None:
    """A snapshot that cannot be read costs a replay, not a start."""
    with StateStore(tmp_path / "s") as store:
        await live_once(store, ListFeed(TIMELINE[:4]))
        await live_once(store, ListFeed(TIMELINE[:6]))
        store._db.execute("UPDATE snapshots SET judgement = x'ff' WHERE number = (SELECT MAX(number) FROM snapshots)")
        engine = await live_once(store, ListFeed(TIMELINE))
        assert engine.cursor == len(TIMELINE)
        assert told(store) == TOLD


async def test_a_gap_is_jumped_and_counted(tmp_path: Path) -> None:
    """When the collector no longer has our cursor, the judgement goes on from the oldest entry."""

    class Gapped(ListFeed):
        async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
            if after < 4:
                raise FeedGap(5)
            return await super().read(after, limit=limit, wait_seconds=wait_seconds)

    with StateStore(tmp_path / "s") as store:
        await live_once(store, ListFeed(TIMELINE[:1]))
        engine = await live_once(store, Gapped([one for one in TIMELINE if one.cursor in (5, 6, 9, 10, 11)]))
        assert (engine.gaps, engine.cursor) == (1, 11)


async def test_another_ledger_is_read_from_its_beginning(tmp_path: Path) -> None:
    """When the collector's folder was deleted, its cursors start again and so do we, and a kill then loses nothing either."""

    class Reborn(ListFeed):
        async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
            if after > self.entries[-1].cursor:
                raise FeedGap(1)
            return await super().read(after, limit=limit, wait_seconds=wait_seconds)

    with StateStore(tmp_path / "s") as store:
        await live_once(store, ListFeed([entry(900), entry(901, "trigger", "one")]))
        engine = await live_once(store, Reborn([entry(1), entry(2, "resolve", "one")]), _snapshot_due=_never)
        assert (engine.gaps, engine.cursor) == (1, 2)
        assert told(store) == [("i-one", "trigger", 1), ("i-one", "resolve", 1)]
        assert store.committed_cursor() == 2


async def test_incidents_that_the_judgement_lost_are_ended_and_told(tmp_path: Path) -> None:
    """With every snapshot lost and the feed cut, an open page is resolved instead of burning forever."""
    with StateStore(tmp_path / "s") as store:
        await live_once(store, ListFeed(TIMELINE[:2]))
        store._db.execute("DELETE FROM snapshots")
        await live_once(store, ListFeed([entry(20)]))
        assert told(store) == [("i-one", "trigger", 1), ("i-one", "resolve", 1)]
        ended = store.incident("i-one")
        assert ended is not None
        assert (ended.state, ended.closed_reason) == ("closed", STATE_LOST)


async def test_silence_is_told_every_second_and_the_clock_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the collector is down the judgement is ticked on the collector's clock, and feeding resumes by itself."""
    monkeypatch.setattr(engine_module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(engine_module, "BACKOFF_MOST_SECONDS", 0.1)
    collector = FakeCollector()
    with StateStore(tmp_path / "s") as store:
        async with serving(collector.application()) as url:
            port = int(url.rsplit(":", 1)[1])
            client = CollectorClient(url)
            engine = await Engine.open(CONFIG, store, client, ScriptedJudgement, ("log",))
            judge = engine.judge
            assert isinstance(judge, ScriptedJudgement)
            task = asyncio.create_task(engine.run())
            collector.append(entry(1))
            await eventually(lambda: engine.cursor == 1)
        await eventually(lambda: engine.feed_error)
        (away,) = engine.feeds
        assert (away.ok, away.error) == (False, engine.feed_error)
        assert away.since is not None
        ticks = len(judge.ticks)
        await eventually(lambda: len(judge.ticks) > ticks + 3)
        assert judge.ticks == sorted(judge.ticks)
        assert abs(judge.ticks[-1] - entry(1).received_at) < 60
        async with serving(collector.application(), port):
            collector.append(entry(2))
            await eventually(lambda: engine.cursor == 2 and engine.feed_error is None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def test_a_feed_that_is_not_one_is_an_outage_and_not_a_crash() -> None:
    """Wrong JSON, a refusal and a missing cursor are all told as 'unavailable' with the reason."""
    collector = FakeCollector(token="secret")
    async with serving(collector.application()) as url:
        client = CollectorClient(url)
        with pytest.raises(FeedUnavailable, match="401"):
            await client.read(0, limit=1, wait_seconds=0)
        await client.close()


async def test_a_feed_with_a_token_file_is_read(tmp_path: Path) -> None:
    """The collector's token comes from a file."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    collector = FakeCollector(token="secret", entries=[entry(1)])
    async with serving(collector.application()) as url:
        client = CollectorClient(url, token)
        assert [one.cursor for one in await client.read(0, limit=5, wait_seconds=0)] == [1]
        await client.close()


def test_only_an_answer_counts_as_answered() -> None:
    """A refused connection is no answer, a throttle is one."""
    one = entry(1)
    series = one.readings[0].series

    def cells(outcome: Outcome) -> int:
        reading = dataclasses.replace(one.readings[0], series=series, counts={outcome: 3})
        return len(answered_cells(dataclasses.replace(one, readings=(reading,))))

    assert (cells(Outcome.UNREACHABLE), cells(Outcome.THROTTLED), cells(Outcome.SUCCESS)) == (0, 1, 1)
    assert answered_cells(entry(1, canary=False)) == set()


def test_a_stack_is_ready_when_the_cells_asked_every_second_have_answered_not_others() -> None:
    """An operation that is asked seldom is not waited for, and an attempt that confirms another host's failure is in no cell."""
    one = entry(1)
    series = one.readings[0].series
    confirming = dataclasses.replace(one.readings[0], series=dataclasses.replace(series, level=Level.CONFIRM))
    assert len(answered_cells(one)) == 1
    assert answered_cells(one, seldom={series.operation.value}) == set()
    assert answered_cells(dataclasses.replace(one, readings=(confirming,))) == set()


async def test_kill_minus_nine_at_any_moment_neither_repeats_nor_loses_a_page(tmp_path: Path) -> None:
    """A real process, killed again and again while pages flow, has told each of them in order and planned each once."""
    collector, receiver, chance = FakeCollector(), Receiver(), random.Random(7)
    rounds = 12
    async with serving(collector.application()) as feed_url, serving(receiver.application()) as hook_url:
        with socket.socket() as probe:
            probe.bind(("127.77.7.1", 0))
            port = str(probe.getsockname()[1])
        command = [sys.executable, "-m", "tests.cfa.crash_child", str(tmp_path), port, feed_url, hook_url]
        cursor = 0
        for life in range(4):
            child = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2])
            seen = len(receiver.got)
            for number in range(rounds):
                for word in ("trigger", "update", "resolve"):
                    cursor += 1
                    collector.append(entry(cursor, word, f"{life}-{number}"))
                await asyncio.sleep(0.01)
            await eventually(_more_than(receiver, seen + chance.randrange(1, 3 * rounds - 4)), 20)
            if life == 3:
                await eventually(lambda: len({one["notice"] for one in receiver.got}) == 3 * 4 * rounds, 20)
            os.kill(child.pid, signal.SIGKILL)
            await child.wait()
    with StateStore(tmp_path / "cfa.sqlite") as store:
        pages = [page for page in store.pages(0.0) if page["destination"] == "webhook"]
    assert len(pages) == len({(page["incident"], page["event"], page["n"]) for page in pages}) == 3 * 4 * rounds
    for life in range(4):
        for number in range(rounds):
            heard = [one["notify"] for one in receiver.got if one["incident"]["id"] == f"i-{life}-{number}"]
            assert list(dict.fromkeys(heard)) == ["trigger", "update", "resolve"]
    repeated = len(receiver.got) - len({one["notice"] for one in receiver.got})
    assert repeated <= 4 * 8  # only what was in flight at a kill, and with the same idempotency key


def _more_than(receiver: Receiver, number: int) -> Callable[[], bool]:
    return lambda: len(receiver.got) > number


async def test_the_state_of_an_incident_never_goes_back_during_a_replay(tmp_path: Path) -> None:
    """Replayed older states do not overwrite the newest one."""
    with StateStore(tmp_path / "s") as store:
        closed = incident(state="closed", closed_at=50.0)
        store.apply(Commit(cursor=2, received_at=50.0, incidents=((50.0, closed),)), 0.0)
        store.apply(Commit(cursor=1, received_at=10.0, incidents=((10.0, incident()),)), 0.0)
        found = store.incident("i-one")
        assert found is not None
        assert found.state == "closed"
