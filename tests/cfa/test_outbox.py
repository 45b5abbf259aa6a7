"""The outbox: order per incident and destination, retries, and nobody waits for somebody else's black hole."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfa import outbox as outbox_module
from cfa.destinations.port import DeliveryFailed
from cfa.incident import IncidentEvent
from cfa.notices import ABANDON_AFTER_SECONDS, BACKOFF_MOST_SECONDS, Notice, Notices, retry_at
from cfa.outbox import Outbox
from cfa.state import Commit, StateStore
from tests.cfa.shell_world import EPOCH, eventually, incident, running


class Place:
    """A destination in memory."""

    def __init__(
        self, name: str, *, refuses: int = 0, hangs: bool = False, refresh_seconds: float | None = None
    ) -> None:
        self.name, self.refuses, self.hangs, self.refresh_seconds = name, refuses, hangs, refresh_seconds
        self.taken: list[str] = []
        self.attempts = 0
        self.at_once = self.most_at_once = 0

    async def send(self, notice: Notice, now: float) -> None:
        """Takes it, refuses it, or never answers."""
        self.attempts += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.hangs:
                await asyncio.sleep(3600)
            await asyncio.sleep(0)
            if self.attempts <= self.refuses:
                raise DeliveryFailed("HTTP 503")
            self.taken.append(notice.key)
        finally:
            self.at_once -= 1

    async def close(self) -> None:
        """Nothing to close."""


def put(store: StateStore, planner: Notices, *events: tuple[str, str]) -> None:
    """Plans and stores notices: (incident, trigger | update | resolve)."""
    names = {"trigger": "opened", "update": "updated", "resolve": "closed"}
    told = [
        IncidentEvent(
            incident=incident(name, state="closed" if word == "resolve" else "open"),
            event=names[word],  # type: ignore[arg-type]
            at=EPOCH,
            reason=word,
            notify=word,  # type: ignore[arg-type]
        )
        for name, word in events
    ]
    notices = tuple(notice for event in told for notice in planner.plan(event))
    store.apply(
        Commit(cursor=1, received_at=EPOCH, incidents=tuple((e.at, e.incident) for e in told), notices=notices), EPOCH
    )


class HandClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = EPOCH

    def __call__(self) -> float:
        """What the test says."""
        return self.at


STORY = [("a", "trigger"), ("b", "trigger"), ("a", "update"), ("a", "resolve"), ("b", "resolve")]


async def test_each_incident_is_told_in_order_although_attempts_fail(tmp_path: Path) -> None:
    """With refusals in between, trigger still comes before update before resolve, and nothing is missing."""
    place, clock = Place("hook", refuses=4), HandClock()
    with StateStore(tmp_path / "s") as store:
        put(store, Notices(("hook",), "local"), *STORY)
        outbox = Outbox(store, [place], clock=clock, chance=lambda: 0.0)
        async with running(outbox.run()):
            for _ in range(200):
                clock.at += 1.0
                outbox.wake()
                await asyncio.sleep(0.002)
                if len(place.taken) == 5:
                    break
        pages = store.pages(0.0)
    for name in ("a", "b"):
        heard = [key.split("/")[1] for key in place.taken if key.startswith(f"i-{name}/")]
        assert heard == [word for one, word in STORY if one == name]
    assert sum(page["attempts"] for page in pages) == place.attempts == 9
    assert all(page["delivered_at"] and page["last_error"] is None for page in pages)


async def test_a_black_hole_delays_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One destination never answers; the other has everything at once, and the first one's attempts end at their deadline."""
    monkeypatch.setattr(outbox_module, "ATTEMPT_DEADLINE_SECONDS", 0.05)
    hole, place = Place("hole", hangs=True), Place("log")
    with StateStore(tmp_path / "s") as store:
        put(store, Notices(("log", "hole"), "local"), *STORY)
        async with running(Outbox(store, [hole, place], clock=HandClock()).run()):
            await eventually(lambda: len(place.taken) == 5, 2)
            await eventually(lambda: any("no answer" in (page["last_error"] or "") for page in store.pages(0.0)), 5)
            assert store.pending_counts() == {"hole": 5}
    assert hole.most_at_once <= outbox_module.IN_FLIGHT_MOST


async def test_a_broken_destination_is_a_failed_delivery_and_not_a_crash(tmp_path: Path) -> None:
    """An exception out of a destination is noted as the attempt's error; the outbox goes on."""

    class Broken(Place):
        async def send(self, notice: Notice, now: float) -> None:
            """Fails in its own way."""
            raise ZeroDivisionError("oh")

    with StateStore(tmp_path / "s") as store:
        put(store, Notices(("log",), "local"), ("a", "trigger"))
        async with running(Outbox(store, [Broken("log")]).run()) as task:
            await eventually(lambda: store.pages(0.0)[0]["last_error"] == "ZeroDivisionError: oh")
            assert not task.done()


async def test_open_incidents_are_told_again_until_they_end(tmp_path: Path) -> None:
    """A destination that forgets is refreshed while the incident is open, never after its resolve."""
    place, clock = Place("am", refresh_seconds=60.0), HandClock()
    planner = Notices(("am",), "local")
    with StateStore(tmp_path / "s") as store:
        put(store, planner, ("a", "trigger"))
        outbox = Outbox(store, [place], clock=clock)
        async with running(outbox.run()):
            await eventually(lambda: len(place.taken) == 1)
            for _ in range(3):
                before = len(place.taken)
                clock.at += 61.0
                outbox.wake()
                await eventually(_more_than(place, before))
            put(store, planner, ("a", "resolve"))
            outbox.wake()
            await eventually(lambda: place.taken[-1] == "i-a/resolve/1")
            clock.at += 300.0
            outbox.wake()
            await asyncio.sleep(0.05)
    assert place.taken == ["i-a/trigger/1"] * 4 + ["i-a/resolve/1"]


def _more_than(place: Place, number: int) -> Callable[[], bool]:
    return lambda: len(place.taken) > number


async def test_a_notice_nobody_took_for_a_day_is_given_up_and_says_so(tmp_path: Path) -> None:
    """After a day of failures the notice is abandoned, visibly, and its successor is sent."""
    place, clock = Place("hook", refuses=1), HandClock()
    with StateStore(tmp_path / "s") as store:
        put(store, Notices(("hook",), "local"), ("a", "trigger"), ("a", "resolve"))
        clock.at += ABANDON_AFTER_SECONDS + 1
        async with running(Outbox(store, [place], clock=clock).run()):
            await eventually(lambda: place.taken == ["i-a/resolve/1"])
        assert [page["abandoned"] for page in store.pages(0.0)] == [False, True]


async def test_what_was_meant_for_a_removed_destination_is_given_up(tmp_path: Path) -> None:
    """Notices for a destination that is no longer configured do not wait for ever."""
    with StateStore(tmp_path / "s") as store:
        put(store, Notices(("old",), "local"), ("a", "trigger"))
        async with running(Outbox(store, [Place("log")]).run()):
            await eventually(lambda: not store.pending_counts())
        assert store.pages(0.0)[0]["last_error"] == "no longer configured"


def test_a_replayed_plan_is_the_same_plan() -> None:
    """From a snapshot, the same events give notices of the same identity."""
    planner = Notices(("log", "hook"), "local")
    event = IncidentEvent(incident=incident("a"), event="updated", at=EPOCH, reason="x", notify="update")
    planner.plan(event)
    saved = planner.snapshot()
    first = planner.plan(event)
    assert Notices.restore(("log", "hook"), "local", saved).plan(event) == first
    assert {(one.n, one.destination) for one in first} == {(2, "log"), (2, "hook")}


def test_labels_stay_as_first_told() -> None:
    """A scope that is refined after the trigger does not make another alert of the same incident."""
    planner = Notices(("am",), "local")

    def event(scope: dict[str, str], notify: str) -> IncidentEvent:
        return IncidentEvent(incident=incident("a", scope=scope), event="updated", at=EPOCH, reason="x", notify=notify)  # type: ignore[arg-type]

    (trigger,) = planner.plan(event({"zone": "az1"}, "trigger"))
    (resolve,) = planner.plan(event({"zone": "az1", "endpoint": "fips"}, "resolve"))
    assert trigger.labels == resolve.labels
    assert set(trigger.labels) == {"alertname", "severity", "region", "zone", "operations", "side", "incident"}


def test_only_pages_wake_people() -> None:
    """A ticket is written to the log when it opens and closes; a watch is told to nobody."""
    planner = Notices(("log", "hook"), "local")

    def planned(severity: str, event: str) -> list[tuple[str, str]]:
        change = IncidentEvent(incident=incident(severity, severity=severity), event=event, at=EPOCH, reason="x")  # type: ignore[arg-type]
        return [(one.destination, one.notify) for one in planner.plan(change)]

    assert planned("ticket", "opened") == planned("ticket", "closed") == [("log", "ticket")]
    assert planned("ticket", "updated") == planned("watch", "opened") == []


def test_an_incident_that_comes_back_pages_again() -> None:
    """The trigger after a resolve has a number of its own, so the outbox does not take it for the one already told."""
    planner = Notices(("log",), "local")

    def notice(event: str, notify: str) -> Notice:
        change = IncidentEvent(incident=incident("a"), event=event, at=EPOCH, reason="x", notify=notify)  # type: ignore[arg-type]
        (one,) = planner.plan(change)
        return one

    first, resolve, second = notice("paged", "trigger"), notice("closed", "resolve"), notice("paged", "trigger")
    assert (first.n, resolve.n, second.n) == (1, 1, 2)


def test_damaged_memory_is_refused() -> None:
    """Notices cannot be restored from bytes that are not theirs."""
    with pytest.raises(ValueError, match="damaged"):
        Notices.restore(("log",), "local", b"\xff\x00")


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_retries_back_off_within_their_bounds(attempts: int, jitter: float) -> None:
    """Every wait is between a quarter of a second and a minute, and jitter never more than halves it."""
    wait = retry_at(attempts=attempts, now=0.0, jitter=jitter)
    assert 0.25 <= wait <= BACKOFF_MOST_SECONDS
    calm: Callable[[int], float] = lambda n: retry_at(attempts=n, now=0.0, jitter=0.0)  # noqa: E731
    assert calm(attempts) / 2 <= wait <= calm(attempts) <= calm(attempts + 1)
