"""Silences, maintenance, acknowledgements: what they mute, whom they owe a page, and that a replay gives the same."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from cfa.acting import Actions
from cfa.api import Api
from cfa.config import CfaConfig
from cfa.desk import Desk
from cfa.engine import Engine
from cfa.incident import IncidentEvent, Notify
from cfa.judgement import Judgement
from cfa.metrics import CfaMetrics
from cfa.operators import Action, Recorded, malformed, refusal
from cfa.outbox import Outbox
from cfa.policy import CALM, KINDS, SPENT
from cfa.report.compute import Several
from cfa.silence import Mute, problem_of, widened
from cfa.state import Commit, StateStore
from collector.series import FeedEntry
from tests.cfa.shell_world import EPOCH, incident
from tests.cfa.world import START, World, path_errors, router_errors

ZONES_OF = {"az1-router-1": "az1", "az2-node-1": "az2", "az1-canary-1": "az1"}


def place(scope: Any) -> dict[str, str]:
    return widened(scope, "local", ZONES_OF)


def mute(scope: dict[str, str], **changes: Any) -> Mute:
    known: dict[str, Any] = {
        "id": "s-1",
        "kind": "silence",
        "starts_at": EPOCH,
        "ends_at": EPOCH + 100,
        "author": "ann",
    }
    return Mute(scope=scope, **{**known, **changes})


@pytest.mark.parametrize(
    ("muted", "scope", "explained"),
    [
        ({"zone": "az1"}, {"zone": "az1"}, True),
        ({"zone": "az1"}, {"zone": "az1", "endpoint": "fips"}, True),
        ({"zone": "az1"}, {"router": "az1-router-1"}, True),
        ({"zone": "az1"}, {"observer": "az1-canary-1"}, True),
        ({"zone": "az1"}, {"observer_zone": "az1"}, True),
        ({"zone": "az1"}, {"region": "local"}, False),
        ({"zone": "az1"}, {"endpoint": "fips"}, False),
        ({"zone": "az1"}, {"node": "az2-node-1"}, False),
        ({"zone": "az1"}, {"node": "unheard-of"}, False),
        ({"zone": "az1", "endpoint": "fips"}, {"zone": "az1"}, False),
        ({"table": "orders-*"}, {"table": "orders-eu", "partition": "p1"}, True),
        ({"table": "orders", "partition": "p1"}, {"table": "orders"}, False),
        ({"region": "local"}, {"router": "az1-router-1"}, True),
    ],
)
def test_a_mute_explains_only_what_lies_wholly_inside_it(
    muted: dict[str, str], scope: dict[str, str], explained: bool
) -> None:
    """zone=az1 explains the zone, an endpoint in it and its router, never the region or an endpoint everywhere."""
    assert mute(muted).explains(incident(scope=scope), place(scope)) is explained


def test_a_mute_of_writes_or_of_tickets_explains_no_more_than_that() -> None:
    """Reads beside the writes, or a page instead of a ticket, are more than was muted."""
    one = incident(operations=("write",), severity="ticket")
    narrow = mute({"zone": "az1"}, operations=("write",), severity="ticket")
    assert narrow.explains(one, place(one.scope))
    assert not narrow.explains(replace(one, operations=("read", "write")), place(one.scope))
    assert not narrow.explains(replace(one, severity="page"), place(one.scope))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scope": {"zones": "az1"}}, "no scope has this key"),
        ({"scope": {"partition": "p1"}}, "with its table"),
        ({"scope": {"table": "t"}, "kind": "maintenance"}, "maintenance is of a zone, router or node"),
        ({"ends_at": EPOCH}, "over already"),
        ({"ends_at": EPOCH + 31 * 86_400}, "at most 30 days"),
        ({"starts_at": EPOCH + 91 * 86_400, "ends_at": EPOCH + 92 * 86_400}, "90 days ahead"),
        ({"operations": ("scan",)}, "operations are read and write"),
    ],
)
def test_a_mute_that_would_not_do_what_is_meant_is_refused(changes: dict[str, Any], problem: str) -> None:
    """Unknown keys, no end, too long: each with the reason."""
    assert problem in str(problem_of(replace(mute({"zone": "az1"}), **changes), EPOCH))


def event(name: str, at: float, notify: Notify | None, **changes: Any) -> IncidentEvent:
    one = incident(at=EPOCH, **changes)
    return IncidentEvent(incident=one, event=name, at=EPOCH + at, reason="r", notify=notify)  # type: ignore[arg-type]


def told(events: Iterable[IncidentEvent]) -> list[tuple[str, str | None]]:
    return [(one.event, one.notify) for one in events]


def desk(*mutes: Mute) -> Desk:
    found = Desk(place)
    found.mutes = {one.id: one for one in mutes}
    return found


def test_a_muted_page_is_owed_and_told_when_the_silence_ends() -> None:
    """Nobody is told while it lasts; when it ends and the incident is open, the page goes out; its end is told."""
    one = desk(mute({"zone": "az1"}))
    assert told(one.tell([event("paged", 1, "trigger"), event("updated", 2, "update")], EPOCH + 2)) == [
        ("muted", None),
        ("updated", None),
    ]
    assert one.view(incident()).paged_at is None
    assert told(one.tell([], EPOCH + 99)) == []
    owed = one.tell([], EPOCH + 100)
    assert told(owed) == [("paged", "trigger")]
    assert (owed[0].reason, owed[0].incident.paged_at) == ("silence_ended", EPOCH + 100)
    assert told(one.tell([event("closed", 101, "resolve", state="closed")], EPOCH + 101)) == [("closed", "resolve")]


def test_what_is_over_before_its_silence_was_never_told() -> None:
    """Neither its page nor its end."""
    one = desk(mute({"zone": "az1"}))
    one.tell([event("paged", 1, "trigger")], EPOCH + 1)
    assert told(one.tell([event("closed", 9, "resolve", state="closed")], EPOCH + 9)) == [("closed", None)]
    assert told(one.tell([], EPOCH + 200)) == []


def test_an_incident_that_outgrows_its_silence_pages_at_once() -> None:
    """The change that makes it broader is followed by the page, in the same step."""
    one = desk(mute({"zone": "az1"}))
    one.tell([event("paged", 1, "trigger")], EPOCH + 1)
    grown = one.tell([event("updated", 5, "update", scope={"region": "local"})], EPOCH + 5)
    assert told(grown) == [("updated", None), ("paged", "trigger")]
    assert grown[-1].reason == "broader_than_silence"


def test_the_end_is_told_to_whoever_was_paged_whatever_is_silenced_by_then() -> None:
    """A silence made after the page mutes updates, not the resolve."""
    one = desk()
    one.tell([event("paged", 1, "trigger")], EPOCH + 1)
    one.mutes["s-1"] = mute({"zone": "az1"})
    assert told(one.tell([event("updated", 2, "update")], EPOCH + 2)) == [("updated", "update"), ("muted", None)]
    assert told(one.tell([event("updated", 3, "update")], EPOCH + 3)) == [("updated", None)]
    assert told(one.tell([event("closed", 9, "resolve", state="closed")], EPOCH + 9)) == [("closed", "resolve")]


def test_an_acknowledgement_stays_until_the_next_page() -> None:
    """Who took it is part of the incident; when it is opened again, somebody must take it anew."""
    one = desk()
    one.tell([event("paged", 1, "trigger")], EPOCH + 1)
    took = one.take(Action(kind="acknowledge", by="bob", subject="i-one", text="mine"), EPOCH + 2)
    assert told(took) == [("acknowledged", "update")]
    assert took[0].incident.acknowledged_by == "bob"
    assert took[0].incident.timeline[-1].note == "mine"
    one.tell([event("closed", 3, "resolve", state="closed"), event("reopened", 4, None)], EPOCH + 4)
    again = one.tell([event("paged", 4, "trigger")], EPOCH + 4)
    assert (told(again), again[0].incident.acknowledged_by) == ([("paged", "trigger")], None)


def test_the_redundancy_is_spent_elsewhere_only() -> None:
    """Maintenance of a zone makes every other place page faster, not the zone itself; the evidence is not asked less."""
    one = desk(mute({"zone": "az1"}, kind="maintenance"))
    assert one.redundancy_spent({"zone": "az2"}, EPOCH + 1)
    assert not one.redundancy_spent({"router": "az1-router-1"}, EPOCH + 1)
    assert not one.redundancy_spent({"zone": "az2"}, EPOCH + 100)
    for kind in KINDS.values():
        assert SPENT.sustained(kind) <= CALM.sustained(kind)
    assert SPENT.share < CALM.share
    assert not hasattr(SPENT, "log_threshold")


def test_refusals_say_what_to_do() -> None:
    """Each has a word for programs and a sentence for people."""
    known = {"i-one": incident(), "i-old": incident("old", state="closed", closed_reason="recovered")}
    mutes = {"s-1": mute({"zone": "az1"})}

    def reason(**action: Any) -> str | None:
        found = refusal(Action(**{"by": "bob", "subject": "i-one", **action}), EPOCH + 1, known, mutes)
        return found and found.reason

    assert reason(kind="acknowledge") is None
    assert reason(kind="acknowledge", subject="i-none") == "unknown_incident"
    assert reason(kind="resolve", subject="i-old") == "not_open"
    assert reason(kind="note", subject="i-old", text="root cause: x") is None
    assert reason(kind="note") == "bad_value"
    assert reason(kind="note", text="a\x00b") == "bad_value"
    assert reason(kind="acknowledge", by=" ") == "bad_value"
    assert reason(kind="expire", subject="s-9") == "unknown_silence"
    assert reason(kind="mute", subject="s-1", mute=mute({"zone": "az1"})) == "exists"
    assert malformed(Action(kind="note", by="bob", subject="i", text="x" * 3000), EPOCH) is not None


# --- replay ----------------------------------------------------------------------------------------------------------------


@cache
def feed() -> tuple[FeedEntry, ...]:
    """A router fails, is well, fails again within a minute; then an endpoint in one zone."""
    world = World()
    router_errors(world, 8, 8, "az1-router-1")
    router_errors(world, 32, 6, "az1-router-1")
    path_errors(world, 45, 8, "az2", "fips")
    return tuple(world.run(68))


def script(seed: int) -> list[tuple[int, Action]]:
    """Actions, each after the entry at an index."""
    dice, entries = random.Random(seed), feed()
    first = "i-20251124-160010-router-az1-router-1"
    actions = [
        Action(kind="mute", by="ann", subject="s-1", mute=mute({"zone": "az1"}, starts_at=START, ends_at=START + dice.uniform(9, 40))),
        Action(kind="mute", by="ann", subject="m-1", mute=mute({"zone": "az1"}, id="m-1", kind="maintenance", starts_at=START, ends_at=START + 60)),
        Action(kind="expire", by="ann", subject="s-1"),
        Action(kind="acknowledge", by="bob", subject=first),
        Action(kind="note", by="bob", subject=first, text="hm"),
        Action(kind="resolve", by="bob", subject=first),
    ]  # fmt: skip
    places = sorted(dice.randrange(len(entries)) for _ in actions)
    return list(zip(places, actions, strict=True))


def judged(kills: list[tuple[int, int]], seed: int) -> list[Any]:
    """All events of the feed with the script's actions; killed at (entry, how many snapshots to go back)."""
    entries, todo = feed(), script(seed)
    journal: list[Recorded] = []
    judge, events, index = Judgement(CfaConfig()), {}, 0
    snapshots = [(0, judge.snapshot())]
    kills = sorted(kills)
    reached = 0
    while index < len(entries):
        if kills and index >= kills[0][0]:
            _, back = kills.pop(0)
            index, data = snapshots[max(0, len(snapshots) - 1 - back)]
            judge = Judgement.restore(CfaConfig(), data)
        acting = Actions(judge)
        acting.follow([one for one in journal if one.number > judge.applied_actions])
        stop = min(kills[0][0] if kills else len(entries), len(entries))
        while index < stop or (not kills and index < len(entries)):
            entry = entries[index]
            found = acting.replay(entry.cursor)
            while todo and todo[0][0] <= index and index >= reached:
                at = judge.at
                _, action = todo.pop(0)
                if judge.refuses(action, at) is None:
                    recorded, more = acting.do(action, after=entry.cursor - 1, at=at)
                    journal.append(recorded)
                    found += more
            found += judge.step(entry)
            for k, one in enumerate(found):
                key = (index, k)
                assert events.setdefault(key, one) == one
            index += 1
            reached = max(reached, index)
            if index % 97 == 0:
                snapshots.append((index, judge.snapshot()))
        snapshots = [one for one in snapshots if one[0] <= index]
        if kills and index >= len(entries):
            break
    return [events[key] for key in sorted(events)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_entries_and_actions_replayed_from_any_snapshot_give_the_same_events(seed: int) -> None:
    """Killed twice anywhere, restored from any older snapshot: the journaled actions fall in the same places, every event is equal."""
    dice = random.Random(seed)
    calm = judged([], seed)
    torn = judged([(dice.randrange(100, len(feed())), dice.randrange(3)) for _ in range(2)], seed)
    assert torn == calm
    assert {"opened", "closed"} <= {one.event for one in calm}


class Quiet:
    """A collector that has nothing."""

    async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
        """Waits."""
        await asyncio.sleep(3600)
        return []


async def test_an_action_is_durable_when_it_is_answered(tmp_path: Path) -> None:
    """Killed right after the answer, without any later snapshot, the next life knows the silence; sent again, it is refused."""
    wanted = Action(kind="mute", by="ann", subject="s-1", mute=mute({"zone": "az1"}, starts_at=0.0, ends_at=4e9))
    wanted = replace(wanted, mute=replace(wanted.mute, starts_at=4e9 - 60))  # type: ignore[type-var]
    with StateStore(tmp_path / "s") as store:
        engine = await Engine.open(CfaConfig(), store, Quiet(), Judgement, ("log",), clock=lambda: 4e9 - 100)
        engine._snapshot_due = lambda: False  # type: ignore[method-assign]
        life = asyncio.ensure_future(engine.run())
        assert isinstance(await engine.act(wanted), Recorded)
        engine._uncommitted = True  # no farewell: it is killed
        life.cancel()
        with pytest.raises(asyncio.CancelledError):
            await life
    with StateStore(tmp_path / "s") as store:
        engine = await Engine.open(CfaConfig(), store, Quiet(), Judgement, ("log",), clock=lambda: 4e9 - 100)
        life = asyncio.ensure_future(engine.run())
        again = await engine.act(wanted)
        assert getattr(again, "reason", None) == "exists"
        life.cancel()
        with pytest.raises(asyncio.CancelledError):
            await life


async def test_what_is_judged_or_watched_beside_us_takes_actions_too(tmp_path: Path) -> None:
    """A broken pager path: acknowledged, noted, resolved in the store. A table's incident: journaled, and its lane is woken."""
    path = incident("pager", category="monitoring", scope={"destination": "oncall"}, side="server")
    table, over = incident("table", scope={"table": "orders"}), incident("over", state="closed", closed_at=EPOCH + 9)
    with StateStore(tmp_path / "s") as store:
        kept = tuple((EPOCH, one) for one in (path, table, over, incident("nobodys")))
        store.apply(Commit(cursor=0, received_at=0.0, incidents=kept), EPOCH)
        engine = await Engine.open(CfaConfig(), store, Quiet(), Judgement, ("log", "oncall"), clock=lambda: 4e9 - 100)
        woken: list[int] = []

        async def acted() -> None:
            woken.append(len(store.actions_after(0)))

        engine.beside, engine.acted = lambda: [table], acted
        life = asyncio.ensure_future(engine.run())

        async def act(kind: Any, subject: str, text: str = "") -> str | None:
            found = await engine.act(Action(kind=kind, by="ann", subject=subject, text=text))
            return getattr(found, "reason", None)

        assert await act("acknowledge", "i-table") is None
        assert store.incident("i-table") == table
        assert [await act(kind, "i-pager", "x") for kind in ("acknowledge", "note", "resolve", "resolve")] == [
            None,
            None,
            None,
            "not_open",
        ]
        found = store.incident("i-pager")
        assert found is not None
        assert (found.state, found.closed_reason, found.acknowledged_by) == ("closed", "resolved_by_hand", "ann")
        assert [(e.event, e.by) for e in found.timeline[1:]] == [
            ("acknowledged", "ann"),
            ("noted", "ann"),
            ("closed", "ann"),
        ]
        assert [(one["event"], one["destination"]) for one in store.pages(0.0)] == [("resolve", "log")]
        assert await act("acknowledge", "i-over") == "not_open"
        assert await act("resolve", "i-nobodys") == "catching_up"
        assert woken == [1, 2, 3, 4]
        life.cancel()
        with pytest.raises(asyncio.CancelledError):
            await life


async def test_the_status_counts_what_is_open_beside_us(tmp_path: Path) -> None:
    """Incidents of tables are open incidents."""
    with StateStore(tmp_path / "s") as store:
        engine = await Engine.open(CfaConfig(), store, Quiet(), Judgement, ("log",), clock=lambda: 4e9 - 100)
        engine.beside = lambda: [incident("table", scope={"table": "orders"})]
        registry = CollectorRegistry()
        outbox = Outbox(store, ())
        api = Api(engine, store, CfaMetrics(engine, outbox), registry, Several([]))
        assert api.current_status()["incidents_open"] == 1


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_either_refused_or_stays_as_it_is(by: str, text: str) -> None:
    """Nothing that cannot be printed gets into a timeline."""
    action = Action(kind="note", by=by, subject="i-one", text=text)
    if malformed(action, EPOCH) is None:
        assert by.strip()
        assert text.strip()
        assert by.replace("\n", " ").isprintable()


@pytest.mark.parametrize("share", ["1", "0.3"])
def test_a_failure_elsewhere_pages_faster_during_maintenance(share: str) -> None:
    """A router of az2 that fails wholly, or three times in ten, while az1 is under maintenance: sooner than on other days."""
    after = {}
    for window in (True, False):
        world = World()
        router_errors(world, 10, 40, "az2-router-1", share)
        judge = Judgement(CfaConfig())
        if window:
            judge.desk.mutes["m-1"] = mute({"zone": "az1"}, kind="maintenance", starts_at=START, ends_at=START + 90)
        events = (one for entry in world.run(30) for one in judge.step(entry))
        after[window] = next(one.at for one in events if one.notify == "trigger")
    assert after[True] < after[False]
