"""The engine with the real judgement over a region in virtual time: a crash changes nothing that people are told."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cfa.config import CfaConfig
from cfa.engine import Engine
from cfa.judgement import Judgement
from cfa.state import StateStore
from collector.series import FeedEntry
from tests.cfa.world import START, World, dns_empty, power_off

CONFIG = CfaConfig()


@cache
def feed() -> tuple[FeedEntry, ...]:
    """A zone's power goes for half a minute, and while it recovers an endpoint's name."""
    world = World()
    power_off(world, 15, 25, "az1")
    dns_empty(world, 30, 20, "fips")
    return tuple(world.run(80))


class Killed(BaseException):
    """The process is gone."""


class FeedOfLives:
    """Gives so many batches in each life, of changing size."""

    def __init__(self, batches: int, chance: random.Random) -> None:
        self.batches, self.chance = batches, chance

    async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
        """The next batch, or the end of this life."""
        self.batches -= 1
        found = [one for one in feed() if one.cursor > after][: self.chance.randrange(1, 40)]
        if not found or self.batches < 0:
            raise Killed
        return found


async def live(store: StateStore, batches: int, chance: random.Random, *, saves: float) -> bool:
    """One life that is killed; whether it had come to the feed's end."""
    source = FeedOfLives(batches, chance)
    engine = await Engine.open(CONFIG, store, source, Judgement, ("log", "hook"))
    engine._snapshot_due = lambda: chance.random() < saves  # type: ignore[method-assign]
    commit = engine._commit

    async def looked_at(events: Any, *, snapshot: bool) -> None:
        if chance.random() < 0.2:
            engine.judge.status(engine.now())  # the API looks at any time, and looking must change nothing
        await commit(events, snapshot=snapshot and source.batches >= 0)  # a killed process saves nothing more

    engine._commit = looked_at  # type: ignore[method-assign]
    try:
        await engine.run()
    except Killed:
        return engine.cursor == feed()[-1].cursor
    raise AssertionError("every life ends")


def told(store: StateStore) -> list[tuple[Any, ...]]:
    names = ("incident", "event", "n", "at", "destination")
    return sorted(tuple(page[name] for name in names) for page in store.pages(0.0))


async def lives(path: Path, seed: int, batches: int, saves: float) -> tuple[list[tuple[Any, ...]], list[Any], int]:
    """Lives until the feed is used up: what was told, how the incidents ended, and how many lives it took."""
    chance, count = random.Random(seed), 1
    with StateStore(path) as store:
        while not await live(store, batches, chance, saves=saves):
            count += 1
        return told(store), [one.to_json() for one in store.incidents()], count


@pytest.mark.proof
@pytest.mark.parametrize(("seed", "batches", "saves"), [(1, 20, 1.0), (2, 30, 0.2)])
async def test_however_often_it_is_killed_people_are_told_the_same(
    tmp_path: Path, seed: int, batches: int, saves: float
) -> None:
    """Killed at any batch, with snapshots at any batch, the pages and the incidents are those of an undisturbed life."""
    calm = await lives(tmp_path / "calm", 0, 10**6, 0.0)
    torn = await lives(tmp_path / "torn", seed, batches, saves)
    assert calm[2] == 1
    assert torn[2] > 2
    assert torn[:2] == calm[:2]
    triggers = [at - START for _, event, _, at, destination in calm[0] if (event, destination) == ("trigger", "log")]
    assert len(triggers) >= 1
    assert triggers[0] < 25
