"""Timelines as text: faults against the clock, and what the judgement says of them.

A script holds commands, a line of dashes, and the recorded trace. ``REWRITE_SCRIPTS=1 pytest`` records anew; read the
diff. Commands: ``run SECONDS``, ``objective RATIO``, ``seed N``, ``at SECONDS for SECONDS FAULT key=value …``.
"""

import os
from pathlib import Path

import pytest

from cfa.config import CfaConfig
from cfa.incident import IncidentEvent
from cfa.judgement import Judgement
from tests.cfa.world import FAULTS, START, World

SCRIPTS = sorted((Path(__file__).parent.parent / "scripts" / "cfa").glob("*.txt"))
LINE = "----"


def line_of(event: IncidentEvent) -> str:
    """One line of the trace."""
    i = event.incident
    scope = " ".join(f"{k}={v}" for k, v in i.scope.items())
    connection = f" {i.connection}" if i.connection else ""
    tell = f" -> {event.notify}" if event.notify else ""
    return (
        f"{event.at - START:6.1f} {event.event} {i.severity} [{scope}]{connection} {'+'.join(i.operations)} "
        f"side={i.side} {event.reason}{tell}"
    )


def play(commands: list[str]) -> list[str]:
    """Runs a script's commands; its trace."""
    world, seconds, objective = World(), 0.0, 0.9999
    for words in (line.split() for line in commands if line.strip() and not line.startswith("#")):
        match words:
            case ["run", amount]:
                seconds = float(amount)
            case ["objective", ratio]:
                objective = float(ratio)
            case ["seed", number]:
                world.seed = int(number)
            case ["background", ratio]:
                world.background = float(ratio)
            case ["at", start, "for", length, fault, *more]:
                FAULTS[fault](world, float(start), float(length), **dict(w.split("=") for w in more))
            case _:
                raise ValueError(words)
    judgement = Judgement(CfaConfig.model_validate({"objectives": {"default": objective}}))
    trace, recused = [], set()
    for entry in world.run(seconds):
        events = judgement.step(entry)
        now = {str(r["host"]) for r in judgement.witnesses.view()}
        for word, hosts in (("recused", now - recused), ("believed", recused - now)):
            trace += [f"{entry.received_at - START:6.1f} {word} {host}" for host in sorted(hosts)]
        recused = now
        trace += [line_of(event) for event in events if event.reason != "figures"]
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
