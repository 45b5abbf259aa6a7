"""What the embedded stack does for a mitigation: routers out of the DNS, a bad version rolled back, and back again (shell).

The bundled store's own answer to the hooks of :mod:`cfa.mitigation_hooks`, on the control socket.
"""

import asyncio
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict

from cluster.faults import FaultKind
from cluster.topology import Router, Topology
from fivenines.fault_control import FaultControl

HEALTH_SECONDS = 2.0


class Order(BaseModel):
    """The body of ``POST /mitigations``. What else the judgement says of the incident is for other hooks."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    verb: Literal["do", "check", "undo"]
    key: str
    scope: dict[str, str]


class MitigationRefused(ValueError):
    """There is nothing here that could be done for this scope, or it was refused; the text says why."""


class Mitigations:
    """Actions in force, by key. The set of withdrawn routers is always told to the DNS as a whole."""

    def __init__(self, topology: Topology, faults: FaultControl, headers: dict[str, str]) -> None:
        self._topology, self._faults, self._headers = topology, faults, headers
        self._out: dict[str, frozenset[str]] = {}
        self._turn = asyncio.Lock()

    async def carry_out(self, order: Order) -> bool:
        """True: done, or well again; False: not well yet. Raises :class:`MitigationRefused`."""
        if set(order.scope) == {"version"}:
            return await self._roll_back(order)
        routers = self._routers(order.scope)
        if order.verb == "check":
            return all(await asyncio.gather(*(self._is_well(router) for router in routers)))
        async with self._turn:
            wanted = {key: names for key, names in self._out.items() if key != order.key}
            if order.verb == "do":
                wanted[order.key] = frozenset(router.name for router in routers)
            await self._withdraw(frozenset().union(*wanted.values()))
            self._out = wanted
        return True

    async def _roll_back(self, order: Order) -> bool:
        """The version is taken off every router that runs it. Rolling forward again is for people."""
        if order.verb == "do":
            for active in self._faults.active():
                if active.fault.kind is FaultKind.VERSION and active.fault.version == order.scope["version"]:
                    await self._faults.remove(active.id)
        return True

    def _routers(self, scope: dict[str, str]) -> list[Router]:
        found = [
            router
            for router in self._topology.routers
            if (set(scope) == {"router"} and router.name == scope["router"])
            or (set(scope) == {"zone"} and router.zone == scope["zone"])
        ]
        if not found:
            raise MitigationRefused(f"nothing can be done here about {scope}")
        return found

    async def _is_well(self, router: Router) -> bool:
        """Whether the router answers its ping, and its zone says that it can serve everything."""
        zone = next(zone for zone in self._topology.zones if zone.name == router.zone)
        first = next(iter(router.http.values()))
        return all(await asyncio.gather(self._answers(f"http://{first}/"), self._answers(f"http://{zone.admin}/ready")))

    async def _answers(self, url: str) -> bool:
        try:
            async with self._session() as session, session.get(url) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _withdraw(self, routers: frozenset[str]) -> None:
        url = f"http://{self._topology.dns_admin}/withdrawn"
        try:
            async with (
                self._session() as session,
                session.put(url, json={"routers": sorted(routers)}, headers=self._headers) as answer,
            ):
                if answer.status != 200:
                    raise MitigationRefused(f"the DNS server refused: {(await answer.text())[:300]}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MitigationRefused(f"the DNS server does not answer: {error or type(error).__name__}") from error

    def view(self) -> dict[str, Any]:
        """Which routers are out, and by which action."""
        return {key: sorted(names) for key, names in sorted(self._out.items())}

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HEALTH_SECONDS))
