"""A small language for named scenarios: start, crash, cut, write, read, expect; everything else is virtual time."""

import asyncio
import functools
import itertools

from fivenines.simulation import convergence
from fivenines.simulation.checkers.answers import judge
from fivenines.simulation.checkers.verdict import Verdict
from fivenines.simulation.clients import SLOTS, Client, Habits
from fivenines.simulation.history import History, Kind, Outcome
from fivenines.simulation.nemesis import Strike, Trouble
from fivenines.simulation.stage import Stage, act
from fivenines.simulation.strikes import Striker
from fivenines.simulation.trace import Trace
from fivenines.simulation.world import TABLE, Size, World

LONGEST_SECONDS = 600.0
ANSWERED = (Outcome.OK, Outcome.CONDITION_FALSE)


class Scene:
    """A region with a customer, and verbs."""

    def __init__(self, stage, **size):
        self.world = World(0, Size(**size), stage)
        self.history = History()
        self.striker = Striker(self.world)
        self._customer = self._new_customer("customer")
        self._busy = []

    def _new_customer(self, name):
        habits = Habits(clients=1, keys=3, gap_seconds=1.0, weights=((Kind.READ, 1.0),))
        return Client(
            name,
            region=self.world,
            zones=self.world.config.zones,
            table=TABLE,
            habits=habits,
            history=self.history,
            draw=self.world.draw(name),
            trace=self.world.trace,
        )

    @property
    def now(self):
        """Virtual seconds."""
        return asyncio.get_running_loop().time()

    @property
    def elections(self):
        """How many were won so far."""
        return self.world.watch.agreement.elections

    async def start(self):
        """Switch everything on, and wait until the table serves."""
        await self.world.start()
        await self.seconds(5)
        await self.write()

    async def seconds(self, seconds):
        """Let time pass."""
        await asyncio.sleep(seconds)

    # --- faults ---------------------------------------------------------------------------------------------------------

    async def strike(self, trouble, *places, amount=0.0):
        """Let one fault begin; the returned function ends it."""
        return await self.striker.begin(Strike(self.now, trouble, places, 0.0, amount))

    async def crash(self, node):
        """Power-off of a node; the returned function starts it again."""
        return await self.strike(Trouble.CRASH, node)

    async def cut(self, sender, receiver, *, one_way=False):
        """Nothing passes; the returned function mends it."""
        return await self.strike(Trouble.CUT_ONE_WAY if one_way else Trouble.CUT, sender, receiver)

    # --- customers ------------------------------------------------------------------------------------------------------

    async def write(self, pk="k0", *, zone="az2"):
        """A put that succeeds, at the third attempt at the latest: a router learns whom not to ask by asking."""
        return await self._insist(Kind.PUT, pk, zone)

    async def read(self, pk="k0", *, zone="az2", kind=Kind.READ):
        """A read that succeeds likewise; the value."""
        return (await self._insist(kind, pk, zone)).seen["a"]

    async def _insist(self, kind, pk, zone):
        for _ in range(3):
            operation = await self._customer.ask(kind, pk, "a", zone)
            if operation.outcome in ANSWERED:
                return operation
        raise AssertionError(operation)

    def keep(self, kind, *, zone="az2", pk="k1", every=0.1):
        """A customer who does the same again and again from now on; its operations are in the returned list."""
        found = []

        async def work():
            customer = self._new_customer(f"{kind} in {zone}")
            while True:
                found.append(await customer.ask(kind, pk, "a", zone))
                await asyncio.sleep(every)

        self._busy.append(asyncio.create_task(work()))
        return found

    # --- what is to be seen ---------------------------------------------------------------------------------------------

    def group(self):
        """The name of the table's only replication group."""
        return next(
            name for node in self.world.nodes().values() for name in node.groups if name.startswith(f"{TABLE}-")
        )

    def leader(self):
        """The node that leads it now, or None."""
        name = self.group()
        leads = [n for n, node in self.world.nodes().items() if name in node.groups and node.groups[name].leads()]
        return leads[0] if leads else None

    async def leader_after(self, patience):
        """Wait for a leader."""
        async with asyncio.timeout(patience):
            while (leader := self.leader()) is None:
                await asyncio.sleep(0.05)
        return leader

    async def end(self):
        """Whatever happened, everything comes back, and no promise was broken."""
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)
        await convergence.judge(self.world, self.history, self._customer, keys=2, calm_at=self.now)
        judge(self.history, SLOTS, self.world.verdict, self.now)
        assert self.world.verdict.broken == []


def scene(story=None, **size):
    """A test that lives its story in virtual time, and ends it with :meth:`Scene.end`. ``size``: of the region, if not the usual."""
    if story is None:
        return functools.partial(scene, **size)

    @functools.wraps(story)
    def test():
        stage = Stage(Trace(keeps=True), Verdict())

        async def live():
            async with asyncio.timeout(LONGEST_SECONDS):
                told = Scene(stage, **size)
                await told.start()
                await story(told)
                await told.end()

        try:
            act(stage, live)
        except AssertionError as problem:
            raise AssertionError(f"{problem}\n" + "\n".join(stage.trace.lines[-40:])) from problem

    del test.__wrapped__
    return test


def gap(operations):
    """The longest time that passed between two answers, in seconds."""
    good = [o.returned_at for o in operations if o.outcome in ANSWERED]
    return max(later - earlier for earlier, later in itertools.pairwise(good))
