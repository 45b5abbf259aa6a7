"""Who else is told: fallbacks, escalation, the alarm about a broken pager path, routes, grouping, limits, heartbeat."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cfa import pager_path
from cfa.config import CfaConfig
from cfa.destinations.config import Heartbeat, Route
from cfa.destinations.port import DeliveryFailed
from cfa.dispatch import Dispatch
from cfa.heartbeat import Heartbeat as Sender
from cfa.incident import BlastRadius, Incident, IncidentEvent
from cfa.notices import Notice, Notices, Pending
from cfa.operators import Action, Recorded, on_record
from cfa.outbox import Outbox
from cfa.pacing import Pace
from cfa.routes import Routes
from cfa.state import Commit, StateStore
from cfa.time_to_page import TimeToPage, summary
from tests.cfa.shell_world import EPOCH, Receiver, eventually, incident, running, serving
from tests.cfa.test_outbox import HandClock, Place, put


class Shy(Place):
    """A destination that takes nothing until it is told to."""

    def __init__(self, name: str, *, for_good: bool = False) -> None:
        super().__init__(name)
        self.open, self.for_good = False, for_good

    async def send(self, notice: Notice, now: float) -> None:
        """Refuses while it is shut."""
        if not self.open:
            raise DeliveryFailed("HTTP 503", for_good=self.for_good)
        await super().send(notice, now)


def config(*destinations: dict[str, Any], **changes: Any) -> CfaConfig:
    known = [{"kind": "webhook", "url": "https://x.test", **one} for one in destinations]
    return CfaConfig.model_validate({"destinations": known, **changes})


class Scene:
    """Outbox and dispatch over one store, on a clock set by hand."""

    def __init__(self, store: StateStore, settings: CfaConfig, *places: Place) -> None:
        self.clock, self.store = HandClock(), store
        self.outbox = Outbox(store, places, clock=self.clock, chance=lambda: 0.0)
        self.dispatch = Dispatch(settings, store, self.outbox, clock=self.clock)
        self.planner = Notices(Routes.of(settings.destinations, settings.routes), "local")

    async def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Time passes; at each step everything due is done."""
        end = self.clock.at + seconds
        while self.clock.at < end:
            self.clock.at += step
            await self.dispatch.look()
            self.outbox.wake()
            for _ in range(6):
                await asyncio.sleep(0.001)


def heard(place: Place, name: str = "i-a") -> list[str]:
    return [key.split("/")[1] for key in place.taken if key.startswith(f"{name}/")]


async def test_a_page_that_the_first_does_not_take_goes_to_its_fallback(tmp_path: Path) -> None:
    """After the given time, not before; the fallback hears the end as well, and the first one hears both when it comes back."""
    settings = config(
        {"name": "oncall", "fallback": "chat", "fallback_after_seconds": 20}, {"name": "chat", "severities": ["ticket"]}
    )
    log, oncall, chat = Place("log"), Shy("oncall"), Place("chat")
    with StateStore(tmp_path / "s") as store:
        scene = Scene(store, settings, log, oncall, chat)
        put(store, scene.planner, ("a", "trigger"))
        async with running(scene.outbox.run()):
            await scene.pass_time(18)
            assert heard(chat) == []
            await scene.pass_time(4)
            assert heard(chat) == ["trigger"]
            put(store, scene.planner, ("a", "resolve"))
            await scene.pass_time(2)
            assert heard(chat) == ["trigger", "resolve"]
            oncall.open = True
            await scene.pass_time(120, 5)
    assert heard(oncall) == heard(log) == ["trigger", "resolve"]
    assert heard(chat) == ["trigger", "resolve"]
    assert scene.dispatch.added["fallback"] == 1


async def test_a_refusal_for_good_goes_to_the_fallback_at_once(tmp_path: Path) -> None:
    """A revoked key is not waited for."""
    settings = config({"name": "oncall", "fallback": "chat"}, {"name": "chat", "severities": ["ticket"]})
    chat = Place("chat")
    with StateStore(tmp_path / "s") as store:
        scene = Scene(store, settings, Place("log"), Shy("oncall", for_good=True), chat)
        put(store, scene.planner, ("a", "trigger"))
        async with running(scene.outbox.run()):
            await scene.pass_time(3)
    assert heard(chat) == ["trigger"]


async def test_a_rescued_page_is_told_its_end_even_if_that_came_first(tmp_path: Path) -> None:
    """The incident is over before the fallback is used: the fallback hears both, in order."""
    settings = config(
        {"name": "oncall", "fallback": "chat", "fallback_after_seconds": 10}, {"name": "chat", "severities": ["ticket"]}
    )
    chat = Place("chat")
    with StateStore(tmp_path / "s") as store:
        scene = Scene(store, settings, Place("log"), Shy("oncall"), chat)
        put(store, scene.planner, ("a", "trigger"), ("a", "resolve"))
        async with running(scene.outbox.run()):
            await scene.pass_time(14)
    assert heard(chat) == ["trigger", "resolve"]


async def test_a_page_that_nobody_acknowledges_is_escalated_once(tmp_path: Path) -> None:
    """After the given time somebody more is told; an acknowledged one is left alone, and a second look adds nothing."""
    settings = config(
        {"name": "oncall"},
        {"name": "boss", "severities": ["ticket"]},
        escalations=[{"after_seconds": 300, "to": ["boss", "oncall"]}],
    )
    oncall, boss = Place("oncall"), Place("boss")
    with StateStore(tmp_path / "s") as store:
        scene = Scene(store, settings, Place("log"), oncall, boss)
        put(store, scene.planner, ("a", "trigger"), ("b", "trigger"))
        taken = replace(incident("b"), acknowledged_at=EPOCH + 60)
        store.apply(Commit(cursor=2, received_at=EPOCH, incidents=((EPOCH + 60, taken),)), EPOCH)
        async with running(scene.outbox.run()):
            await scene.pass_time(290, 10)
            assert boss.taken == []
            await scene.pass_time(60, 10)
            assert boss.taken == ["i-a/trigger/1"]
            put(store, scene.planner, ("a", "update"), ("a", "resolve"), ("b", "resolve"))
            await scene.pass_time(5)
    assert heard(boss) == ["trigger", "update", "resolve"]
    assert heard(boss, "i-b") == []
    assert heard(oncall) == ["trigger", "update", "resolve"]


async def test_a_broken_pager_path_is_an_incident_told_to_the_others(tmp_path: Path) -> None:
    """It opens when a page has not been taken for too long, is told everywhere but there, and closes when the destination works."""
    settings = config({"name": "oncall", "broken_after_seconds": 30}, {"name": "chat"})
    log, oncall, chat = Place("log"), Shy("oncall"), Place("chat")
    with StateStore(tmp_path / "s") as store:
        scene = Scene(store, settings, log, oncall, chat)
        put(store, scene.planner, ("a", "trigger"))
        async with running(scene.outbox.run()):
            await scene.pass_time(28)
            assert [one.category for one in store.open_incidents()] == ["availability"]
            await scene.pass_time(8)
            (broken,) = [one for one in store.open_incidents() if one.category == "monitoring"]
            assert broken.scope == {"destination": "oncall"}
            assert "HTTP 503" in broken.summary
            assert heard(chat, broken.id) == heard(log, broken.id) == ["trigger"]
            row = next(one for one in scene.dispatch.view["destinations"] if one["name"] == "oncall")
            assert row["broken"]
            assert row["page_waits_seconds"] > 30
            oncall.open = True
            await scene.pass_time(70)
    assert heard(chat, broken.id) == heard(log, broken.id) == ["trigger", "resolve"]
    assert heard(oncall, broken.id) == []
    assert heard(oncall) == ["trigger"]


async def test_a_broken_path_resolved_by_hand_opens_again_for_new_pages_only(tmp_path: Path) -> None:
    """Whoever resolved it knows of the page that waits; one that is refused later is another matter."""
    settings = config({"name": "oncall", "broken_after_seconds": 30}, {"name": "chat"})
    oncall, chat = Shy("oncall"), Place("chat")
    with StateStore(tmp_path / "s") as store:
        scene = Scene(store, settings, Place("log"), oncall, chat)
        put(store, scene.planner, ("a", "trigger"))
        async with running(scene.outbox.run()):
            await scene.pass_time(36)
            (broken,) = [one for one in store.open_incidents() if one.category == "monitoring"]
            said = Recorded(
                number=1, after=0, at=0.0, action=Action(kind="resolve", by="ann", subject=broken.id, text="known")
            )
            event = replace(on_record(broken, said), at=scene.clock.at)
            over = replace(event.incident, closed_at=scene.clock.at)
            told = scene.planner.plan(replace(event, incident=over))
            store.apply(Commit(cursor=0, received_at=0.0, incidents=((event.at, over),), notices=told), scene.clock.at)
            await scene.pass_time(60)
            assert [one for one in store.open_incidents() if one.category == "monitoring"] == []
            oncall.open = True
            await scene.pass_time(70)
            oncall.open = False
            put(store, scene.planner, ("b", "trigger"))
            store._db.execute("UPDATE outbox SET created_at = ? WHERE incident = 'i-b'", (scene.clock.at,))
            await scene.pass_time(40)
            (again,) = [one for one in store.open_incidents() if one.category == "monitoring"]
    assert again.id != broken.id
    assert heard(chat, broken.id) == ["trigger", "resolve"]
    assert heard(oncall, broken.id) == []


async def test_whatever_is_added_twice_is_told_once(tmp_path: Path) -> None:
    """Killed after any look and started again, second routes and escalations add nothing that is there."""
    settings = config(
        {"name": "oncall", "fallback": "chat", "fallback_after_seconds": 5, "broken_after_seconds": 8},
        {"name": "chat", "severities": ["ticket"]},
        {"name": "boss", "severities": ["ticket"]},
        escalations=[{"after_seconds": 12, "to": ["boss"]}],
    )
    clock, chat, boss = HandClock(), Place("chat"), Place("boss")
    for life in range(12):
        with StateStore(tmp_path / "s") as store:
            scene = Scene(store, settings, Place("log"), Shy("oncall"), chat, boss)
            scene.clock.at = clock.at
            if life == 0:
                put(store, scene.planner, ("a", "trigger"))
            async with running(scene.outbox.run()):
                await scene.pass_time(2)
            clock.at = scene.clock.at
    with StateStore(tmp_path / "s") as store:
        assert sum(one.category == "monitoring" for one in store.incidents()) == 1
    assert heard(chat) == ["trigger"]
    assert heard(boss) == ["trigger"]


def routed(settings: CfaConfig, severity: Any, about: Incident) -> tuple[str, ...]:
    return Routes.of(settings.destinations, settings.routes).to(about, severity)


def test_routes_choose_by_severity_scope_and_table() -> None:
    """A destination hears what it wants of what is sent to it; a page that no route knows goes to all; the log hears everything."""
    settings = config(
        {"name": "oncall"}, {"name": "storage"}, {"name": "board", "severities": ["ticket"]},
        routes=[
            {"scope": {"zone": ["az1"]}, "to": ["oncall"]},
            {"tables": ["orders"], "to": ["storage", "board"]},
            {"severities": ["ticket"], "categories": ["durability"], "to": ["board"]},
        ],
    )  # fmt: skip
    orders = incident(scope={"region": "local"}, blast_radius=BlastRadius(tables=("orders",)))
    assert routed(settings, "page", incident()) == ("log", "oncall")
    assert routed(settings, "page", orders) == ("log", "storage")
    assert routed(settings, "ticket", orders) == ("log", "board")
    assert routed(settings, "page", incident(scope={"zone": "az9"})) == ("log", "oncall", "storage")
    assert routed(settings, "ticket", incident(scope={"zone": "az9"})) == ("log",)
    assert routed(settings, "ticket", incident(category="durability")) == ("log", "board")


def test_whoever_heard_the_beginning_hears_the_end() -> None:
    """When the scope grows into another route, that one is paged then, and both are told that it is over."""
    routes = Routes.of(
        config({"name": "a"}, {"name": "b"}).destinations,
        (Route(scope={"zone": ("az1",)}, to=("a",)), Route(scope={"region": ("*",)}, to=("b",))),
    )
    planner = Notices(routes, "local")

    def planned(notify: Any, **changes: Any) -> list[tuple[str, str]]:
        event = IncidentEvent(incident=incident("x", **changes), event="updated", at=EPOCH, reason="r", notify=notify)
        return sorted((one.destination, one.notify) for one in planner.plan(event))

    assert planned("trigger") == [("a", "trigger"), ("log", "trigger")]
    assert planned("update", scope={"region": "local"}) == [("a", "update"), ("b", "trigger"), ("log", "update")]
    assert planned("update", scope={"region": "local"}) == [("a", "update"), ("b", "update"), ("log", "update")]
    assert planned("resolve", scope={"zone": "az7"}) == [("a", "resolve"), ("b", "resolve"), ("log", "resolve")]


def waits(number: int, name: str, word: Any = "trigger", next_at: float = 0.0) -> Pending:
    about = Notice(incident=incident(name), notify=word, n=1, destination="d", at=EPOCH, reason="r", labels={})
    return Pending(number=number, created_at=0.0, attempts=0, next_at=next_at, notice=about)


def test_the_first_page_is_never_held_back_and_what_follows_comes_together() -> None:
    """Grouping: a page after quiet goes at once, also right after an update; the next ones within the window go in one message."""
    pace = Pace(gathers=True, group_seconds=30)
    update = pace.choose([waits(1, "z", "update")], (), 95.0)[0]
    pace.sent(update[0], 95.0)
    first, _ = pace.choose([waits(2, "a")], (), 100.0)
    assert [[one.number for one in batch] for batch in first] == [[2]]
    pace.sent(first[0], 100.0)
    held, wait = pace.choose([waits(3, "b"), waits(4, "c"), waits(5, "a", "update")], (), 101.0)
    assert (held, wait) == ([], 5.0)
    together, _ = pace.choose([waits(3, "b"), waits(4, "c"), waits(5, "a", "update")], (), 130.0)
    assert [[one.number for one in batch] for batch in together] == [[3, 4, 5]]


def test_what_is_over_the_limit_is_told_together_later() -> None:
    """Two messages a minute: the rest waits and comes in one message, pages first, and nothing is missing."""
    pace, told, now = Pace(gathers=True, most_per_minute=2), [], 0.0
    queue = [waits(number, f"n{number}", "update" if number % 2 else "trigger") for number in range(20)]
    while queue and now < 300:
        batches, wait = pace.choose(queue, (), now)
        for batch in batches:
            pace.sent(batch, now)
            told.append((now, [one.number for one in batch]))
            queue = [one for one in queue if one not in batch]
        now += max(0.1, wait)
    assert len(told) <= 3
    assert sorted(number for _, numbers in told for number in numbers) == list(range(20))


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["trigger", "update", "resolve"]), st.floats(0, 100)), max_size=30
    ),
    st.booleans(),
    st.integers(0, 20),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_pacing_loses_nothing_and_keeps_the_order_of_an_incident(
    rows: list[tuple[int, Any, float]], gathers: bool, group: int, most: int | None
) -> None:
    """Whatever arrives when: everything is sent once, each incident in order, never more messages in a minute than allowed."""
    pace = Pace(gathers=gathers, group_seconds=group if gathers else 0, most_per_minute=most)
    coming = sorted(
        ((at, waits(number, f"n{name}", word)) for number, (name, word, at) in enumerate(rows)),
        key=lambda row: row[1].number,
    )
    clock, queue, sent, messages = 0.0, [one for _, one in coming], [], []
    for _ in range(2000):
        if not queue:
            break
        heads = {}
        for one in queue:
            heads.setdefault(one.notice.incident.id, one)
        batches, wait = pace.choose(queue if pace.gathers else list(heads.values()), (), clock)
        for batch in batches:
            pace.sent(batch, clock)
            messages.append(clock)
            sent += [one.number for one in batch]
            queue = [one for one in queue if one not in batch]
        clock += max(0.5, wait) if not batches else 0.0
    assert sorted(sent) == list(range(len(rows)))
    for name in {name for name, _, _ in rows}:
        mine = [number for number in sent if rows[number][0] == name]
        assert mine == sorted(mine)
    if most is not None:
        assert all(sum(at <= other < at + 60 for other in messages) <= most for at in messages)


async def test_a_heartbeat_beats_only_while_somebody_judges(tmp_path: Path) -> None:
    """Sent while fed, withheld while not, failed when refused; and as a watchdog alert for an Alertmanager."""
    receiver, alive = Receiver(), [True]
    pings: list[bytes] = []

    class Ping(Receiver):
        async def take(self, request: Any) -> Any:
            pings.append(await request.read())
            from aiohttp import web

            return web.Response(status=self.status)

    switch = Ping()
    async with serving(switch.application()) as url, serving(receiver.application()) as manager:
        (tmp_path / "url").write_text(f"{url}/ping/SECRET")
        sender = Sender(Heartbeat(url_file=tmp_path / "url"), lambda: alive[0], {"region": "local"})
        assert await sender.beat() == "sent"
        alive[0] = False
        assert await sender.beat() == "withheld"
        alive[0], switch.status = True, 500
        assert await sender.beat() == "failed"
        await sender.close()
        watchdog = Sender(
            Heartbeat(url=manager, kind="alertmanager"), lambda: True, {"region": "local"}, clock=lambda: EPOCH
        )
        assert await watchdog.beat() == "sent"
        await watchdog.close()
    assert pings == [b"", b""]
    assert sender.view()["sent"] == 1
    (alerts,) = receiver.got
    assert alerts[0]["labels"] == {"alertname": "Watchdog", "severity": "none", "region": "local"}
    assert alerts[0]["endsAt"] > alerts[0]["startsAt"]


async def test_time_to_page_is_measured_from_the_first_failure(tmp_path: Path) -> None:
    """By destination, and once for the first beside the log; the status has it from the store."""
    with StateStore(tmp_path / "s") as store:
        scene = Scene(store, config({"name": "hook"}), Place("log"), Place("hook"))
        put(store, scene.planner, ("a", "trigger"))
        scene.clock.at = EPOCH + 0.5  # the first failure was 1.5 s before the opening
        async with running(scene.outbox.run()):
            await eventually(lambda: not store.pending_counts())
        histograms = scene.outbox.time_to_page.histograms()
        assert set(histograms) == {"log", "hook", "first"}
        assert dict(histograms["first"][0])["2"] == 1.0
        assert histograms["first"][1] == 2.0
        assert summary(store.times_to_page(0.0)) == {
            "pages": 1, "p50_seconds": 2.0, "p95_seconds": 2.0, "most_seconds": 2.0,
        }  # fmt: skip


def test_the_summary_is_by_nearest_rank() -> None:
    """Of a hundred, the 50th and the 95th; of none, nothing is claimed."""
    found = summary(float(n) for n in range(1, 101))
    assert (found["p50_seconds"], found["p95_seconds"], found["most_seconds"]) == (50.0, 95.0, 100.0)
    assert summary(())["p50_seconds"] is None
    times = TimeToPage()
    times.observe("hook", "i", 10_000.0, first=False)
    assert times.histograms()["hook"][0][-1] == ("+Inf", 1.0)


def test_a_silent_fleet_of_canaries_is_no_destination() -> None:
    """The monitoring's own incident of no destination is the judgement's: the watch over deliveries neither reads nor ends it."""
    blind = Incident(
        id="i-1-region-local-monitoring",
        severity="ticket",
        scope={"region": "local"},
        category="monitoring",
        operations=(),
        side="client",
        opened_at=1.0,
        first_failure_at=1.0,
        reason="no_canary_heard",
        summary="monitoring down",
    )
    assert pager_path.evaluate({}, ("log",), {}, (blind,), 5.0) == []
    closed = replace(blind, closed_reason=pager_path.RESOLVED, closed_at=2.0)
    assert pager_path.resolved_by_hand((closed,)) == {}
