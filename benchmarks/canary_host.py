"""A whole canary process for benchmarks: ``python -m benchmarks.canary_host CONFIG.json [NOTES.json]``.

With a second argument it keeps every start's lateness (seconds) and how many probes were intended, and writes both when it is told
to end; SIGUSR1 ends its intentions: what is under way still comes back and is reported, and then the numbers must agree.
``python -m benchmarks.canary_host ticker RATE FILE`` is a bare timer of the same loop, for comparison: what the machine itself is late by.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

import uvloop

from canary import process
from canary.config import CanaryConfig
from canary.metrics import Metrics
from canary.schedule import Schedule, Step
from fivenines.part import settle


async def until_told(work: Coroutine[None, None, None]) -> None:
    """Until SIGTERM."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])


@dataclass(slots=True)
class Notes:
    """What the process did, for whoever measures it."""

    lateness: list[float] = field(default_factory=list)
    intended: int = 0
    over: bool = False

    def take(self) -> None:
        """Note every start and every intention from now on."""
        started, step = Metrics.started, Schedule.step

        def note_start(metrics: Metrics, lateness_seconds: float) -> None:
            self.lateness.append(lateness_seconds)
            started(metrics, lateness_seconds)

        def note_step(schedule: Schedule, now: float) -> Step:
            if self.over:
                return Step((), ())
            found = step(schedule, now)
            self.intended += len(found.ticks) + sum(missed.count for missed in found.missed)
            return found

        Metrics.started = note_start  # type: ignore[method-assign]
        Schedule.step = note_step  # type: ignore[method-assign]
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.end)

    def end(self) -> None:
        """Nothing is intended any more."""
        self.over = True


async def canary(config: CanaryConfig, notes: Notes | None) -> None:
    """The first zone's hosts."""
    if notes is not None:
        notes.take()
    await process.run(config, config.zones[0])


async def tick(rate: float, kept: list[float]) -> None:
    """Wake ``rate`` times a second and do nothing else."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    due = monotonic()

    def woken() -> None:
        nonlocal due
        kept.append(max(0.0, monotonic() - due))
        due = max(due + 1 / rate, monotonic())
        loop.call_later(max(0.0, due - monotonic()) + 0.0005, woken)

    woken()
    await over


def main(arguments: list[str]) -> None:
    """See above."""
    notes = Notes()
    settle()
    if arguments[0] == "ticker":
        uvloop.run(until_told(tick(float(arguments[1]), notes.lateness)))
    else:
        config = CanaryConfig.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
        uvloop.run(until_told(canary(config, notes if len(arguments) > 1 else None)))
    if len(arguments) > 1:
        Path(arguments[-1]).write_text(json.dumps(asdict(notes)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
