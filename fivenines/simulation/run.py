"""One seed, one run: a world, its customers, its troubles, then calm, then the judgement (shell)."""

import asyncio
import functools
import gc
import random
import time
import traceback
from dataclasses import dataclass

from fivenines.simulation import convergence
from fivenines.simulation.checkers.answers import judge
from fivenines.simulation.checkers.verdict import Verdict
from fivenines.simulation.clients import SLOTS, Client, Habits
from fivenines.simulation.history import History, Kind, Operation, Outcome
from fivenines.simulation.nemesis import Ground, Strike, plan
from fivenines.simulation.network import Weather
from fivenines.simulation.stage import Stage, act
from fivenines.simulation.strikes import Striker
from fivenines.simulation.tally import Report
from fivenines.simulation.trace import Trace
from fivenines.simulation.world import TABLE, Size, World

WARM_UP_SECONDS = 4.0
FAULTY_SECONDS = 42.0
CALM_SECONDS = 18.0
LONGEST_RELIEF_SECONDS = 60.0
"""Taking the last fault back takes moments; if it takes longer, something hangs."""
RUN_SECONDS = WARM_UP_SECONDS + FAULTY_SECONDS + CALM_SECONDS


@dataclass(frozen=True, slots=True)
class Options:
    """What a seed decides before anything happens."""

    size: Size
    weather: Weather
    habits: Habits
    strikes: tuple[Strike, ...]


def options(seed: int) -> Options:
    """Draw the options of a run."""
    draw = random.Random(f"{seed} options")
    size = Size(
        partitions=draw.choice([1, 1, 2]),
        quick=draw.random() < 0.5,
        archived=draw.random() < 0.35,
        scrub_seconds=draw.choice([6.0, 20.0]),
    )
    weather = Weather(
        usual=(0.0003, draw.choice([0.001, 0.01, 0.05])),
        hiccup=(draw.choice([0.0, 0.0, 0.01]), draw.choice([0.3, 3.0])),
        doubled=draw.choice([0.0, 0.0, 0.1]),
    )
    kinds = [kind for kind in Kind if draw.random() < 0.7] or [Kind.PUT]
    weights = {kind: draw.choice([1.0, 3.0]) for kind in dict.fromkeys([Kind.PUT, Kind.READ, *kinds])}
    habits = Habits(
        clients=draw.randint(2, 5), keys=draw.randint(1, 4), gap_seconds=1.0, weights=tuple(weights.items())
    )
    nodes: dict[str, tuple[str, ...]] = {f"az{zone}": (f"az{zone}-node-1", f"az{zone}-node-2") for zone in (1, 2, 3)}
    ends_at = WARM_UP_SECONDS + FAULTY_SECONDS
    strikes = plan(draw, Ground(nodes), begins_at=WARM_UP_SECONDS, ends_at=ends_at)
    return Options(size, weather, habits, strikes)


def run(seed: int, *, keeps_trace: bool = False) -> Report:
    """Live through one seed. Nothing that is real time, or chance from elsewhere, has a part in it but ``cpu_seconds``."""
    _set_aside_what_stays()
    began = time.process_time()
    report = Report(seed)
    stage = Stage(Trace(keeps=keeps_trace), Verdict())
    try:
        act(stage, lambda: _live(seed, options(seed), stage, report))
    except Exception:  # noqa: BLE001 (one seed that fails in an unforeseen way must not end the swarm)
        stage.verdict.breaks("runs_to_its_end", stage.now(), traceback.format_exc())
        report.broken, report.digest, report.lines = stage.verdict.broken, stage.trace.digest, stage.trace.lines
    gc.collect()
    report.cpu_seconds = time.process_time() - began
    return report


@functools.cache
def _set_aside_what_stays() -> None:
    """Modules and their like live as long as the process: the collection after each run need not look at them."""
    gc.collect()
    gc.freeze()


async def _live(seed: int, chosen: Options, stage: Stage, report: Report) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    calm_at, ends_at = began + WARM_UP_SECONDS + FAULTY_SECONDS, began + RUN_SECONDS
    world = World(seed, chosen.size, stage)
    world.network.weather = chosen.weather
    await world.start()
    history = History()
    clients = _clients(world, chosen.habits, history)
    await asyncio.sleep(began + WARM_UP_SECONDS - loop.time())
    lives = [asyncio.create_task(client.run(ends_at)) for client in clients]
    striker = Striker(world)
    striker.schedule(chosen.strikes, began)
    while loop.time() < calm_at and not stage.verdict.broken:
        await asyncio.sleep(min(1.0, calm_at - loop.time()))
    if not stage.verdict.broken:
        async with asyncio.timeout(LONGEST_RELIEF_SECONDS):
            await striker.over()
        world.network.weather = Weather()
        world.note("calm", "no more faults")
        await asyncio.gather(*lives)
        await convergence.judge(world, history, clients[0], keys=chosen.habits.keys, calm_at=calm_at)
    judge(history, SLOTS, stage.verdict, loop.time())
    report.broken = stage.verdict.broken
    report.elections = world.watch.agreement.elections
    report.seconds = loop.time() - began
    report.operations.update(_outcome(operation) for operation in history.operations)
    report.strikes.update(strike.trouble.value for strike in chosen.strikes)
    report.events = stage.trace.counts
    # What follows is the loop's own end, which cancels tasks in no order.
    report.digest, report.lines = stage.trace.digest, list(stage.trace.lines)
    world.close()


def _clients(world: World, habits: Habits, history: History) -> list[Client]:
    return [
        Client(
            f"c{number}",
            region=world,
            zones=(*world.config.zones[number % 3 :], *world.config.zones[: number % 3]),
            table=TABLE,
            habits=habits,
            history=history,
            draw=world.draw(f"client {number}"),
            trace=world.trace,
        )
        for number in range(habits.clients)
    ]


def _outcome(operation: Operation) -> str:
    return (Outcome.OK if operation.outcome is Outcome.CONDITION_FALSE else operation.outcome).value
