"""What is done about an incident by itself: decided, carried out, taken back."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cfa.incident import Evidence, Incident, Witnesses
from cfa.mitigation import Reason, Situation, Taken, Undo, decide, undo
from cfa.mitigation_config import Hook, MitigationConfig
from cfa.mitigation_hooks import HookFailed, call
from cfa.mitigator import Journal, Mitigator

HOOKS = (
    Hook(name="shift-zone", on="zone", url="http://127.0.0.1:1/"),
    Hook(name="roll-back", on="version", url="http://127.0.0.1:1/", undo=False),
)
ACT = MitigationConfig(mode="act", hooks=HOOKS)


def incident(**changes: Any) -> Incident:
    """A zone that fails for canaries of two zones, paged at 100."""
    made = Incident(
        id="i-1",
        severity="page",
        scope={"zone": "az1"},
        operations=("read",),
        side="both",
        opened_at=100.0,
        first_failure_at=98.0,
        paged_at=100.0,
        reason="r",
        summary="s",
        evidence=Evidence(failures=40),
        witnesses=Witnesses(bad=("az2-canary-1", "az3-canary-1")),
    )
    return replace(made, **changes)


def situation(*incidents: Incident, taken: tuple[Taken, ...] = (), at: float = 110.0, blind: bool = False) -> Situation:
    """What is known at ``at``."""
    routers = {"az1-router-1": "az1", "az2-router-1": "az2"}
    return Situation(at=at, incidents=incidents, blind=blind, zone_of_router=routers, taken=taken)


def done(**changes: Any) -> Taken:
    """An action that was done at 105."""
    made = Taken(
        key="i-1/shift-zone",
        hook="shift-zone",
        incident="i-1",
        scope={"zone": "az1"},
        decided_at=104.0,
        dry_run=False,
        done_at=105.0,
    )
    return replace(made, **changes)


ELSEWHERE = incident(id="i-2", scope={"zone": "az2"})
REGION = incident(id="i-2", scope={"region": "local"})
SICK = incident(id="i-2", severity="ticket", scope={"observer_zone": "az3"})
ALONE = Witnesses(bad=("az2-canary-1", "az3-canary-1"), recused=("az3-canary-1",))


@pytest.mark.parametrize(
    ("changes", "others", "reason"),
    [
        ({}, {}, Reason.ACT),
        ({"severity": "ticket"}, {}, Reason.NOT_A_PAGE),
        ({"state": "closed"}, {}, Reason.OVER),
        ({"category": "durability"}, {}, Reason.NOT_AVAILABILITY),
        ({"scope": {"endpoint": "fips"}}, {}, Reason.NO_HOOK),
        ({"muted_by": ("m-1",)}, {}, Reason.MUTED),
        ({"witnesses": ALONE}, {}, Reason.LONE_WITNESS),
        ({}, {"blind": True}, Reason.BLIND),
        ({}, {"at": 101.0}, Reason.YOUNG),
        ({}, {"taken": (done(),)}, Reason.TAKEN),
        ({}, {"taken": (done(key="k", incident="i-0", scope={"zone": "az3"}),)}, Reason.REDUNDANCY),
        ({}, {"taken": tuple(done(key=f"k{n}", dry_run=True) for n in range(3))}, Reason.VELOCITY),
    ],
)
def test_every_doubt_has_a_name_and_nothing_is_done(
    changes: dict[str, Any], others: dict[str, Any], reason: Reason
) -> None:
    """Only a page about availability, seen by two believed witnesses, with a hook, now, and not too often, is acted upon."""
    one = incident(**changes)
    assert decide(ACT, one, situation(one, **others)).reason is reason


@pytest.mark.parametrize("other", [ELSEWHERE, REGION, SICK], ids=["two zones", "region", "observers of another zone"])
def test_when_more_than_one_zone_looks_bad_the_observer_is_the_suspect(other: Incident) -> None:
    """Nothing that takes capacity away is done then; a version that is bad everywhere is still rolled back."""
    assert decide(ACT, incident(), situation(incident(), other)).reason is Reason.MANY_ZONES
    version = incident(id="i-3", scope={"version": "2"})
    assert decide(ACT, version, situation(version, other)).reason is Reason.ACT


def test_dry_run_is_the_default_and_off_is_off() -> None:
    """Nobody's traffic is moved by a program that was only installed."""
    assert MitigationConfig().mode == "dry_run"
    reasons = [
        decide(MitigationConfig(mode=m, hooks=HOOKS), incident(), situation(incident())).reason
        for m in ("dry_run", "off")
    ]
    assert reasons == [Reason.DRY_RUN, Reason.OFF]


@pytest.mark.parametrize(
    ("now", "healthy", "answer"),
    [
        ((incident(),), True, Undo.OPEN),
        ((incident(state="closed", closed_at=100.0),), True, Undo.JUST_OVER),
        ((incident(state="closed", closed_at=60.0),), False, Undo.UNHEALTHY),
        ((incident(state="closed", closed_at=60.0), incident(id="i-9")), True, Undo.HURT_AGAIN),
        ((incident(state="closed", closed_at=60.0),), True, Undo.UNDO),
        ((), True, Undo.UNDO),
    ],
)
def test_an_action_is_taken_back_when_the_incident_is_over_and_the_check_is_well(
    now: tuple[Incident, ...], healthy: bool, answer: Undo
) -> None:
    """Not while it is open, not at once, not where it hurts again, and not what is still sick."""
    assert undo(ACT, done(), situation(*now), healthy=healthy) is answer


def test_a_hook_is_a_command_or_a_url_and_never_both() -> None:
    """Configuration errors say what would be right."""
    for wrong in ({}, {"command": ("a",), "url": "http://x"}, {"command": ("a",), "socket": "/x"}):
        with pytest.raises(ValueError, match=r"either a command or a url|belong to a url"):
            Hook.model_validate({"name": "x", "on": "zone", **wrong})


async def test_a_command_gets_its_arguments_unchanged_the_incident_on_its_input_and_a_bare_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell looks at the arguments, and our secrets are not passed on."""
    monkeypatch.setenv("SECRET", "x")
    program = "import json,os,sys; json.dump([sys.argv[1:], json.load(sys.stdin), sorted(os.environ)], open(sys.argv[1], 'w'))"
    out = tmp_path / "out"
    hook = Hook(name="x", on="zone", command=(sys.executable, "-c", program, str(out), "$HOME; echo *"))
    assert await call(hook, "do", {"key": "k", "scope": {"zone": "az1"}})
    arguments, body, environment = json.loads(out.read_text())
    assert arguments == [str(out), "$HOME; echo *"]
    assert body == {"verb": "do", "hook": "x", "key": "k", "scope": {"zone": "az1"}}
    assert "SECRET" not in environment
    assert "FIVENINES_VERB" in environment


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import time; time.sleep(60)", "within 0.5 s"),
        ("import sys; sys.exit('no such zone')", "status 1: no such zone"),
    ],
)
async def test_a_command_that_hangs_or_fails_is_ended_and_told(program: str, words: str) -> None:
    """A hook has a deadline; what it complains of is in the error."""
    hook = Hook(
        name="x", on="zone", command=(sys.executable, "-c", program), timeout_seconds=0.5 if "60" in program else 9
    )
    with pytest.raises(HookFailed, match=words):
        await call(hook, "do", {})


async def test_an_action_is_done_once_followed_and_taken_back_and_all_of_it_is_in_the_timeline(tmp_path: Path) -> None:
    """Over a real socket; a second life of the judgement does not do it again."""
    asked: list[tuple[str, str]] = []
    well = [409, 200]

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((body["verb"], body["key"]))
        return web.Response(status=well.pop(0) if body["verb"] == "check" else 200)

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    hook = Hook(name="shift-zone", on="zone", url="http://x/", socket=tmp_path / "s")
    now, seen, told = [110.0], [incident()], []

    async def note(_incident: str, text: str) -> None:
        told.append(text)

    def life() -> Mitigator:
        return Mitigator(
            MitigationConfig(mode="act", hooks=(hook,)),
            Journal(tmp_path / "journal.json"),
            incidents=lambda: seen,
            status=lambda: {"state": "ALARM", "targets": []},
            note=note,
            clock=lambda: now[0],
        )

    first = life()
    await first.look()
    await first.look()
    second = life()
    now[0] = 120.0
    await second.look()
    assert asked == [("do", "i-1/shift-zone")]
    seen[0] = incident(state="closed", closed_at=125.0)
    for at in (130.0, 156.0, 162.0, 170.0):
        now[0] = at
        await second.look()
    await runner.cleanup()
    assert [verb for verb, _ in asked] == ["do", "check", "check", "undo"]
    assert [text.split(",")[0].split(" since")[0] for text in told] == [
        "shift-zone is done",
        "canaries see no failure any more",
        "shift-zone is taken back: the incident is over and the check is well",
    ]
    assert second.view()["actions"][0]["undone_at"] == 162.0


async def test_a_judgement_that_does_not_lead_does_nothing(tmp_path: Path) -> None:
    """Of two side by side one acts."""
    idle = Mitigator(
        ACT,
        Journal(tmp_path / "j"),
        incidents=lambda: [incident()],
        status=dict,
        note=lambda *_: asyncio.sleep(0),
        leads=lambda: False,
        clock=lambda: 110.0,
    )
    await idle.look()
    assert idle.view()["actions"] == []
