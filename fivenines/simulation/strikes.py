"""Carrying out the plan of a run's faults, and taking each back (shell)."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from cluster.faults import Fault
from cluster.ports import KeyAttribute, StoreError, Table
from cluster.storage.table import TableDamaged
from fivenines.simulation.clocks import RATE_BOUND
from fivenines.simulation.nemesis import Strike, Trouble
from fivenines.simulation.world import WALL_CLOCK_EPOCH, World

End = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


class Striker:
    """Strikes a world; :meth:`over` when every fault has been taken back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._beginnings: dict[Trouble, Callable[[Strike], Awaitable[End]]] = {
            Trouble.CRASH: lambda strike: self._down(strike, crash=True),
            Trouble.CRASH_IN_FSYNC: self._crash_in_fsync,
            Trouble.WIPE: self._damage,
            Trouble.ROT: self._damage,
            Trouble.ROT_ROWS: self._rot_rows,
            Trouble.STOP: lambda strike: self._down(strike, crash=False),
            Trouble.ZONE_OFF: self._zones_off,
            Trouble.REGION_OFF: self._zones_off,
            Trouble.PAUSE: self._pause,
            Trouble.BREAK_LINK: self._break_link,
            Trouble.CLOCK: self._clock,
            Trouble.TABLE: self._table,
        }

    def schedule(self, strikes: tuple[Strike, ...], began_at: float) -> None:
        """Let every strike come at its time."""
        loop = asyncio.get_running_loop()
        for strike in strikes:
            loop.call_at(began_at + strike.at, self._strike, strike)

    def _strike(self, strike: Strike) -> None:
        self._tasks.append(asyncio.create_task(self._live(strike)))

    async def over(self) -> None:
        """Wait until all is taken back."""
        await asyncio.gather(*self._tasks)

    async def begin(self, strike: Strike) -> End:
        """Let the fault begin now; what takes it back."""
        return await self._beginnings.get(strike.trouble, self._install)(strike)

    async def _live(self, strike: Strike) -> None:
        self._world.note("strike", str(strike))
        end = await self.begin(strike)
        await asyncio.sleep(strike.seconds)
        self._world.note("relief", str(strike))
        await end()

    # --- faults that have a word in ``cluster.faults`` ---------------------------------------------------------------------

    async def _install(self, strike: Strike) -> End:
        fault_id = f"fault-{next(self._numbers)}"
        self._world.faults.add(fault_id, fault_of(strike))

        async def remove() -> None:
            self._world.faults.remove(fault_id)

        return remove

    # --- faults of machines -----------------------------------------------------------------------------------------------

    async def _down(self, strike: Strike, *, crash: bool) -> End:
        (node,) = strike.places
        await self._world.take_down(node, crash=crash)
        return lambda: self._world.let_up(node)

    async def _crash_in_fsync(self, strike: Strike) -> End:
        """Bytes gather for a while, written and not yet durable, before the power goes."""
        slow = await self._install(Strike(strike.at, Trouble.SLOW_DISK, strike.places, strike.seconds, strike.amount))
        await asyncio.sleep(strike.seconds / 2)
        end = await self._down(strike, crash=True)
        await slow()
        return end

    async def _damage(self, strike: Strike) -> End:
        (node,) = strike.places
        end = await self._down(strike, crash=True)
        self._world.damaging(node)
        if strike.trouble is Trouble.WIPE:
            self._world.disks[node].wipe()
        for _ in range(int(strike.amount)):
            self._world.note("rot", f"{node}: {self._world.disks[node].rot()}")
        return end

    async def _rot_rows(self, strike: Strike) -> End:
        (name,) = strike.places
        node = self._world.node(name)
        if node is not None and node.items.damaged is None:
            self._world.damaging(name)
            try:
                self._world.note("rot", f"{name}: {node.items.damage()} items")
            except TableDamaged as error:
                node.condemn(str(error))
        return _nothing

    async def _zones_off(self, strike: Strike) -> End:
        names = self._world.config.zones if strike.trouble is Trouble.REGION_OFF else strike.places
        await self._world.zones_off(*names)

        async def on() -> None:
            await asyncio.gather(*(self._world.zone_on(name) for name in names))

        return on

    async def _pause(self, strike: Strike) -> End:
        (node,) = strike.places
        zone = self._world.zones.get(self._world.zone_of[node])
        if zone is None or not zone.components.up(node):
            return _nothing
        zone.components.pause(node)

        async def resume() -> None:
            zone.components.resume(node)

        return resume

    async def _break_link(self, strike: Strike) -> End:
        mend = self._world.network.break_link(*strike.places)

        async def mended() -> None:
            mend()

        return mended

    async def _clock(self, strike: Strike) -> End:
        (node,) = strike.places
        self._world.clocks[node].run_at(1.0 + RATE_BOUND * strike.amount)
        return _nothing

    async def _table(self, _strike: Strike) -> End:
        """Through whatever zone is up; a table may fail to come, or stay: both are answers."""
        number = next(self._numbers)
        name = f"extra-{number}"
        table = Table(
            name=name,
            id=f"{name}-0",
            hash_key=KeyAttribute("pk", "S"),
            range_key=KeyAttribute("sk", "S"),
            partitions=(),
            created_at=WALL_CLOCK_EPOCH,
        )
        await self._through_any(lambda router: router.create_table(table))

        async def delete() -> None:
            await self._through_any(lambda router: router.delete_table(name))

        return delete

    async def _through_any(self, work: Callable[..., Awaitable[object]]) -> None:
        zone = next(iter(self._world.zones), None)
        router = self._world.router(zone) if zone else None
        if zone is None or router is None:
            return
        try:
            await self._world.through(zone, work(router))  # type: ignore[arg-type]
        except (StoreError, ConnectionError, TimeoutError) as error:
            self._world.note("refused", f"{type(error).__name__} {error}")


def fault_of(strike: Strike) -> Fault:
    """The strike in the words of the live faults."""
    path = strike.trouble in (Trouble.CUT, Trouble.CUT_ONE_WAY, Trouble.DROP, Trouble.DELAY)
    place: dict[str, object] = (
        dict(zip(("from", "to"), map(_end, strike.places), strict=True)) if path else {"node": strike.places[0]}
    )
    extra: dict[Trouble, dict[str, object]] = {
        Trouble.CUT: {"kind": "partition"},
        Trouble.CUT_ONE_WAY: {"kind": "partition", "one_way": True},
        Trouble.DROP: {"kind": "drop", "probability": strike.amount},
        Trouble.DELAY: {"kind": "delay", "ms": strike.amount * 1000.0},
        Trouble.SLOW_DISK: {"kind": "slow_disk", "factor": max(1.0, strike.amount)},
        Trouble.FULL_DISK: {"kind": "disk_full"},
        Trouble.STALL_ARCHIVE: {"kind": "archive_stall"},
        Trouble.SKEW: {"kind": "skew", "seconds": strike.amount},
    }
    return Fault.model_validate({**place, **extra[strike.trouble]})


def _end(place: str) -> object:
    """A zone means all its components."""
    return place if "-" in place else {"zone": place}
