"""Time to page, live: from a hard fault in force until its page is at a webhook, over 20 runs on the embedded stack.

Each run breaks the bundled store in one of five ways, waits for the page at a real HTTP receiver, mends it, and waits until the
stack is well again. Where the time went is told: until the first probe failed, until there was evidence and a steady scope,
until the page was delivered. ``BENCH_RUNS`` changes how many runs. Needs the stack's usual ports to be free.
"""

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from aiohttp import web

from benchmarks.figures import Result
from cfa.destinations.config import Destination
from cfa.time_to_page import summary
from cluster.faults import Fault
from fivenines.calm import until_calm
from fivenines.config import Config
from fivenines.fault_control import FaultControl
from fivenines.judgement_client import JudgementClient
from fivenines.stack import running

RUNS = int(os.environ.get("BENCH_RUNS", "20"))
PATIENCE_SECONDS = 30.0
FAULTS: dict[str, dict[str, Any]] = {
    "zone power-off": {"kind": "power_off", "zone": "az1"},
    "DNS empty": {"kind": "dns", "endpoint": "standard", "answer": "empty"},
    "TLS expired": {"kind": "tls", "endpoint": "fips", "problem": "expired"},
    "router killed": {"kind": "crash", "router": "az2-router-1"},
    "router 500": {"kind": "error", "router": "az3-router-2", "status": 500},
}
QUOTED = "Prometheus+blackbox, not run here: 1.1 s with every interval at 1 s, 51 to 106 s with the defaults"


@dataclass(frozen=True, slots=True)
class Run:
    """One fault's seconds: to the first failed probe, from there to the decision, from there to the webhook; and in all."""

    fault: str
    probe: float
    decide: float
    deliver: float
    whole: float


class Receiver:
    """A webhook that remembers when each page came. Not Alertmanager's: the clock is ours."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[float] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        """One notice; only firing ones count."""
        at, body = time.time(), await request.json()
        if body.get("status") == "firing":
            self.arrived.put_nowait(at)
        return web.Response()


async def _listen(receiver: Receiver) -> tuple[web.AppRunner, int]:
    app = web.Application()
    app.router.add_post("/", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


async def _one(name: str, faults: FaultControl, judgement: JudgementClient, receiver: Receiver) -> Run:
    while not receiver.arrived.empty():
        receiver.arrived.get_nowait()
    added = await faults.add(Fault.model_validate(FAULTS[name]), None)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            arrived = await receiver.arrived.get()
    finally:
        await faults.remove(added.id)
    since = added.in_force_at
    page = next(i for i in judgement.incidents("all", since) if i["paged_at"] is not None and i["paged_at"] > since)
    # A failure of the run before, in the same scope, is not this one's first.
    first, paged = max(page["first_failure_at"], since), page["paged_at"]
    return Run(name, first - since, paged - first, arrived - paged, arrived - since)


async def _all(folder: Path) -> list[Run]:
    receiver, runs = Receiver(), []
    runner, port = await _listen(receiver)
    base = Config(state_dir=folder)
    webhook = Destination(kind="webhook", url=f"http://127.0.0.1:{port}/")
    config = base.model_copy(update={"cfa": base.cfa.model_copy(update={"destinations": (webhook,)})})
    try:
        async with running(config, lambda _line: None) as stack:
            judgement = JudgementClient(stack.state()["cfa"])
            for number in range(RUNS):
                await until_calm(stack.config, judgement, lambda _line: None)
                name = list(FAULTS)[number % len(FAULTS)]
                runs.append(await _one(name, stack.faults, judgement, receiver))
                print(f"  {number + 1}/{RUNS} {name}: {runs[-1].whole:.2f} s", flush=True)
    finally:
        await runner.cleanup()
    return runs


def _table(runs: list[Run]) -> str:
    lines = [
        f"{'fault':<16} {'runs':>4} {'probe':>7} {'decide':>7} {'deliver':>8} {'median':>7} {'worst':>7}   (seconds)"
    ]
    for name in [*FAULTS, "all"]:
        mine = [run for run in runs if name in (run.fault, "all")]
        if mine:
            parts = [median(getattr(run, part) for run in mine) for part in ("probe", "decide", "deliver", "whole")]
            figures = "".join(f"{part:8.2f}" for part in parts)
            lines.append(f"{name:<16} {len(mine):>4}{figures} {max(run.whole for run in mine):7.2f}")
    return "\n".join([*lines, QUOTED])


def run() -> Result:
    """Twenty live runs."""
    with tempfile.TemporaryDirectory(prefix="time-to-page-") as folder:
        runs = asyncio.run(_all(Path(folder)))
    told = summary(run.whole for run in runs)
    figures = {
        "runs": float(len(runs)),
        "p50_seconds": float(told["p50_seconds"] or 0.0),
        "p95_seconds": float(told["p95_seconds"] or 0.0),
        "worst_seconds": float(told["most_seconds"] or 0.0),
        **{
            f"{part}_p50_seconds": median(getattr(run, part) for run in runs) for part in ("probe", "decide", "deliver")
        },
    }
    return Result(name="time-to-page", figures=figures, ratio=None, against=QUOTED, table=_table(runs))
