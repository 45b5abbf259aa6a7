"""What many runs amount to, and how one that failed is replayed (pure)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fivenines.simulation.checkers.verdict import Broken


@dataclass(slots=True)
class Report:
    """What came of a run. ``digest``: of everything that happened in it; ``seconds``: virtual."""

    seed: int
    digest: str = ""
    broken: list[Broken] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    strikes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    elections: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Runs added up. ``runs`` counts repetitions as well, ``worlds`` does not."""

    worlds: int = 0
    runs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    elections: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    strikes: Counter[str] = field(default_factory=Counter)
    failures: dict[int, list[Broken]] = field(default_factory=dict)
    _digests: dict[int, str] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    def add(self, report: Report) -> bool:
        """Take one run; whether its seed has just failed for the first time. The second of a seed must be as the first."""
        self.runs += 1
        self.cpu_seconds += report.cpu_seconds
        broken = list(report.broken)
        before = self._digests.setdefault(report.seed, report.digest)
        if before != report.digest:
            text = f"two runs of seed {report.seed} differ: {before}, {report.digest}"
            broken.append(Broken("replayable", report.seconds, text))
        elif report.seed in self._seen:
            broken = []
        if report.seed not in self._seen:
            self._count(report)
        known = report.seed in self.failures
        if broken:
            self.failures.setdefault(report.seed, []).extend(broken)
        return bool(broken) and not known

    def _count(self, report: Report) -> None:
        self.worlds += 1
        self.seconds += report.seconds
        self.elections += report.elections
        self.operations += report.operations
        self.strikes += report.strikes
        self._seen.add(report.seed)

    def table(self) -> str:
        """For people."""
        rows = [
            ("worlds", f"{self.worlds} ({self.runs} runs)"),
            ("simulated", f"{self.seconds / 3600:.2f} hours"),
            ("operations", _counts(self.operations)),
            ("faults", f"{self.strikes.total()}: {_counts(self.strikes)}"),
            ("elections", str(self.elections)),
            ("CPU a run", f"{self.cpu_seconds / max(1, self.runs):.3f} s"),
            ("failed", str(len(self.failures))),
        ]
        return "\n".join(f"{name:<11} {value}" for name, value in rows)

    def summary(self) -> dict[str, Any]:
        """For machines."""
        return {
            "worlds": self.worlds,
            "runs": self.runs,
            "simulated_seconds": round(self.seconds, 3),
            "operations": dict(sorted(self.operations.items())),
            "faults": dict(sorted(self.strikes.items())),
            "elections": self.elections,
            "cpu_seconds_per_run": round(self.cpu_seconds / max(1, self.runs), 4),
            "failures": [
                {"seed": seed, "broken": [{"promise": b.promise, "at": b.at, "text": b.text} for b in broken]}
                for seed, broken in sorted(self.failures.items())
            ],
        }


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def replay_command(seed: int, mutation: str | None = None) -> str:
    """The one command that shows the failure again."""
    extra = f" --mutation {mutation}" if mutation else ""
    return f".venv/bin/python -m fivenines.simulation --seed {seed}{extra}"


def told(seed: int, broken: Sequence[Broken], mutation: str | None = None) -> str:
    """A failure for people: what was broken first, and the command."""
    return f"seed {seed}: {broken[0]}\n  replay: {replay_command(seed, mutation)}"
