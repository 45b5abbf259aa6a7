"""Puts faults in force on the running stack, and takes them away again (shell)."""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from itertools import count
from typing import Any

import aiohttp

from cluster.faults import Fault
from cluster.topology import Topology
from fivenines.config import Config
from fivenines.fault_routing import FaultRefused, Plan, plan
from fivenines.supervisor import Supervisor

logger = logging.getLogger("fivenines")


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault in force. Times in UTC epoch seconds; ``until`` None means until somebody removes it."""

    id: str
    fault: Fault
    plan: Plan
    in_force_at: float
    until: float | None

    def to_json(self) -> dict[str, Any]:
        """As ``fivenines fault list --json`` shows it."""
        fault = self.fault.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {"id": self.id, "fault": fault, "in_force_at": self.in_force_at, "until": self.until}


class FaultControl:
    """The faults of one stack."""

    def __init__(self, config: Config, topology: Topology, supervisor: Supervisor, admin_token: str | None) -> None:
        self._config = config
        self._topology = topology
        self._supervisor = supervisor
        self._headers = {"Authorization": f"Bearer {admin_token}"} if admin_token else {}
        self._active: dict[str, ActiveFault] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._ids = count(1)

    def active(self) -> list[ActiveFault]:
        """What is in force, oldest first."""
        return list(self._active.values())

    async def add(self, fault: Fault, lasts: float | None) -> ActiveFault:
        """Put ``fault`` in force for ``lasts`` seconds; returns when it really is. Raises :class:`FaultRefused`."""
        what = plan(fault, self._config, self._topology)
        identity = f"f{next(self._ids)}"
        await asyncio.gather(*(self._supervisor.hold_and_wait(name, identity) for name in what.kill))
        for name in what.freeze:
            self._supervisor.freeze(name)
        await self._tell_all(identity, fault, what)
        in_force_at = time.time()
        restarts = [asyncio.create_task(self._supervisor.restart(name)) for name in what.restart]
        until = in_force_at + lasts if lasts is not None else None
        active = ActiveFault(identity, fault, what, in_force_at, until)
        if what.restart:
            await asyncio.gather(*restarts)
            return active  # a restart is an event, not a state: there is nothing to remove
        self._active[identity] = active
        if lasts is not None:
            self._timers[identity] = asyncio.create_task(self._remove_after(identity, lasts))
        logger.info("fault_added id=%s kind=%s", identity, fault.kind)
        return active

    async def _remove_after(self, identity: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._timers.pop(identity, None)
        await self.remove(identity)

    async def remove(self, identity: str) -> float:
        """Take a fault away; returns when (UTC epoch seconds). Raises KeyError."""
        active = self._active.pop(identity)
        timer = self._timers.pop(identity, None)
        if timer is not None:
            timer.cancel()
        for name in active.plan.freeze:
            self._supervisor.thaw(name)
        await asyncio.gather(*(self._supervisor.release(name, identity) for name in active.plan.kill))
        await asyncio.gather(*(self._untell(name, identity) for name in active.plan.tell))
        logger.info("fault_removed id=%s kind=%s", identity, active.fault.kind)
        return time.time()

    async def tell_again(self, part: str) -> None:
        """Tell a part that has just started which faults it is to carry out."""
        for active in self.active():
            if part in active.plan.tell:
                with contextlib.suppress(FaultRefused):
                    await self._tell(part, active.id, active.fault)

    async def _tell_all(self, identity: str, fault: Fault, what: Plan) -> None:
        running = [name for name in what.tell if self._supervisor.children[name].running]
        try:
            await asyncio.gather(*(self._tell(name, identity, fault) for name in running))
        except FaultRefused:
            await asyncio.gather(*(self._untell(name, identity) for name in running))
            raise

    def _url(self, part: str) -> str:
        return self._supervisor.children[part].part.ready_url.removesuffix("/ready") + "/faults"

    async def _tell(self, part: str, identity: str, fault: Fault) -> None:
        body = {"id": identity, "fault": fault.model_dump(mode="json", by_alias=True, exclude_defaults=True)}
        try:
            async with self._session() as session, session.post(self._url(part), json=body) as answer:
                if answer.status >= 400:
                    raise FaultRefused(f"{part} refused the fault: {(await answer.text())[:300]}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise FaultRefused(f"{part} does not answer: {error or type(error).__name__}") from error

    async def _untell(self, part: str, identity: str) -> None:
        # A part that is down forgets its faults by itself.
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._session() as session, session.delete(f"{self._url(part)}/{identity}"):
                pass

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=5.0))

    async def close(self) -> None:
        """Forget the timers; faults end with the stack."""
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._timers.values(), return_exceptions=True)
