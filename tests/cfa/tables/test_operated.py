"""Operators and the incidents of tables: silences hold pages back, what is said of an incident stays, whatever dies in between."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cfa.config import CfaConfig
from cfa.engine import Engine
from cfa.judgement import Judgement
from cfa.objective import Objective
from cfa.operators import Action, Recorded
from cfa.silence import Mute
from cfa.state import Commit, StateStore
from cfa.tables import lane as lanes
from cfa.tables.lane import TableLane
from cfa.tables.source import Entry
from tests.cfa.tables.feeding import BEGIN
from tests.cfa.tables.test_lane import ROUTES, Collector, Died, live, outcome, story
from tests.cfa.test_desk import Quiet


@pytest.fixture(autouse=True)
def at_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint at every tick; only a power cut needs fsync."""
    monkeypatch.setattr(lanes, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(lanes, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr("os.fsync", lambda _: None)


class Operators(Collector):
    """Journals an action when the reader has come to an entry, and wakes the lane, as the engine does."""

    def __init__(self, folder: Path, script: Sequence[tuple[int, str, dict[str, Any]]]) -> None:
        super().__init__(*story())
        self.folder, self.script = folder, script
        self.lane: TableLane | None = None

    def of(self, lane: TableLane) -> None:
        """The lane of this life."""
        self.lane = lane

    async def read(self, after: int, wait_seconds: float) -> list[Entry]:
        """First whatever is due by now."""
        lane = self.lane
        assert lane is not None
        for number, (due, kind, more) in enumerate(self.script, 1):
            if after < due or lane.operated.desk.applied >= number:
                continue
            subject = more.get("subject") or next((one.id for one in lane.open_incidents()), "nobody")
            action = Action(kind=kind, by="ann", **{**more, "subject": subject})  # type: ignore[arg-type]
            recorded = Recorded(number=number, after=0, at=BEGIN + 5.0 * after, action=action)
            with StateStore(self.folder / "cfa.sqlite") as journal:
                journal.apply(Commit(cursor=0, received_at=0.0, actions=(recorded,)), 0.0)
            async with lane.lock:
                await lane._act()
        return await super().read(after, wait_seconds)


def silence(name: str, until: float, **scope: str) -> tuple[str, dict[str, Any]]:
    """A silence from the beginning."""
    mute = Mute(id=name, kind="silence", scope=scope, starts_at=float(BEGIN), ends_at=until, author="ann")
    return "mute", {"subject": name, "mute": mute}


async def lived(folder: Path, *script: tuple[int, str, dict[str, Any]]) -> dict[str, Any]:
    """The outcome of one undisturbed life."""
    operators = Operators(folder, script)
    return outcome(folder, await live(folder, operators, operators.of))


def told(found: dict[str, Any]) -> list[tuple[str, int]]:
    """What the webhook was told."""
    return [(event, n) for _, event, n, place in found["told"] if place == "webhook"]


def lines(incident: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Its timeline without times."""
    return [(line["event"], line["reason"], line["by"]) for line in incident["timeline"] if line["reason"] != "figures"]


@pytest.mark.parametrize("scope", [{"table": "orders-*"}, {"region": "local"}])
async def test_a_silenced_table_pages_nobody(tmp_path: Path, scope: dict[str, str]) -> None:
    """Its whole life lies in the silence: nobody hears of it, and the record has all of it."""
    found = await lived(tmp_path, (3, *silence("s-1", BEGIN + 9000, **scope)))
    assert told(found) == []
    (incident,) = found["incidents"]
    assert (incident["state"], incident["muted_by"], incident["paged_at"]) == ("closed", ("s-1",), None)
    assert [line for line in lines(incident) if line[0] == "muted"] != []


async def test_another_tables_silence_mutes_nothing(tmp_path: Path) -> None:
    """Nor does one of a zone: tables are in all of them."""
    found = await lived(
        tmp_path, (3, *silence("s-1", BEGIN + 9000, table="carts-*")), (3, *silence("s-2", BEGIN + 9000, zone="az1"))
    )
    assert told(found) == [("resolve", 1), ("trigger", 1)]


async def test_a_page_is_owed_when_the_silence_ends(tmp_path: Path) -> None:
    """It is still open then: whoever is paged is told of the end too."""
    found = await lived(tmp_path, (3, *silence("s-1", BEGIN + 80.0, table="orders-7")))
    assert told(found) == [("resolve", 1), ("trigger", 1)]
    (incident,) = found["incidents"]
    assert incident["paged_at"] == BEGIN + 80.0
    assert ("paged", "silence_ended", None) in lines(incident)


SAID: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (3, *silence("s-1", BEGIN + 70.0, table="orders-7")),
    (15, "acknowledge", {"text": "on it"}),
    (16, "note", {"text": "a bad deploy"}),
)


async def test_what_is_said_stands_in_the_record(tmp_path: Path) -> None:
    """Acknowledged by whom, and the notes; an acknowledgement is told to whoever was paged."""
    found = await lived(tmp_path, *SAID)
    (incident,) = found["incidents"]
    assert incident["acknowledged_by"] == "ann"
    assert [(line["event"], line["note"]) for line in incident["timeline"] if line["by"]] == [
        ("acknowledged", "on it"),
        ("noted", "a bad deploy"),
    ]
    assert told(found) == [("resolve", 1), ("trigger", 1), ("update", 1)]


async def test_resolved_by_hand_a_new_failure_opens_another(tmp_path: Path) -> None:
    """What was counted before is spent; the table goes on failing, so it is found again."""
    found = await lived(tmp_path, (14, "resolve", {"text": "rolled back"}))
    newest, first = found["incidents"]
    assert (first["closed_reason"], lines(first)[-1]) == ("resolved_by_hand", ("closed", "resolved_by_hand", "ann"))
    assert newest["closed_reason"] == "recovered"
    assert sorted(event for _, event, _, place in found["told"] if place == "log") == 2 * ["resolve"] + 2 * ["trigger"]


async def test_a_lane_that_reads_everything_again_does_everything_again(tmp_path: Path) -> None:
    """Without any checkpoint the journal's places give the same incidents, the same lines at the same times, no new notice."""
    script = (*SAID, (17, "resolve", {"text": "rolled back"}))
    before = await lived(tmp_path, *script)
    shutil.rmtree(tmp_path / "tables")
    after = await lived(tmp_path)
    assert after == before


async def test_death_between_any_two_steps_loses_nothing_that_was_said(tmp_path: Path) -> None:
    """One death a life, before or after a commit, a checkpoint or a tick: told once each, the same lines in the record."""
    (tmp_path / "calm").mkdir()
    calm = await lived(tmp_path / "calm", *SAID)
    folder, deaths = tmp_path / "killed", 0
    folder.mkdir()
    operators = Operators(folder, SAID)
    while True:
        left = 2 + deaths % 5

        def dies(work: Any) -> Any:
            def counted(*args: Any, **more: Any) -> Any:
                nonlocal left
                found = None
                for step in (0, 1):
                    left -= 1
                    if left == 0:
                        raise Died
                    if step == 0:
                        found = work(*args, **more)
                return found

            return counted

        def break_it(lane: TableLane) -> None:
            operators.of(lane)
            lane._checkpoints.write = dies(lane._checkpoints.write)  # type: ignore[method-assign]
            lane._store.apply = dies(lane._store.apply)  # type: ignore[method-assign]
            lane.fleet.tick = dies(lane.fleet.tick)  # type: ignore[method-assign]

        lane = await live(folder, operators, break_it)
        if operators.ended.is_set():
            break
        deaths += 1
        assert deaths < 200
    assert deaths > 5
    found = outcome(folder, lane)
    assert found["told"] == calm["told"]
    assert [lines(one) for one in found["incidents"]] == [lines(one) for one in calm["incidents"]]
    assert found["views"] == calm["views"]


async def test_an_action_asked_of_the_judgement_is_in_the_tables_incident_when_it_is_answered(tmp_path: Path) -> None:
    """One journal, one API: the lane takes it at once, between two ticks."""
    entries, feeding = story()
    collector = Collector(entries[:15], feeding)
    with StateStore(tmp_path / "cfa.sqlite") as store:
        judged = ("local", Objective(0.9999, {}), 1.0, None)
        lane = await TableLane.open(tmp_path / "tables", store, collector, judged, ROUTES)
        engine = await Engine.open(CfaConfig(), store, Quiet(), Judgement, ("log",), clock=lambda: BEGIN + 76.0)
        engine.beside, engine.acted = lane.open_incidents, lane.act
        lives = [asyncio.ensure_future(engine.run()), asyncio.ensure_future(lane.run())]
        await collector.ended.wait()
        (incident,) = lane.open_incidents()
        for kind in ("acknowledge", "note", "resolve"):
            done = await engine.act(Action(kind=kind, by="ann", subject=incident.id, text="x"))  # type: ignore[arg-type]
            assert isinstance(done, Recorded)
        found = store.incident(incident.id)
        assert found is not None
        assert (found.acknowledged_by, found.closed_reason) == ("ann", "resolved_by_hand")
        assert [line.by for line in found.timeline][-3:] == ["ann"] * 3
        assert lane.open_incidents() == []
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)


async def test_what_an_earlier_life_opened_is_nobody_elses_to_end_before_it_is_repeated(tmp_path: Path) -> None:
    """The lane lost its checkpoint: its open incident is still its own, and the same one once the counters were read again."""
    entries, feeding = story()
    judged = ("local", Objective(0.9999, {}), 1.0, None)

    async def life(folder: str, store: StateStore, some: Any) -> tuple[list[str], list[str]]:
        collector = Collector(some, feeding)
        lane = await TableLane.open(tmp_path / folder, store, collector, judged, ROUTES)
        before = [one.id for one in lane.open_incidents()]
        running = asyncio.ensure_future(lane.run())
        await collector.ended.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return before, [one.id for one in lane.open_incidents()]

    with StateStore(tmp_path / "cfa.sqlite") as store:
        (none, (opened,)) = await life("tables", store, entries[:15])
        again, after = await life("another", store, entries[:15])
    assert (none, again, after) == ([], [opened], [opened])
