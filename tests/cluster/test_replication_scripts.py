"""Behaviour as readable text: the scripts in tests/scripts/replication, each command with the trace it must leave.

Regenerate after an intended change, and review the diff: ``REPLICATION_REWRITE=1 .venv/bin/python -m pytest tests/cluster/test_replication_scripts.py``.
Commands: ``start|crash|checkpoint NODE…``, ``run SECONDS``, ``write NODE [COUNT]``, ``read NODE``, ``cut|mend FROM TO``, ``hand-over LEADER SUCCESSOR``, ``heal`` (from now on), ``wipe NODE``,
``state``. A node ``az3b`` is a spare one in az3.
"""

import os
from pathlib import Path

import pytest

from cluster.control.healing import Patience
from cluster.replication import messages as m
from cluster.replication.membership import Member
from tests.cluster.replication_healing import Healer
from tests.cluster.replication_world import World

SCRIPTS = sorted((Path(__file__).parents[1] / "scripts" / "replication").glob("*.txt"))
QUIET = (m.Heartbeat, m.HeartbeatReply, m.Committed, m.Accept, m.AcceptReply)


def ballot(value: m.Ballot) -> str:
    """``2.az1``."""
    return f"{value.number}.{value.node}"


def say(effect: m.Effect) -> str | None:
    """One line for what matters of an effect; None for steady state."""
    match effect:
        case m.RoleChanged(role, under, reason):
            return f"{role} ({reason}) ballot {ballot(under)}"
        case m.Accepted(proposal, lsn):
            return f"proposal {proposal} accepted at LSN {lsn}"
        case m.Rejected(proposal, reason, leader):
            return f"proposal {proposal} rejected: {reason}, leader {leader}"
        case m.NeedSnapshot(source, lsn, members) if members is not None:
            return f"begins after LSN {lsn}, as a log replica of {source}'s group"
        case m.Apply(entries) if any(entry.members is not None for entry in entries):
            changes = [entry.members for entry in entries if entry.members is not None]
            return "members " + " then ".join(" ".join(map(who, members)) for members in changes)
        case m.NeedSnapshot(source, lsn):
            return f"needs a snapshot up to {lsn} from {source}"
        case m.Send(to, message) if not isinstance(message, QUIET):
            return f"-> {to} {describe(message)}"
        case _:
            return None


def who(member: Member) -> str:
    """``az3b(log)``."""
    return f"{member.node}(log)" if member.log_only else member.node


def describe(message: m.Message) -> str:
    """A control message in short."""
    match message:
        case m.PeerAnswer():
            return f"PeerAnswer healthy={message.healthy}"
        case m.Prepare():
            return f"Prepare {ballot(message.ballot)} committed={message.committed} released={message.released.number}"
        case m.Promise():
            return f"Promise {ballot(message.ballot)} entries={len(message.entries)}"
        case m.Refusal():
            return f"Refusal {ballot(message.ballot)} {message.reason} remaining={message.lease_remaining:.3f} healthy={message.healthy}"
        case m.Resign():
            return f"Resign {ballot(message.ballot)} successor={message.successor}"
        case m.Outdated():
            return f"Outdated {ballot(message.ballot)} promised={ballot(message.promised)}"
        case m.LogGone():
            return f"LogGone committed={message.committed}"
        case m.Lost():
            return f"Lost {ballot(message.ballot)}"
        case _:
            return type(message).__name__


class Script:
    """A world driven by commands."""

    def __init__(self) -> None:
        self.world = World(spares=("az1b", "az2b", "az3b"))
        self.world.trace = self._trace
        self.lines: list[str] = []

    def _trace(self, name: str, _event: m.Input, effects: list[m.Effect]) -> None:
        said = [text for text in map(say, effects) if text is not None]
        self.lines += [f"{self.world.now:.3f} {name}: {text}" for text in said]

    def run(self, command: str) -> None:
        """Carry out one command."""
        world = self.world
        match command.split():
            case ["run", seconds]:
                world.run(world.now + float(seconds))
            case ["state"]:
                self._state()
            case ["write", name, *count]:
                for _ in range(int(count[0]) if count else 1):
                    world.write(name)
            case ["read", name]:
                self.lines.append(f"{world.now:.3f} {name}: strong read {'served' if world.read(name) else 'refused'}")
            case ["heal"]:
                self.healer = Healer(self.world, Patience(dead_after_seconds=2.0, rebuild_after_seconds=3.0))
                self.healer.tell = lambda text: self.lines.append(f"{self.world.now:.3f} {text}")
            case ["wipe", name]:
                self.world.wipe(name)
            case ["cut", source, target]:
                world.cut.add((source, target))
            case ["mend", source, target]:
                world.cut.discard((source, target))
            case ["hand-over", leader, successor]:
                world.step(leader, m.HandOver(successor))
            case [verb, *names]:
                self._each(verb, names)

    def _each(self, verb: str, names: list[str]) -> None:
        for name in names:
            match verb:
                case "start":
                    self.world.start(name)
                case "crash":
                    self.world.crash(name)
                case "checkpoint":
                    self.world.checkpoint(name, truncate=True)
                case _:
                    raise ValueError(f"no such command: {verb}")

    def _state(self) -> None:
        for node in self.world.nodes.values():
            r = node.replica
            what = "up, no replica" if node.up else "down"
            if r is None and node.name not in self.world.members:
                continue
            if r is not None:
                log = f"log {r.first_lsn}..{r.last_lsn} committed {r.commit_lsn}"
                kind = "log replica" if r.log_only else r.role
                what = f"{kind} ballot {ballot(r.ballot)} leader {r.leader_hint} {log}"
            self.lines.append(f"{self.world.now:.3f} {node.name}: {what}")


def replay(text: str) -> str:
    """The script with the trace that it leaves today."""
    script, out = Script(), []
    for line in text.splitlines():
        if line.startswith("    "):
            continue
        out.append(line)
        if line and not line.startswith("#"):
            script.lines = []
            script.run(line)
            out += [f"    {said}" for said in script.lines]
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path) -> None:
    """The trace of a script is the recorded one."""
    text = path.read_text()
    now = replay(text)
    if os.environ.get("REPLICATION_REWRITE"):
        path.write_text(now)
    else:
        assert now == text


def test_there_are_scripts() -> None:
    """The scripts are found."""
    assert len(SCRIPTS) >= 6
