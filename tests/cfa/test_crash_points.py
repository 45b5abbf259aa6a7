"""Engine, outbox and second routes together, killed at every step: before and after each write, each read, each delivery.

Every call of the store and every send of a destination is a point at which a life may end, on either side of it. The points of
an undisturbed run are counted, and then one run is killed at each of them and started again on what it left behind.
"""

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cfa import dispatch as dispatch_module
from cfa.config import CfaConfig
from cfa.destinations.port import DeliveryFailed
from cfa.dispatch import Dispatch
from cfa.engine import Engine
from cfa.notices import Notice
from cfa.outbox import Outbox
from cfa.routes import Routes
from cfa.state import StateStore
from collector.series import FeedEntry
from tests.cfa.shell_world import ScriptedJudgement
from tests.cfa.test_engine import TIMELINE

T = TypeVar("T")
CONFIG = CfaConfig.model_validate(
    {
        "destinations": [
            {"kind": "webhook", "url": "https://x.test", "name": "hook", "severities": ["page", "ticket"]},
            {
                "kind": "webhook",
                "url": "https://x.test",
                "name": "shut",
                "fallback": "chat",
                "fallback_after_attempts": 1,
                "broken_after_seconds": 1e6,
            },
            {"kind": "webhook", "url": "https://x.test", "name": "chat", "severities": ["ticket"]},
        ],
        "routes": [{"to": ["hook", "shut"]}],
    }
)
SPEED = 100.0
"""The deliveries' clock goes so much faster, so that retries do not make the test wait."""


class Killed(BaseException):
    """The process is gone."""


class Mortality:
    """Counts the points; the life ends at the given one, and nothing happens after."""

    def __init__(self, ends_at: int | None = None) -> None:
        self.ends_at, self.count, self.dead = ends_at, 0, False
        self.last = ""

    def point(self, what: str) -> None:
        """One point."""
        if self.dead:
            raise Killed
        self.count += 1
        if self.count == self.ends_at:
            self.dead, self.last = True, what
            raise Killed


class MortalStore(StateStore):
    """Every call is two points: not done yet, and durable."""

    mortality: Mortality

    async def run(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Does it, or dies."""
        name = getattr(work, "__name__", "?")
        self.mortality.point(f"before {name}")
        done = await super().run(work, *args, **kwargs)
        self.mortality.point(f"after {name}")
        return done


class MortalPlace:
    """A destination outside of the process: what it took stays taken."""

    refresh_seconds: float | None = None

    def __init__(self, name: str, taken: list[str], mortality: Mortality, *, shut: bool = False) -> None:
        self.name, self.taken, self.mortality, self.shut = name, taken, mortality, shut

    async def send(self, notice: Notice, now: float) -> None:
        """Takes it; dies before it did, or before anybody knew."""
        self.mortality.point(f"before send {self.name}")
        await asyncio.sleep(0)
        if self.shut:
            raise DeliveryFailed("HTTP 503")
        self.taken.append(notice.key)
        self.mortality.point(f"after send {self.name}")

    async def close(self) -> None:
        """Nothing is held."""


class EndlessFeed:
    """The timeline, two entries at a time; at its end nothing more comes."""

    async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
        """What comes after the cursor."""
        found = [one for one in TIMELINE if one.cursor > after][:2]
        if not found:
            await asyncio.sleep(wait_seconds)
        return found


class World:
    """What outlives a process: its file and the destinations."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s"
        self.taken: dict[str, list[str]] = {name: [] for name in ("log", "hook", "shut", "chat")}
        self.in_doubt: dict[str, set[str]] = {name: set() for name in self.taken}
        """What a destination had taken when the life ended, without a mark in the file."""

    async def live(self, mortality: Mortality) -> ScriptedJudgement | None:
        """One life: until it is killed (None), or until everything is judged and told."""
        with MortalStore(self.path) as store:
            store.mortality = mortality
            engine = None
            try:
                engine = await Engine.open(
                    CONFIG, store, EndlessFeed(), ScriptedJudgement, Routes.of(CONFIG.destinations, CONFIG.routes)
                )
                engine._save_period = 0.0
                places = [MortalPlace(n, t, mortality, shut=n == "shut") for n, t in self.taken.items()]
                began = time.time()
                clock = lambda: began + (time.time() - began) * SPEED  # noqa: E731
                outbox = Outbox(store, places, clock=clock, chance=lambda: 0.0)
                engine.on_told(outbox.wake)
                work = (engine.run(), outbox.run(), Dispatch(CONFIG, store, outbox, clock=clock).run())
                await self._until_told(store, engine, outbox, [asyncio.ensure_future(one) for one in work])
            except (Killed, BaseExceptionGroup):
                if not mortality.dead:
                    raise
                return None
            assert isinstance(engine.judge, ScriptedJudgement)
            return engine.judge

    async def _until_told(
        self, store: StateStore, engine: Engine, outbox: Outbox, tasks: list[asyncio.Future[None]]
    ) -> None:
        try:
            async with asyncio.timeout(30):
                while not (engine.cursor == len(TIMELINE) and self._all_told(store)):
                    for task in tasks:
                        if task.done():
                            task.result()
                    outbox.wake()
                    await asyncio.sleep(0.002)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, (Killed, BaseExceptionGroup)):
                raise end

    def note_doubts(self) -> None:
        """To be asked between two lives."""
        with StateStore(self.path) as store:
            for name, taken in self.taken.items():
                self.in_doubt[name] = {one.notice.key for one in store.waiting(name)} & set(taken)

    def _all_told(self, store: StateStore) -> bool:
        rows = store._db.execute("SELECT destination, delivered_at FROM outbox").fetchall()
        waits = {name for name, delivered_at in rows if delivered_at is None}
        followed = sum(name == "chat" for name, _ in rows) == 6
        return waits <= {"shut"} and followed


async def disturbed(at: int | None) -> tuple[Mortality, World, ScriptedJudgement]:
    """A run that is killed at this point, if there is one, and then a life to the end."""
    with tempfile.TemporaryDirectory() as folder:
        world, mortality = World(Path(folder)), Mortality(at)
        judge = await world.live(mortality)
        if judge is None:
            world.note_doubts()
            judge = await world.live(Mortality())
            assert judge is not None
        with StateStore(world.path) as store, contextlib.suppress(KeyError):
            ids = [(one["incident"], one["event"], one["n"], one["destination"]) for one in store.pages(0.0)]
            assert len(ids) == len(set(ids)) == 6 * 4
            assert {one.id: one.state for one in store.incidents()} == dict.fromkeys(
                ("i-one", "i-two", "i-three"), "closed"
            )
        return mortality, world, judge


def check(mortality: Mortality, world: World, judge: ScriptedJudgement, calm: ScriptedJudgement) -> None:
    """Nothing lost, nothing twice except what a destination took while its mark was not yet written, and all in order."""
    where = f"killed {mortality.last} (point {mortality.ends_at})"
    assert judge.snapshot() == calm.snapshot(), where
    pages = {"i-one": ["trigger", "update", "resolve"], "i-two": ["trigger", "update", "resolve"]}
    for name in ("log", "hook", "chat"):
        taken = world.taken[name]
        for incident, words in pages.items():
            mine = [key.split("/")[1] for key in taken if key.startswith(f"{incident}/")]
            assert list(dict.fromkeys(mine)) == words, where
        twice = {key for key, times in Counter(taken).items() if times > 1}
        assert max(Counter(taken).values()) <= 2, where
        assert twice <= world.in_doubt[name], where
    tickets = [key for key in world.taken["hook"] if key.startswith("i-three/")]
    assert list(dict.fromkeys(tickets)) == ["i-three/ticket/1", "i-three/ticket/2"], where
    assert world.taken["shut"] == []


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_module, "LOOK_SECONDS", 0.005)


async def test_killed_at_some_points_nothing_is_lost_or_told_twice() -> None:
    """A spread of the points, for every day."""
    calm = await disturbed(None)
    for at in range(3, calm[0].count, max(1, calm[0].count // 25)):
        mortality, world, judge = await disturbed(at)
        check(mortality, world, judge, calm[2])


@pytest.mark.proof
async def test_killed_at_every_point_nothing_is_lost_or_told_twice() -> None:
    """All of them."""
    calm = await disturbed(None)
    assert calm[0].count > 100
    for at in range(1, calm[0].count + 1):
        mortality, world, judge = await disturbed(at)
        check(mortality, world, judge, calm[2])
