"""autoadmin: the control plane, at work on whichever node leads the catalogue's replication group (shell).

It keeps the fleet's health, places new partitions, and writes into the catalogue what the groups' leaders say of their members. Its
lasting state is the catalogue; the rest it learns anew within seconds, so a new leader of the catalogue is a new autoadmin.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from cluster.control import catalogue
from cluster.control.fleet import Fleet
from cluster.group import HostedGroup
from cluster.replication.membership import names
from cluster.routing.messages import FleetNow, MembersAre, NodeReport, Refused, WriteItem
from cluster.transport import Hub

logger = logging.getLogger("cluster")

TELL_SECONDS = 1.0
WRITE_SECONDS = 2.0
SETTLED_SECONDS = 2.0
"""So long after its election autoadmin has not heard of every node yet, and says nothing of those it has not heard."""


class Autoadmin:
    """On every node that may host the catalogue; idle unless it leads it."""

    def __init__(
        self,
        node: str,
        *,
        hub: Hub,
        groups: Mapping[str, HostedGroup],
        nodes: tuple[str, ...],
        clock: Callable[[], float],
    ) -> None:
        self._node, self._hub, self._groups, self._nodes, self._clock = node, hub, groups, nodes, clock
        self._fleet = Fleet()
        self._words: dict[str, MembersAre] = {}
        self._new = asyncio.Event()

    def leads(self) -> bool:
        """Whether this is autoadmin now."""
        group = self._groups.get(catalogue.GROUP)
        return group is not None and group.leads()

    def reported(self, report: NodeReport) -> None:
        """A storage node is alive."""
        self._fleet.take(report, self._clock())

    def told(self, word: MembersAre) -> None:
        """A group has changed its members."""
        known = self._words.get(word.group)
        if self.leads() and (known is None or word.config_lsn > known.config_lsn):
            self._words[word.group] = word
            self._new.set()

    async def run(self) -> None:
        """Tell the nodes of each other, and keep the catalogue true; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_telling())
            tasks.create_task(self._keep_writing())

    async def _keep_telling(self) -> None:
        led_since: float | None = None
        while True:
            await asyncio.sleep(TELL_SECONDS)
            at = self._clock()
            led_since = (led_since or at) if self.leads() else None
            if led_since is not None and at - led_since > SETTLED_SECONDS:
                fleet = self._fleet.nodes(at)
                replica = self._groups[catalogue.GROUP].replica
                now = FleetNow(
                    tuple((n, f.zone, f.alive, f.slow, f.groups) for n, f in fleet.items()),
                    names(replica.members),
                    replica.config_lsn,
                )
                for node in self._nodes:
                    self._hub.tell(self._node, node, now)

    async def _keep_writing(self) -> None:
        while True:
            await self._new.wait()
            self._new.clear()
            while self._words:
                await self._write(*self._words.popitem())

    async def _write(self, name: str, word: MembersAre) -> None:
        group = self._groups.get(catalogue.GROUP)
        if group is None or not self.leads():
            return
        request = WriteItem(catalogue.GROUP, catalogue.item_key(word.table), catalogue.membership(name, word))
        answer = await group.answer(request, asyncio.get_running_loop().time() + WRITE_SECONDS)
        if isinstance(answer, Refused):
            logger.info("%s: the members of %s are not in the catalogue yet: %s", self._node, name, answer.message)
