"""Timelines as text: faults against the clock, and what the judgement says of them.

A script holds commands, a line of dashes, and the recorded trace. ``REWRITE_SCRIPTS=1 pytest`` records anew; read the
diff. Commands: ``run SECONDS``, ``objective RATIO``, ``seed N``, ``dated`` (openings say since when),
``at SECONDS for SECONDS FAULT key=value …``, and what operators do: ``at SECONDS acknowledge|note|resolve NUMBER words``, ``at SECONDS silence|maintenance NAME for SECONDS
key=value …``, ``at SECONDS expire NAME``. NUMBER is the incident's in the order of their opening.
"""

import os
from pathlib import Path

import pytest

from cfa.config import CfaConfig
from cfa.incident import IncidentEvent
from cfa.judgement import Judgement
from cfa.operators import Action, Recorded
from cfa.silence import Mute
from tests.cfa.world import FAULTS, START, World

SCRIPTS = sorted((Path(__file__).parent.parent / "scripts" / "cfa").glob("*.txt"))
LINE = "----"


def line_of(event: IncidentEvent, *, dated: bool = False) -> str:
    """One line of the trace; ``dated``: with the first failure of an opening, and how many of how many failed."""
    i = event.incident
    scope = " ".join(f"{k}={v}" for k, v in i.scope.items())
    connection = f" {i.connection}" if i.connection else ""
    if i.muted_by:
        connection += f" muted_by={'+'.join(i.muted_by)}"
    tell = f" -> {event.notify}" if event.notify else ""
    if dated and event.event in ("opened", "reopened"):
        tell += f" since={i.first_failure_at - START:.1f} failed={i.evidence.failures}/{i.evidence.attempts}"
    return (
        f"{event.at - START:6.1f} {event.event} {i.severity} [{scope}]{connection} {'+'.join(i.operations)} "
        f"side={i.side} {event.reason}{tell}"
    )


def mute_of(kind: str, name: str, at: float, lasts: float, words: list[str]) -> Mute:
    """A silence or a maintenance window as a script says it."""
    scope = dict(word.split("=") for word in words)
    severity = scope.pop("severity", "page")
    operations = tuple(scope.pop("operations", "").split(",")) if "operations" in scope else ()
    return Mute(
        id=name,
        kind=kind,  # type: ignore[arg-type]
        scope=scope,
        operations=operations,
        severity=severity,  # type: ignore[arg-type]
        starts_at=START + at,
        ends_at=START + at + lasts,
        author="ann",
    )


def action_of(words: list[str], opened: list[str]) -> Action:
    """An operator's action; ``opened``: the incidents until now."""
    match words:
        case ["at", at, "silence" | "maintenance" as kind, name, "for", lasts, *scope]:
            return Action(kind="mute", by="ann", subject=name, mute=mute_of(kind, name, float(at), float(lasts), scope))
        case ["at", _, "expire", name]:
            return Action(kind="expire", by="bob", subject=name)
        case ["at", _, "acknowledge" | "note" | "resolve" as verb, number, *text]:
            return Action(kind=verb, by="bob", subject=opened[int(number) - 1], text=" ".join(text))  # type: ignore[arg-type]
    raise ValueError(words)


OPERATORS = ("acknowledge", "note", "resolve", "silence", "maintenance", "expire")


def play(commands: list[str]) -> list[str]:
    """Runs a script's commands; its trace."""
    world, seconds, objective, dated = World(), 0.0, 0.9999, False
    acts: list[list[str]] = []
    for words in (line.split() for line in commands if line.strip() and not line.startswith("#")):
        match words:
            case ["run", amount]:
                seconds = float(amount)
            case ["objective", ratio]:
                objective = float(ratio)
            case ["dated"]:
                dated = True
            case ["seed", number]:
                world.seed = int(number)
            case ["background", ratio]:
                world.background = float(ratio)
            case ["at", _, verb, *_] if verb in OPERATORS:
                acts.append(words)
            case ["at", start, "for", length, fault, *more]:
                FAULTS[fault](world, float(start), float(length), **dict(w.split("=") for w in more))
            case _:
                raise ValueError(words)
    judgement = Judgement(CfaConfig.model_validate({"objectives": {"default": objective}}))
    trace, recused, opened = [], set(), []
    acts.sort(key=lambda words: float(words[1]))
    for entry in world.run(seconds):
        events = []
        while acts and START + float(acts[0][1]) <= entry.received_at:
            at, action = START + float(acts[0][1]), action_of(acts.pop(0), opened)
            assert (refusal := judgement.refuses(action, at)) is None, refusal
            number = judgement.applied_actions + 1
            events += judgement.act(Recorded(number=number, after=entry.cursor - 1, at=at, action=action))
        events += judgement.step(entry)
        now = {str(r["host"]) for r in judgement.witnesses.view()}
        for word, hosts in (("recused", now - recused), ("believed", recused - now)):
            trace += [f"{entry.received_at - START:6.1f} {word} {host}" for host in sorted(hosts)]
        recused = now
        opened += [e.incident.id for e in events if e.incident.id not in opened]
        trace += [line_of(event, dated=dated) for event in events if event.reason != "figures"]
    return trace or ["(nothing)"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_timeline(script: Path) -> None:
    """The judgement says of a script's faults exactly what was recorded and reviewed."""
    text = script.read_text()
    commands, _, expected = text.partition(LINE + "\n")
    trace = "\n".join(play(commands.splitlines())) + "\n"
    if os.environ.get("REWRITE_SCRIPTS"):
        script.write_text(f"{commands}{LINE}\n{trace}")
    else:
        assert trace == expected
