"""The connections of one zone process: one with each other zone, made again whenever it is lost (shell)."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

from cluster.frames import Frame
from cluster.link import Link
from cluster.topology import Address, Topology

logger = logging.getLogger("cluster")

LIFE_SIGN_SECONDS = 1.0
SILENCE_SECONDS = 3.0


class Connections:
    """A :class:`cluster.transport.Carrier` over TCP. ``secret``: what the zones prove to each other."""

    def __init__(self, topology: Topology, zone: str, secret: bytes) -> None:
        self._zone, self._secret = zone, secret
        self._zones: dict[str, Address] = {z.name: z.transport for z in topology.zones}
        self._links: dict[str, Link] = {}
        self._arrive: Callable[[Frame], None] = lambda _: None
        self._lost: Callable[[str | None, str], None] = lambda *_: None

    def bind(self, arrive: Callable[[Frame], None], lost: Callable[[str | None, str], None]) -> None:
        """Whom to give what comes, and to tell what is lost."""
        self._arrive, self._lost = arrive, lost

    def connected(self) -> frozenset[str]:
        """The other zones that can be reached now."""
        return frozenset(self._links)

    def send(self, zone: str, frame: Frame) -> str | None:
        """Queue it on the zone's connection."""
        link = self._links.get(zone)
        if link is None:
            return "unreachable"
        return None if link.send(frame) else "queue_full"

    # --- links ----------------------------------------------------------------------------------------------------------

    def _new_link(self, *, dials: bool) -> Link:
        return Link(
            zone=self._zone,
            secret=self._secret,
            dials=dials,
            opened=self._link_opened,
            received=self._arrive,
            closed=self._link_closed,
        )

    def _link_opened(self, link: Link) -> bool:
        assert link.peer is not None
        if link.peer not in self._zones or link.peer == self._zone:
            return False
        if old := self._links.get(link.peer):
            old.abort("replaced")
        self._links[link.peer] = link
        logger.info("transport: %s is connected with %s", self._zone, link.peer)
        return True

    def _link_closed(self, link: Link, reason: str) -> None:
        if link.peer is None or self._links.get(link.peer) is not link:
            self._lost(None, reason)
            return
        del self._links[link.peer]
        logger.info("transport: %s has lost %s: %s", self._zone, link.peer, reason)
        self._lost(link.peer, reason)

    # --- running --------------------------------------------------------------------------------------------------------

    async def run(self, listening: asyncio.Event | None = None) -> None:
        """Listen, dial the zones named before ours, keep the connections alive; until cancelled."""
        loop = asyncio.get_running_loop()
        own = self._zones[self._zone]
        server = await loop.create_server(lambda: self._new_link(dials=False), own.host, own.port)
        if listening:
            listening.set()
        earlier = list(self._zones)[: list(self._zones).index(self._zone)]
        try:
            async with asyncio.TaskGroup() as tasks:
                for zone in earlier:
                    tasks.create_task(self._dial(zone))
                tasks.create_task(self._show_life())
        finally:
            server.close()
            for link in list(self._links.values()):
                link.abort("closing")

    async def _dial(self, zone: str) -> None:
        loop, address, wait = asyncio.get_running_loop(), self._zones[zone], 0.05
        while True:
            if zone not in self._links:
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(1.0):
                        await loop.create_connection(lambda: self._new_link(dials=True), address.host, address.port)
                wait = min(wait * 2, 0.8)
            else:
                wait = 0.05
            await asyncio.sleep(max(wait, 0.1) * random.uniform(0.8, 1.2))

    async def _show_life(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LIFE_SIGN_SECONDS)
            for link in list(self._links.values()):
                if loop.time() - link.heard_at > SILENCE_SECONDS:
                    link.abort("silent")
                else:
                    link.send(None)
