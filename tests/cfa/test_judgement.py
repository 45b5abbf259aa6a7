"""The judgement as a whole: deterministic, restartable, calm when it should be, quick enough."""

import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from cfa.config import CfaConfig
from cfa.incident import Incident
from cfa.judgement import Judgement
from collector.observation import Outcome, Vantage
from collector.series import FeedEntry, Reading, Series
from tests.cfa.world import ENDPOINTS, FAULTS, OPERATIONS, START, ZONES, World

Told = tuple[float, str, str, str, str | None]


def fed(entries: Iterable[FeedEntry], judgement: Judgement | None = None) -> tuple[Judgement, list[Told]]:
    """The judgement after ``entries``, and what it told."""
    judgement = judgement or Judgement(CfaConfig())
    events = [event for entry in entries for event in judgement.step(entry)]
    return judgement, [(e.at, e.incident.id, e.event, e.reason, e.notify) for e in events]


def outage(name: str = "power_off", seconds: float = 70, **words: str) -> list[FeedEntry]:
    """The feed of a fault from second 20 to 40."""
    world = World()
    FAULTS[name](world, 20.0, 20.0, **(words or {"zone": "az1"}))
    return list(world.run(seconds))


def test_same_entries_same_events() -> None:
    """Two judgements that read the same feed say the same, with the same incident ids."""
    entries = outage()
    assert fed(entries)[1] == fed(entries)[1]


@pytest.mark.parametrize("at", [19, 21, 22, 30, 41, 47])
def test_restart_at_any_moment(at: int) -> None:
    """A judgement restored from a snapshot in mid-incident tells the rest exactly as if it had never stopped."""
    entries = outage()
    whole = fed(entries)[1]
    before = [e for e in entries if e.received_at < START + at]
    first, told = fed(before)
    second, rest = fed(entries[len(before) :], Judgement.restore(CfaConfig(), first.snapshot()))
    assert told + rest == whole
    assert second.snapshot() == fed(entries)[0].snapshot()


def test_restart_with_every_kind_of_state() -> None:
    """A snapshot carries recused hosts, masked failures and closed incidents, too."""
    world = World()
    FAULTS["host_sick"](world, 10.0, 30.0, host="az1-canary-1")
    FAULTS["only_servers_see"](world, 15.0, 60.0, router="az2-router-2")
    entries = list(world.run(90))
    whole, told = fed(entries)
    first, before = fed(entries[: len(entries) // 2])
    second, rest = fed(entries[len(entries) // 2 :], Judgement.restore(CfaConfig(), first.snapshot()))
    assert before + rest == told
    assert second.snapshot() == whole.snapshot()


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x81\xa7version\x63", b"not msgpack at all"])
def test_damaged_snapshots_are_refused(data: bytes) -> None:
    """Whatever is not a snapshot of this version is a ValueError, never a half-filled judgement."""
    with pytest.raises(ValueError, match="snapshot"):
        Judgement.restore(CfaConfig(), data)


def test_incidents_survive_json() -> None:
    """The JSON form of an incident is the incident."""
    judgement, _ = fed(outage())
    (incident,) = judgement.incidents()
    assert Incident.from_json(incident.to_json()) == incident
    assert incident.id.endswith("-zone-az1")
    assert incident.paged_at is not None
    assert incident.evidence.failures > 100
    assert incident.reasons["connect_refused"] > 100
    assert incident.examples[0].reason
    assert incident.witnesses.bad == ("az2-canary-1", "az2-canary-2", "az3-canary-1", "az3-canary-2")
    assert "az1 fails reads and writes for canaries in az2 and az3" in incident.summary


def test_zone_power_off_is_paged_with_its_name_in_time() -> None:
    """Within ten seconds of the fault, one page names the zone, both sides, reads and writes."""
    judgement, told = fed(outage())
    triggers = [t for t in told if t[4] == "trigger"]
    assert len(triggers) == 1
    assert triggers[0][0] - START - 20 <= 5
    (incident,) = judgement.incidents()
    assert (incident.scope, incident.operations, incident.side) == ({"zone": "az1"}, ("read", "write"), "both")
    assert incident.state == "closed"


def test_what_is_over_begins_no_new_episode() -> None:
    """After a close the next failure begins an episode of its own: the last one of the fault that is over does not."""
    judgement, told = fed(outage(seconds=55))
    assert told[-1][2] == "closed"
    assert judgement.episode_at is None


def sparse(hours: float, share: float, seed: int) -> Iterable[FeedEntry]:
    """Hours of all canaries, one entry of five seconds each, failures independent with probability ``share``."""
    rng = np.random.default_rng(seed)
    cells = [(e, o) for e in ENDPOINTS for o in OPERATIONS]
    hosts = [(f"{z}-canary-{k}", z) for z in ZONES for k in (1, 2)]
    cursor = 0
    for step in range(int(hours * 720)):
        for host, zone in hosts:
            cursor += 1
            readings = []
            for i, (endpoint, operation) in enumerate(cells):
                router_zone = ZONES[(step + i) % 3]
                series = Series(
                    vantage=Vantage.CANARY,
                    host=host,
                    zone=zone,
                    operation=operation,
                    table="canary",
                    endpoint=endpoint,
                    partition=f"p{(step + i) % 9}",
                    router=f"{router_zone}-router-{1 + i % 2}",
                    router_zone=router_zone,
                )
                bad = int(rng.binomial(5, share))
                counts = {o: n for o, n in ((Outcome.SUCCESS, 5 - bad), (Outcome.SERVER_FAULT, bad)) if n}
                readings.append(Reading(series=series, at=int(START) + step * 5, counts=counts))
            at = START + step * 5 + 1 + cursor % 6 / 10
            yield FeedEntry(
                cursor=cursor, received_at=at, host=host, zone=zone, vantage=Vantage.CANARY, readings=tuple(readings)
            )


def test_hours_of_calm_page_nobody() -> None:
    """Independent failures at exactly the objective's rate, for two hours: nothing at all."""
    judgement, told = fed(sparse(2, 1e-4, 3))
    assert told == []
    region = next(r for r in judgement.availability(judgement.at) if r["scope"] == {"region": "local"})
    assert region["windows"]["1h"]["bad"] > 0  # type: ignore[index]


def test_the_past_pages_nobody() -> None:
    """An outage that arrives an hour late counts in the windows and opens nothing."""
    late = [replace(e, received_at=e.received_at + 3_600) for e in outage()]
    judgement, told = fed(late)
    assert told == []
    region = next(r for r in judgement.availability(judgement.at) if r["side"] == "write")
    assert region["windows"]["6h"]["bad"] > 50  # type: ignore[index]


def test_a_recused_host_is_taken_back_from_the_windows() -> None:
    """What a sick host said in the minute before it was recused is in no availability figure."""
    world = World()
    FAULTS["host_sick"](world, 10.0, 20.0, host="az1-canary-1", knows="yes")
    judgement, told = fed(world.run(60))
    assert told == []
    assert all(row["windows"]["5m"]["bad"] == 0 for row in judgement.availability(judgement.at))  # type: ignore[index]
    assert judgement.status(judgement.at)["recused"] == []


def test_windows_count_every_attempt_once() -> None:
    """The region's five minutes hold exactly the attempts that were asked."""
    entries = list(World().run(30))
    judgement, _ = fed(entries)
    asked = sum(n for e in entries if e.vantage is Vantage.CANARY for r in e.readings for n in r.counts.values())
    rows = [r for r in judgement.availability(judgement.at) if r["scope"] == {"region": "local"}]
    assert sum(r["windows"]["5m"]["good"] for r in rows) == asked  # type: ignore[index]


def test_status_speaks_the_contract() -> None:
    """The status has the fields of the API page, 72 cells that answered, and every target."""
    judgement, _ = fed(World().run(30))
    status = judgement.status(judgement.at)
    wanted = {"at", "region", "objective", "ready", "cells_answered", "cells_expected", "data_age_seconds", "matrix"}
    assert wanted | {"availability", "recused", "targets", "incidents_open", "false_pages_per_year"} <= set(status)
    assert (status["ready"], status["cells_answered"], status["state"]) == (True, 72, "OK")
    matrix = status["matrix"]
    assert isinstance(matrix, list)
    assert {cell["verdict"] for cell in matrix} == {"ok"}
    assert all(2 <= cell["latency_ms_p50"] <= 5 for cell in matrix)


def test_silence_is_not_good_health() -> None:
    """Without data the cells are unobserved, availability is null, the state INSUFFICIENT_DATA; a ticket says so, of the monitoring alone."""
    judgement, _ = fed(World().run(30))
    later = judgement.at + 120
    (told,) = judgement.tick(later)
    assert (told.incident.finding, told.incident.severity, told.notify) == ("monitoring_blind", "ticket", None)
    assert judgement.tick(later + 1) == []
    status = judgement.status(later)
    assert status["state"] == "INSUFFICIENT_DATA"
    assert {(c["verdict"], c["availability"]) for c in status["matrix"]} == {("unobserved", None)}  # type: ignore[attr-defined]


def test_an_empty_judgement_answers() -> None:
    """Before the first entry everything is unknown, and nothing fails."""
    judgement = Judgement(CfaConfig())
    status = judgement.status(START)
    assert (status["ready"], status["state"], status["matrix"]) == (False, "INSUFFICIENT_DATA", [])
    assert judgement.tick(START) == []
    assert Judgement.restore(CfaConfig(), judgement.snapshot()).incidents() == []


def test_a_step_is_quick() -> None:
    """A calm entry costs about a millisecond of processor time, the worst evaluation of an outage some 20."""
    entries = outage(seconds=60)
    judgement, spent = Judgement(CfaConfig()), []
    for entry in entries:
        start = time.process_time()
        judgement.step(entry)
        spent.append(time.process_time() - start)
    assert np.median(spent) < 0.002
    assert np.quantile(spent, 0.99) < 0.05
