"""The lane of tables: whatever moment it dies at, nobody is paged twice, no page is lost, no count forgotten or counted twice."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfa.objective import Objective
from cfa.ports import FeedGap
from cfa.routes import Routes
from cfa.state import StateStore
from cfa.tables import lane as lanes
from cfa.tables.api import TablesApi
from cfa.tables.lane import TableLane
from cfa.tables.source import Entry
from cfa.tables.views import table_view
from collector.column_batch import Frame, Increments
from tests.cfa.tables.feeding import BEGIN, Feeding

TABLES = 60
ROUTES = Routes.everywhere(("log", "webhook"))


class Died(BaseException):
    """Stands for kill -9: nobody catches it."""


class Collector:
    """Keeps all entries; a reader gets a few at a time, then nothing for ever."""

    def __init__(self, entries: list[Entry], feeding: Feeding) -> None:
        self.entries, self.feeding = entries, feeding
        self.ended = asyncio.Event()
        self.oldest = 1

    async def read(self, after: int, wait_seconds: float) -> list[Entry]:
        """As the HTTP source."""
        if after < self.oldest - 1:
            raise FeedGap(self.oldest)
        found = [entry for entry in self.entries if entry[0].cursor > after][:3]
        if not found:
            self.ended.set()
            await asyncio.Event().wait()
        return found

    async def series(self, first: int) -> Frame | None:
        """Ten names at a time."""
        return self.feeding.names(first, 10)


@pytest.fixture(autouse=True)
def at_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint at every tick; only a power cut needs fsync."""
    monkeypatch.setattr(lanes, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(lanes, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr("os.fsync", lambda _: None)


def story() -> tuple[list[Entry], Feeding]:
    """A table fails for forty seconds, all of it recovers; two entries a tick."""
    feeding, dice, entries = Feeding(), np.random.default_rng(2), []
    feeding.register([f"orders-{n}" for n in range(TABLES)])
    numbers = np.arange(2 * TABLES, dtype=np.uint32)
    for n in range(34):
        at = BEGIN + 5 * n + 1.0
        fails = np.where((numbers // 2 == 7) & (10 <= n < 18), 1.0, 0.0)
        bad = dice.binomial(40, fails).astype(np.uint32)
        entries.append(
            feeding.dense_entry(at, [Increments("success", numbers, 40 - bad), Increments("timeout", numbers, bad)])
        )
    return entries, feeding


async def live(folder: Path, collector: Collector, break_it: Callable[[TableLane], None] = lambda _: None) -> TableLane:
    """One life of the lane, to the end of the feed or to its death."""
    with StateStore(folder / "cfa.sqlite") as store:
        judged = ("local", Objective(0.9999, {}), 1.0, None)
        lane = await TableLane.open(folder / "tables", store, collector, judged, ROUTES)
        break_it(lane)
        collector.ended.clear()
        running, ended = asyncio.ensure_future(lane.run()), asyncio.ensure_future(collector.ended.wait())
        await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, Died):
            await running
        return lane


def outcome(folder: Path, lane: TableLane) -> dict[str, Any]:
    """What people were told, what is in the store, and what the tables show."""
    with StateStore(folder / "cfa.sqlite") as store:
        told = [(p["incident"], p["event"], p["n"], p["destination"]) for p in store.pages(0.0)]
        incidents = [one.to_json() for one in store.incidents()]
    views = [table_view(lane.fleet, subject) for subject in range(TABLES)]
    return {"told": sorted(told), "incidents": incidents, "views": views, "cursor": lane.fleet.cursor}


async def test_one_page_one_resolve(tmp_path: Path) -> None:
    """Undisturbed: the table is paged once, and its end is told once, to every destination."""
    entries, feeding = story()
    found = outcome(tmp_path, await live(tmp_path, Collector(entries, feeding)))
    assert [(event, n, place) for _, event, n, place in found["told"]] == [
        ("resolve", 1, "log"),
        ("resolve", 1, "webhook"),
        ("trigger", 1, "log"),
        ("trigger", 1, "webhook"),
    ]
    assert [(one["scope"], one["state"]) for one in found["incidents"]] == [({"table": "orders-7"}, "closed")]


async def test_death_between_any_two_steps_changes_nothing(tmp_path: Path) -> None:
    """It dies before or after each commit, each checkpoint and each entry, one death a life: in the end all is as without any."""
    entries, feeding = story()
    (tmp_path / "calm").mkdir()
    undisturbed = outcome(tmp_path / "calm", await live(tmp_path / "calm", Collector(entries, feeding)))
    folder, deaths = tmp_path / "killed", 0
    folder.mkdir()
    collector, step = Collector(entries, feeding), 0
    while True:
        left = 2 + step % 5
        step += 1

        def count(work: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*args: Any, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Died
                found = work(*args, **more)
                left -= 1
                if left == 0:
                    raise Died
                return found

            return counted

        def break_it(lane: TableLane) -> None:
            lane._checkpoints.write = count(lane._checkpoints.write)  # type: ignore[method-assign]
            lane._store.apply = count(lane._store.apply)  # type: ignore[method-assign]
            lane.fleet.tick = count(lane.fleet.tick)  # type: ignore[method-assign]

        lane = await live(folder, collector, break_it)
        if collector.ended.is_set():
            break
        deaths += 1
        assert deaths < 200
    assert deaths > 5
    assert outcome(folder, lane) == undisturbed


async def test_what_the_collector_no_longer_keeps_is_a_gap_and_not_the_end(tmp_path: Path) -> None:
    """A reader that comes too late goes on with what there is, and says so."""
    entries, feeding = story()
    collector = Collector(entries, feeding)
    collector.oldest = 9
    lane = await live(tmp_path, collector)
    assert lane.fleet.cursor == len(entries)
    assert lane.figures.gaps == 1
    good = sum(side["30d"]["good"] + side["30d"]["bad"] for side in table_view(lane.fleet, 0)["sides"].values())  # type: ignore[attr-defined]
    assert good <= 2 * 40 * (len(entries) - 8)


async def test_a_checkpoint_that_cannot_be_used_is_moved_aside(tmp_path: Path) -> None:
    """Damage costs the windows, never the judging of what comes next; the files are kept for whoever wants to know."""
    entries, feeding = story()
    await live(tmp_path, Collector(entries, feeding))
    (tmp_path / "tables" / "manifest.bin").write_bytes(b"nonsense")
    lane = await live(tmp_path, Collector(entries, feeding))
    assert lane.fleet.cursor == len(entries)
    assert any(name.startswith("tables.unusable-") for name in os.listdir(tmp_path))  # noqa: PTH208 -- not in a coroutine


async def test_questions(tmp_path: Path) -> None:
    """The most burned tables first, a table by its name, and refusals that say what would be right."""
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    entries, feeding = story()
    lane = await live(tmp_path, Collector(entries, feeding))
    app = web.Application()
    TablesApi(lane).add_routes(app.router)
    async with TestClient(TestServer(app)) as client:
        told = await (await client.get("/v1/tables?order=burned&limit=3")).json()
        assert [one["table"] for one in told["tables"]] == ["orders-7"]
        assert told["tables_total"] == TABLES
        write = told["tables"][0]["sides"]["write"]["1h"]
        assert write["bad"] == 320
        assert write["verdict"] == "breach"
        assert write["burn_rate"] == pytest.approx(write["bad"] / (write["good"] + write["bad"]) / 1e-4)
        assert told["services"][0]["sides"]["read"]["30d"]["bad"] == 320
        one = await (await client.get("/v1/tables/orders-8")).json()
        assert one["views"][0]["sides"]["read"]["5m"]["availability"] == 1.0
        assert (await client.get("/v1/tables/nobody")).status == 404
        assert (await client.get("/v1/tables?order=size")).status == 400
        assert (await client.get("/v1/tables?limit=0")).status == 400
