"""Two judgements side by side send one page, and either may die."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa import replica_rows
from cfa.lease import Lease
from cfa.notices import Notices
from cfa.replica_rows import Position
from cfa.state import Commit, Snapshot, StateStore
from collector.lease import Leases
from collector.lease_api import LeaseApi
from tests.cfa.shell_world import EPOCH, FakeCollector, Receiver, entry, eventually, serving
from tests.cfa.test_outbox import put

ROOT = Path(__file__).parents[2]


def leasing(collector: FakeCollector) -> web.Application:
    """A collector that also lends, and has been up for long."""
    app = collector.application()
    LeaseApi(Leases(time.monotonic() - 60)).add_routes(app.router)
    return app


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.77.7.1", 0))
        return int(probe.getsockname()[1])


async def test_two_that_ask_at_once_never_both_get_it() -> None:
    """At one collector and at two, with one of them dead: exactly one may speak; it goes on while it asks, and not longer."""
    async with serving(leasing(FakeCollector())) as one, serving(leasing(FakeCollector())) as two:
        for urls in ([one], [one, two], [one, "http://127.77.7.1:1"]):
            name = "/".join(urls)
            a, b = (Lease(urls, name[:100], holder, seconds=2.0) for holder in "ab")
            first = await asyncio.gather(a.ask(), b.ask())
            assert sorted(first) == [False, True]
            winner, loser = (a, b) if first[0] else (b, a)
            assert 0 < winner.remaining() <= 2.0
            assert loser.remaining() == 0.0
            assert await winner.ask()
            assert not await loser.ask()
            await winner.release()
            assert await loser.ask()
            assert loser.epoch > 0
            await a.close()
            await b.close()


async def test_without_a_collector_nobody_speaks() -> None:
    """Who cannot ask does not have it."""
    alone = Lease(["http://127.77.7.1:1"], "j", "a", seconds=2.0)
    assert not await alone.ask()
    assert alone.remaining() == 0.0
    await alone.close()


def contents(store: StateStore) -> dict[str, list[Any]]:
    return {name: sorted(map(repr, store._db.execute(f"SELECT * FROM {name}"))) for name in store._keys}


def copied(source: StateStore, target: StateStore) -> None:
    """What a follower does, without the network."""
    here = target.position()
    answer = source.changes(here.seq, active=True)
    anew = not here.source or here.seq < answer.pruned
    rows, answer = [], source.changes(0, active=True) if anew else answer
    while answer.rows:
        rows += answer.rows
        answer = source.changes(answer.rows[-1][0], active=True)
    target.take_changes(rows, Position(source=answer.store, seq=answer.newest, epoch=answer.epoch), anew=anew)


def _snapshot(cursor: int) -> Snapshot:
    return Snapshot(cursor=cursor, received_at=EPOCH, judgement=b"j" * cursor, notices=b"n", answered=b"[]")


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(["trigger", "deliver", "fail", "snapshot", "copy", "forget"]), max_size=25))
def test_the_copy_is_equal_whenever_it_was_made(steps: list[str]) -> None:
    """After any writes and any copies in between, one more copy makes every table the same."""
    import tempfile

    with (
        tempfile.TemporaryDirectory() as folder,
        StateStore(Path(folder) / "a") as one,
        StateStore(Path(folder) / "b") as two,
    ):
        planner = Notices(("log", "hook"), "local")
        put(two, planner, ("stale", "trigger"))  # what was there before is replaced
        one.track()
        two.track()
        for number, step in enumerate(steps, 1):
            if step == "trigger":
                put(one, planner, (f"n{number}", "trigger"))
            elif step == "deliver":
                one.delivered([pending.number for pending in one.waiting("log")[:1]], EPOCH)
            elif step == "fail":
                for pending in one.waiting("hook")[:1]:
                    one.failed(pending.number, error="x", next_at=EPOCH, now=EPOCH)
            elif step == "snapshot":
                one.apply(Commit(cursor=number, received_at=EPOCH, snapshot=_snapshot(number)), EPOCH)
            elif step == "forget":
                one.forget_cursor()
            else:
                copied(one, two)
        copied(one, two)
        assert contents(one) == contents(two)


def test_what_is_gone_is_not_noted_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notes of many snapshots that went are forgotten; a follower that is behind them copies everything and is equal."""
    monkeypatch.setattr(replica_rows, "PRUNE_EVERY", 200)
    monkeypatch.setattr(replica_rows, "PRUNE_BEHIND", 100)
    with StateStore(tmp_path / "a") as one, StateStore(tmp_path / "b") as two:
        one.track()
        two.track()
        one.apply(Commit(cursor=1, received_at=EPOCH, snapshot=_snapshot(1)), EPOCH)
        copied(one, two)
        for number in range(2, 300):
            one.apply(Commit(cursor=number, received_at=EPOCH, snapshot=_snapshot(1)), EPOCH)
        assert one.changes(0, active=True).pruned > two.position().seq
        copied(one, two)
        assert contents(one) == contents(two)
        assert one._db.execute("SELECT COUNT(*) FROM changes").fetchone()[0] < 150


class Pair:
    """Two processes, one collector, one webhook."""

    def __init__(self, folder: Path, feed_url: str, hook_url: str) -> None:
        self.folder, self.urls = folder, (feed_url, hook_url)
        self.ports = {"a": free_port(), "b": free_port()}
        self.children: dict[str, asyncio.subprocess.Process] = {}
        (folder / "token").write_text("p4ir")

    async def start(self, name: str) -> None:
        """One of them."""
        other = self.ports["b" if name == "a" else "a"]
        words = [
            name,
            str(self.folder / name),
            str(self.ports[name]),
            str(other),
            *self.urls,
            str(self.folder / "token"),
        ]
        self.children[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.cfa.pair_child", *words, cwd=ROOT
        )

    async def kill(self, name: str) -> None:
        """With -9."""
        os.kill(self.children[name].pid, signal.SIGKILL)
        await self.children.pop(name).wait()

    async def view(self, name: str) -> dict[str, Any]:
        """The ``pair`` part of its status; empty when it does not answer."""
        with contextlib.suppress(aiohttp.ClientError, KeyError, TimeoutError):
            url = f"http://127.77.7.1:{self.ports[name]}/v1/status"
            async with asyncio.timeout(1), aiohttp.ClientSession() as session, session.get(url) as answer:
                found: dict[str, Any] = (await answer.json())["delivery"]["pair"]
                return found
        return {}

    async def active(self) -> str | None:
        """Who speaks, if one does and the other has everything."""
        views = {name: await self.view(name) for name in self.children}
        found = [name for name, view in views.items() if view.get("active")]
        assert len(found) <= 1
        return found[0] if found else None

    async def settled(self) -> str:
        """One is active and the other follows it."""

        async def both() -> str | None:
            name = await self.active()
            if name is None or len(self.children) < 2:
                return name
            lag = (await self.view("b" if name == "a" else "a")).get("lag_seconds")
            return name if lag is not None and lag < 1.5 else None

        found = await eventually(both, 40)
        assert isinstance(found, str)
        return found


@contextlib.asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Pair, FakeCollector, Receiver]]:
    collector, receiver = FakeCollector(), Receiver()
    async with serving(leasing(collector)) as feed_url, serving(receiver.application()) as hook_url:
        two = Pair(folder, feed_url, hook_url)
        try:
            yield two, collector, receiver
        finally:
            for name in list(two.children):
                await two.kill(name)


def heard(receiver: Receiver) -> list[str]:
    return [one["notice"] for one in receiver.got]


@pytest.mark.proof
@pytest.mark.parametrize("order", ["told_then_killed", "killed_then_told", "fresh_second"])
async def test_one_page_whoever_dies(tmp_path: Path, order: str) -> None:
    """Killed with -9 after, or before, the page was told, or with a second that began during the incident: one trigger, one resolve."""
    async with pair(tmp_path) as (two, collector, receiver):
        await two.start("a")
        if order != "fresh_second":
            await two.start("b")
        first = await two.settled()
        collector.append(entry(1))
        if order == "killed_then_told":
            receiver.status = 503
            collector.append(entry(2, "trigger", "one"))
            await eventually(lambda: receiver.attempts >= 1)
        else:
            collector.append(entry(2, "trigger", "one"))
            await eventually(lambda: len(receiver.got) == 1)
            if order == "fresh_second":
                await two.start("b")
                await two.settled()
        await asyncio.sleep(1.2)  # the follower hears of it within a moment; it is asked for each second at the latest
        await two.kill(first)
        began = time.monotonic()
        receiver.status = 200
        assert await two.settled() != first
        taken_over = time.monotonic() - began
        await eventually(lambda: heard(receiver) == ["i-one/trigger/1"], 15)
        await two.start(first)
        collector.append(entry(3, "resolve", "one"))
        await eventually(lambda: heard(receiver) == ["i-one/trigger/1", "i-one/resolve/1"], 20)
        second = await two.settled()
        await two.kill(second)
        assert await two.settled() == first
        collector.append(entry(4, "trigger", "two"), entry(5, "resolve", "two"))
        await eventually(lambda: len(receiver.got) == 4, 15)
        await asyncio.sleep(1.0)
    assert heard(receiver) == ["i-one/trigger/1", "i-one/resolve/1", "i-two/trigger/1", "i-two/resolve/1"]
    assert taken_over < 10


@pytest.mark.proof
async def test_killed_at_random_moments_every_page_is_told_once_under_its_id(tmp_path: Path) -> None:
    """Eight times one of the two, mostly the active one, dies at a random moment while pages flow: none is lost, all are in order.

    What comes twice has the same identity both times, and is at most what was under way at the kills.
    """
    chance, cursor, rounds = random.Random(23), 1, 8
    async with pair(tmp_path) as (two, collector, receiver):
        await two.start("a")
        await two.start("b")
        active = await two.settled()
        collector.append(entry(1))
        for life in range(rounds):
            for number in range(6):
                for word in ("trigger", "update", "resolve"):
                    cursor += 1
                    collector.append(entry(cursor, word, f"{life}-{number}"))
                await asyncio.sleep(0.005)
            await asyncio.sleep(chance.uniform(0.0, 0.25))
            victim = active if chance.random() < 0.8 else {"a": "b", "b": "a"}[active]
            await two.kill(victim)
            if chance.random() < 0.5:
                await asyncio.sleep(chance.uniform(0.0, 3.0))
            await two.start(victim)
            active = await two.settled()
        wanted = {
            f"i-{life}-{number}/{word}/1"
            for life in range(rounds)
            for number in range(6)
            for word in ("trigger", "update", "resolve")
        }
        await eventually(lambda: set(heard(receiver)) == wanted, 30)
        await asyncio.sleep(1.0)
    told = heard(receiver)
    assert set(told) == wanted
    for incident in {key.split("/")[0] for key in wanted}:
        words = [key.split("/")[1] for key in told if key.startswith(f"{incident}/")]
        assert list(dict.fromkeys(words)) == ["trigger", "update", "resolve"]
    assert len(told) - len(wanted) <= rounds * 8


@pytest.mark.proof
async def test_one_that_was_frozen_does_not_speak_when_it_wakes(tmp_path: Path) -> None:
    """Stopped for longer than its lease and continued, the old one finds that it may not, and follows."""
    async with pair(tmp_path) as (two, collector, receiver):
        await two.start("a")
        await two.start("b")
        first = await two.settled()
        collector.append(entry(1))
        receiver.status = 503
        collector.append(entry(2, "trigger", "one"))  # it waits in both files
        await eventually(lambda: receiver.attempts >= 1)
        await asyncio.sleep(1.2)
        os.kill(two.children[first].pid, signal.SIGSTOP)
        other = {"a": "b", "b": "a"}[first]

        async def taken_over() -> bool:
            return bool((await two.view(other)).get("active"))

        await eventually(taken_over, 30)
        receiver.status = 200
        collector.append(entry(3, "resolve", "one"))
        await eventually(lambda: len(receiver.got) == 2, 20)
        os.kill(two.children[first].pid, signal.SIGCONT)
        assert await two.settled() == other
        await asyncio.sleep(2.0)
    assert heard(receiver) == ["i-one/trigger/1", "i-one/resolve/1"]


@pytest.mark.proof
async def test_with_two_collectors_one_of_them_may_die_as_well(tmp_path: Path) -> None:
    """The active judgement dies, then a collector, then the other judgement: each incident has one trigger and one resolve."""
    left, right, receiver = FakeCollector(), FakeCollector(), Receiver()
    async with serving(leasing(left)) as one, serving(receiver.application()) as hook_url:
        async with serving(leasing(right)) as two_url:
            two = Pair(tmp_path, f"{one},{two_url}", hook_url)
            try:
                await two.start("a")
                await two.start("b")
                first = await two.settled()
                left.append(entry(1), entry(2, "trigger", "one"))
                right.append(entry(1), entry(2, "trigger", "two"))
                await eventually(lambda: len(receiver.got) == 2, 15)
                await asyncio.sleep(1.2)
                await two.kill(first)
                assert await two.settled() != first
                await two.start(first)
                await two.settled()
                right.append(entry(3, "resolve", "two"))
                await eventually(lambda: len(receiver.got) == 3, 15)
                await asyncio.sleep(1.2)
            except BaseException:
                for name in list(two.children):
                    await two.kill(name)
                raise
        try:  # the right collector is gone
            await asyncio.sleep(3)
            second = await two.settled()
            await two.kill(second)
            assert await two.settled() == first
            left.append(entry(3, "resolve", "one"), entry(4, "trigger", "three"))
            await eventually(lambda: len(receiver.got) == 5, 30)
            await asyncio.sleep(1.0)
        finally:
            for name in list(two.children):
                await two.kill(name)
    told = heard(receiver)
    assert sorted(told) == sorted(
        ["i-one/trigger/1", "i-two/trigger/1", "i-two/resolve/1", "i-one/resolve/1", "i-three/trigger/1"]
    )
