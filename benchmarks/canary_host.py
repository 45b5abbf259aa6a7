"""A whole canary process for benchmarks: ``python -m benchmarks.canary_host CONFIG.json [LATENESS.json]``.

With a second argument it keeps every start's lateness (seconds) and writes them when it is told to end.
``python -m benchmarks.canary_host ticker RATE FILE`` is a bare timer of the same loop, for comparison: what the machine itself is late by.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path
from time import monotonic

import uvloop

from canary import process
from canary.config import CanaryConfig
from canary.metrics import Metrics


async def until_told(work: Awaitable[None]) -> None:
    """Until SIGTERM."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])


def keep_lateness() -> list[float]:
    """The lateness of every start from now on."""
    kept: list[float] = []
    started = Metrics.started

    def note(metrics: Metrics, lateness_seconds: float) -> None:
        kept.append(lateness_seconds)
        started(metrics, lateness_seconds)

    Metrics.started = note  # type: ignore[method-assign]
    return kept


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
    if arguments[0] == "ticker":
        kept: list[float] = []
        uvloop.run(until_told(tick(float(arguments[1]), kept)))
    else:
        config = CanaryConfig.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
        kept = keep_lateness() if len(arguments) > 1 else []
        uvloop.run(until_told(process.run(config, config.zones[0])))
    if len(arguments) > 1:
        Path(arguments[-1]).write_text(json.dumps(kept), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
