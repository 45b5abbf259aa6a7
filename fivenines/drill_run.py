"""Runs a scenario against a running stack and sees what the judgement makes of it (shell).

The drill sees only what an on-call engineer sees: incidents and pages by the judgement's API. The time of each fault comes
from whoever put it in force.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fivenines.calm import until_calm
from fivenines.config import Config
from fivenines.control import ControlClient, NotRunning
from fivenines.drill_verdict import Seen, Verdict, judge, matched
from fivenines.drill_watch import Progress, Watch
from fivenines.drills import Scenario, ScheduledFault
from fivenines.judgement_client import JudgementClient
from fivenines.stack import running

POLL_SECONDS = 0.25
SETTLE_SECONDS = 20.0
"""After the last fault is gone, a drill that expects nobody to be paged watches this much longer."""
DEFAULT_CLEAR_SECONDS = 60.0


@asynccontextmanager
async def a_stack(config: Config, progress: Progress) -> AsyncIterator[tuple[ControlClient, JudgementClient]]:
    """The running stack of this folder, or one of our own for the time being."""
    control = ControlClient(config.state_dir)
    try:
        state = await control.state()
    except NotRunning:
        progress("no stack is running here: starting one for this drill")
        async with running(config, progress) as stack:
            yield control, JudgementClient(stack.state()["cfa"])
        return
    yield control, JudgementClient(state["cfa"])


async def run(
    scenario: Scenario,
    config: Config,
    control: ControlClient,
    judgement: JudgementClient,
    *,
    seed: int,
    progress: Progress,
) -> Verdict:
    """Wait for a calm stack, break it as the scenario says, watch, judge. Every fault is taken away again, whatever happens."""
    await until_calm(config, judgement, progress)
    watch = Watch(judgement, time.time())
    await watch.look()
    faults = _Faults(seeded(scenario, seed), control, progress)
    started = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(faults.run())
            await _watch_until_settled(scenario, watch, faults, started, progress)
            faults.finish()
        await watch.look()
    finally:
        await faults.clear()
    seen = Seen(
        in_force_at=faults.in_force_at,
        ended_at=time.time(),
        incidents=watch.incidents,
        pages=watch.pages,
        recused=tuple(watch.recused),
        failed_probes=watch.failed_probes,
        actions=watch.actions,
        blind_at=watch.blind_at,
    )
    return judge(scenario, seen, seed=seed)


def seeded(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with the drill's seed in every fault that is a matter of chance and has none of its own."""
    faults = tuple(
        scheduled.model_copy(update={"fault": scheduled.fault.model_copy(update={"seed": seed})})
        if scheduled.fault.probability is not None and scheduled.fault.seed is None
        else scheduled
        for scheduled in scenario.faults
    )
    return scenario.model_copy(update={"faults": faults})


class _Faults:
    """The scenario's faults, each at its time."""

    def __init__(self, scenario: Scenario, control: ControlClient, progress: Progress) -> None:
        self._scenario = scenario
        self._control = control
        self._progress = progress
        self._installed: set[str] = set()
        self._finished = asyncio.Event()
        self.in_force_at: float | None = None
        self.over_at: float | None = None if scenario.faults else time.time()

    async def run(self) -> None:
        """Put every fault in force at its time and take it away at its time."""
        async with asyncio.TaskGroup() as group:
            for scheduled in self._scenario.faults:
                group.create_task(self._one(scheduled))
        self.over_at = time.time()

    async def _one(self, scheduled: ScheduledFault) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._finished.wait(), scheduled.at)
        if self._finished.is_set():
            return
        added = await self._control.add(scheduled.fault)
        self._installed.add(added["id"])
        at = float(added["in_force_at"])
        self.in_force_at = min(at, self.in_force_at or at)
        self._progress(f"in force: {scheduled.fault.model_dump(mode='json', by_alias=True, exclude_defaults=True)}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._finished.wait(), scheduled.lasts)
        await self._remove(added["id"])
        self._progress(f"taken away: {scheduled.fault.kind}")

    async def _remove(self, identity: str) -> None:
        if identity in self._installed and identity in {fault["id"] for fault in await self._control.faults()}:
            await self._control.remove(identity)
        self._installed.discard(identity)

    def finish(self) -> None:
        """Take away what has no end of its own."""
        self._finished.set()

    async def clear(self) -> None:
        """Whatever is still there."""
        for identity in list(self._installed):
            with contextlib.suppress(NotRunning):
                await self._remove(identity)


async def _watch_until_settled(
    scenario: Scenario, watch: Watch, faults: _Faults, started: float, progress: Progress
) -> None:
    told: dict[str, tuple[Any, ...]] = {}
    while True:
        await watch.look()
        for incident in watch.incidents:
            now_known = (incident["state"], incident["severity"], incident["scope"], incident["side"])
            if told.get(incident["id"]) != now_known:
                told[incident["id"]] = now_known
                progress(f"incident {incident['state']} ({incident['severity']}): {incident['summary']}")
        now = time.time()
        if now - faults_start(faults, now) > _give_up_seconds(scenario):
            return
        if settled(scenario, watch, faults.in_force_at, faults.over_at, now) and time.monotonic() - started >= (
            scenario.lasts or 0.0
        ):
            return
        if faults.in_force_at and _endless(scenario) and _all_told(scenario, watch):
            faults.finish()
        await asyncio.sleep(POLL_SECONDS)


def faults_start(faults: _Faults, now: float) -> float:
    """When the faults began, or now when they have not."""
    return faults.in_force_at or now


def _endless(scenario: Scenario) -> bool:
    return any(fault.lasts is None for fault in scenario.faults)


def _all_told(scenario: Scenario, watch: Watch) -> bool:
    """Whether every page that is expected has come, and every ticket is there."""
    pairs = matched(scenario.expect.expected, watch.incidents)
    told = (i is not None and (e.severity != "page" or i["paged_at"] is not None) for e, i in pairs)
    return bool(pairs) and all(told)


def _give_up_seconds(scenario: Scenario) -> float:
    within = max((expected.within for expected in scenario.expect.expected), default=0.0)
    clears = scenario.expect.clears_within or DEFAULT_CLEAR_SECONDS
    blind = scenario.expect.blind_within or 0.0
    return max(scenario.faults_over_seconds + max(within, clears, blind), scenario.lasts or 0.0) + SETTLE_SECONDS


def settled(scenario: Scenario, watch: Watch, in_force_at: float | None, over_at: float | None, now: float) -> bool:
    """Whether nothing more is to be expected."""
    if over_at is None:
        return False
    opened = [incident for incident in watch.incidents if incident["state"] == "open"]
    expected = scenario.expect.expected
    if not expected:
        # With its own length a scenario has said how long to watch.
        quiet = scenario.lasts is not None or now - over_at >= SETTLE_SECONDS
        return not opened and not watch.is_blind and quiet
    if in_force_at is None:
        return False
    return len(watch.incidents) >= len(expected) and not opened
