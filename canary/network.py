"""What goes between one host and the world, with the faults that are in force (shell)."""

import asyncio
import errno
import os
import random
from collections.abc import Callable, Mapping

from canary.faults import FREE, Component, Fault, Toll, is_sick, skew_seconds, toll
from canary.path import Map


class Network:
    """One host's network. Without faults in force it costs one comparison a message."""

    def __init__(self, host: Component, faults: Mapping[str, Fault], paths: Map, seed: object = None) -> None:
        self._host = host
        self.faults = faults
        """Those in force now, by id; empty almost always."""
        self._paths = paths
        self._random = random.Random(f"{host.name}/{seed}")
        self._seeded: Fault | None = None
        self._dice: dict[str, random.Random] = {}

    @property
    def sick(self) -> bool:
        """Nothing gets out of this host (but its reports)."""
        return bool(self.faults) and is_sick(self.faults.values(), self._host.name)

    @property
    def skew_seconds(self) -> float:
        """How far the wall clock is off."""
        return skew_seconds(self.faults.values(), self._host.name) if self.faults else 0.0

    def refuse_if_sick(self) -> None:
        """The host's looks at itself fail at once when it is sick; its attempts hang, as on a dead line."""
        if self.sick:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    async def name_service(self) -> None:
        """A question to the name server leaves the host; a sick host's is never answered."""
        if self.sick:
            await _silence()

    async def outbound(self, address: str) -> None:
        """A message leaves for ``address``: returns when it would arrive, never if it is lost."""
        if self.faults:  # an empty dict: the usual case, and the probes' hot path
            await self._pass(address, outbound=True)

    async def inbound(self, address: str) -> None:
        """An answer from ``address``: returns when it would be here, never if it is lost."""
        if self.faults:
            await self._pass(address, outbound=False)

    async def _pass(self, address: str, *, outbound: bool) -> None:
        if self.sick:
            await _silence()
        toll = self._toll(address, outbound=outbound)
        if toll.delay_seconds:
            await asyncio.sleep(toll.delay_seconds)
        if toll.lost:
            await _silence()

    def _toll(self, address: str, *, outbound: bool) -> Toll:
        router = self._paths.component_at(address)
        if router is None:
            return FREE
        ends = (self._host, router) if outbound else (router, self._host)
        return toll(self.faults.values(), *ends, self._draws(f"{ends[0].name}>{ends[1].name}"))

    def _draws(self, way: str) -> Callable[[], float]:
        """A drop with a seed draws from it on each way by itself, from the start each time that it is put in force."""
        seeded = next((f for f in self.faults.values() if f.kind == "drop" and f.seed is not None), None)
        if seeded is None:
            return self._random.random
        if seeded is not self._seeded:
            self._seeded, self._dice = seeded, {}
        if way not in self._dice:
            self._dice[way] = random.Random(f"{seeded.seed}/{way}")
        return self._dice[way].random


async def _silence() -> None:
    """Wait for what never comes; the attempt's deadline ends it."""
    await asyncio.get_running_loop().create_future()
