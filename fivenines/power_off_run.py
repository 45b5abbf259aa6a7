"""Runs a power-off drill: customers write and read, the power goes and comes, and in the end everything is checked (shell)."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.loopback import load_topology
from cluster.topology import Topology
from fivenines import durability, secrets
from fivenines.calm import until_calm
from fivenines.config import Config
from fivenines.control import ControlClient, ControlError, NotRunning
from fivenines.drill_verdict import Seen, Verdict, judge
from fivenines.drill_watch import DrillFailed, Progress, Watch
from fivenines.drills import Scenario
from fivenines.durability import Durability
from fivenines.judgement_client import JudgementClient
from fivenines.power_off import PowerOff, Storm, plan
from fivenines.simulation.history import WRITES, Outcome
from fivenines.wholeness import not_whole
from fivenines.wiring import ACCESS_KEY_ID, secrets_dir
from fivenines.witness import Witness
from fivenines.witness_client import WitnessClient, session
from fivenines.zone_states import ZoneStates, admin_headers

TELL_SECONDS = 10.0
LOOK_SECONDS = 1.0
WHOLE_POLL_SECONDS = 0.5
START_PATIENCE_SECONDS = 30.0


async def run(
    scenario: Scenario,
    config: Config,
    control: ControlClient,
    judgement: JudgementClient,
    *,
    seed: int,
    progress: Progress,
) -> Verdict:
    """Wait for a calm stack, let the power go and come under traffic, wait until all is whole again, read back, judge."""
    assert scenario.traffic is not None
    await until_calm(config, judgement, progress)
    topology = load_topology(config.cluster)
    began = time.time()
    async with session() as http:
        secret = secrets.read(secrets_dir(config.state_dir) / "store_key") or ""
        client = WitnessClient(http, ACCESS_KEY_ID, secret, config.cluster.region)
        witness = Witness(client, scenario.traffic, _routers(config, topology), run=f"{int(began)}", seed=seed)
        power = _Power(_storms(scenario, topology, seed), control, progress)
        watch = Watch(judgement, began)
        zones = ZoneStates(topology, admin_headers(config))
        found = await _Drill(
            scenario=scenario, zones=zones, power=power, witness=witness, watch=watch, progress=progress
        ).run()
        verdict = judge(scenario, _seen(watch, power), seed=seed, durability=found)
        if verdict.passed:
            await witness.clean()
        else:
            progress(
                f"the items stay for whoever looks into it: table {scenario.traffic.table}, pk {witness.keys[0]} …"
            )
        return verdict


def _storms(scenario: Scenario, topology: Topology, seed: int) -> tuple[Storm, ...]:
    assert scenario.power_offs is not None
    assert scenario.lasts is not None
    zones = {zone.name: tuple(node.name for node in zone.nodes) for zone in topology.zones}
    return plan(scenario.power_offs, zones, seed=seed, lasts=scenario.lasts)


def _routers(config: Config, topology: Topology) -> dict[str, tuple[str, ...]]:
    """Base URLs of the first endpoint's plain HTTP, by zone."""
    first = config.cluster.endpoints[0]
    return {z.name: tuple(f"http://{router.http[first]}" for router in z.routers) for z in topology.zones}


def _seen(watch: Watch, power: "_Power") -> Seen:
    return Seen(
        in_force_at=power.first_at,
        ended_at=time.time(),
        incidents=watch.incidents,
        pages=watch.pages,
        recused=tuple(watch.recused),
    )


class _Power:
    """Carries out the plan: a storm begins when the last one's power is back and its pause is over."""

    def __init__(self, storms: tuple[Storm, ...], control: ControlClient, progress: Progress) -> None:
        self._storms, self._control, self._progress = storms, control, progress
        self._off: set[str] = set()
        self.count = 0
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.now_off: set[str] = set()

    async def run(self) -> None:
        """All storms, one after the other."""
        for number, storm in enumerate(self._storms, start=1):
            await asyncio.sleep(storm.pause)
            places = ", ".join(f"{each.place} for {each.lasts:.1f} s" for each in storm.power_offs)
            self._progress(f"{number}/{len(self._storms)} after {storm.pause:.1f} s of calm without power: {places}")
            async with asyncio.TaskGroup() as group:
                for each in storm.power_offs:
                    group.create_task(self._one(each))

    async def _one(self, power_off: PowerOff) -> None:
        await asyncio.sleep(power_off.after)
        added = await self._strike(power_off)
        self._off.add(added["id"])
        self.now_off.add(power_off.place)
        self.count += 1
        self.last_at = float(added["in_force_at"])
        self.first_at = self.first_at or self.last_at
        await asyncio.sleep(power_off.lasts)
        await self._on(added["id"])
        self.now_off.discard(power_off.place)

    async def _strike(self, power_off: PowerOff) -> dict[str, Any]:
        """In force. A node whose zone is only just starting cannot be told yet: it falls as soon as it stands."""
        deadline = time.monotonic() + START_PATIENCE_SECONDS
        while True:
            try:
                return await self._control.add(power_off.fault)
            except ControlError as error:
                if time.monotonic() > deadline:
                    raise DrillFailed(f"{power_off.place} could not be powered off: {error}") from error
                await asyncio.sleep(0.2)

    async def _on(self, identity: str) -> None:
        with contextlib.suppress(ControlError, NotRunning):
            await self._control.remove(identity)
        self._off.discard(identity)

    async def restore(self) -> None:
        """Power everywhere, whatever happened."""
        for identity in list(self._off):
            await self._on(identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drill:
    """One run: traffic and power at the same time, then the checks."""

    scenario: Scenario
    zones: ZoneStates
    power: _Power
    witness: Witness
    watch: Watch
    progress: Progress
    epoch: float = field(default_factory=lambda: time.time() - time.monotonic())
    """Makes UTC of monotonic times."""

    async def run(self) -> Durability:
        """Break, heal, check."""
        began = time.monotonic()
        until = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.witness.work(until))
                watching = group.create_task(self._look(began))
                await self.power.run()
                self.progress("all have power; waiting until every replication group is whole")
                missing, whole_after = await self._until_whole()
                await asyncio.sleep(max(0.0, began + (self.scenario.lasts or 0.0) - time.monotonic()))
                until.set()
                watching.cancel()
        finally:
            await self.power.restore()
        ended = time.monotonic()
        self.progress(f"reading {len(self.witness.keys)} keys back")
        unread, differ = await self.witness.read_back()
        found = await asyncio.to_thread(self._judge_history, began, ended)
        await self.watch.look()
        return replace(
            found,
            groups_not_whole=missing,
            whole_after_seconds=whole_after,
            keys_read_back=len(self.witness.keys) - len(unread),
            keys_not_read_back=unread[: durability.SHOWN],
            replicas_differ=differ[: durability.SHOWN],
            scrub=await self.zones.scrub(),
        )

    def _judge_history(self, began: float, ended: float) -> Durability:
        history, witness = self.witness.history.operations, self.witness
        outcomes = [o.outcome for o in history if o.kind in WRITES]
        keys = durability.by_key(history)
        return Durability(
            power_offs=self.power.count,
            operations=len(history),
            writes_acknowledged=outcomes.count(Outcome.OK),
            writes_indeterminate=outcomes.count(Outcome.UNKNOWN) + outcomes.count(Outcome.OPEN),
            writes_refused=outcomes.count(Outcome.FAILED) + outcomes.count(Outcome.CONDITION_FALSE),
            keys_read_back=0,
            lost=[lost for operations in keys.values() for lost in durability.lost_writes(operations, self.epoch)],
            never_written=[told for operations in keys.values() for told in durability.never_written(operations)],
            unlinearizable=durability.unlinearizable(keys),
            longest_gap_seconds=durability.longest_gaps(witness.successes, witness.partitions, began, ended),
        )

    async def _look(self, began: float) -> None:
        """Ask the judgement now and then, and tell how it goes."""
        told = 0.0
        while True:
            await self.watch.look()
            now = time.monotonic()
            if now - told >= TELL_SECONDS:
                told = now
                self.progress(self._how_it_goes(now - began))
            await asyncio.sleep(LOOK_SECONDS)

    def _how_it_goes(self, seconds: float) -> str:
        outcomes = [o.outcome for o in self.witness.history.operations if o.kind in WRITES]
        dark = ", ".join(sorted(self.power.now_off)) or "all have power"
        return (
            f"{int(seconds) // 60:02}:{int(seconds) % 60:02}  {outcomes.count(Outcome.OK)} writes acknowledged, "
            f"{outcomes.count(Outcome.UNKNOWN)} indeterminate; without power: {dark}"
        )

    async def _until_whole(self) -> tuple[dict[str, str], float | None]:
        """What is still missing when patience ends, and the seconds from the last power-off until nothing was."""
        since = self.power.last_at or time.time()
        patience = time.time() + self.scenario.expect.whole_within
        told: dict[str, str] = {}
        while True:
            missing = not_whole(await self.zones.states(), self.zones.count)
            if not missing:
                return {}, round(time.time() - since, 3)
            if time.time() > patience:
                return missing, None
            if missing != told:
                told = missing
                self.progress(
                    f"{len(missing)} not whole yet: {'; '.join(f'{g}: {w}' for g, w in list(missing.items())[:3])}"
                )
            await asyncio.sleep(WHOLE_POLL_SECONDS)
