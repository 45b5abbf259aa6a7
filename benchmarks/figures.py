"""One benchmark's result: a row of the table and a JSON file."""

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, object]:
    """What it ran on."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "processor": platform.machine(),
    }


@dataclass(frozen=True, kw_only=True)
class Result:
    """``ratio``: the alternative's cost divided by ours (above 1: ours is cheaper); None when there is no alternative.

    ``table``: the figures for a person, where a line of names and values would not be readable.
    """

    name: str
    figures: dict[str, float]
    ratio: float | None
    against: str
    machine: dict[str, object] = field(default_factory=machine)
    table: str = ""

    def write(self) -> None:
        """One JSON object in ``benchmarks/results``."""
        RESULTS.mkdir(exist_ok=True)
        values = {name: value for name, value in asdict(self).items() if name != "table"}
        (RESULTS / f"{self.name}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def cpu_of(work: Callable[[], object], rounds: int = 5) -> float:
    """The least process CPU seconds of ``work`` over some rounds: noise only ever adds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best
