"""How components reach each other: one connection per pair of zone processes, and none inside a process (shell).

A component sends to a component by name; where that lives is the hub's business. Faults act here, on the path from sender
to receiver, whether or not the path has a socket in it.
"""

import asyncio
import contextlib
import itertools
import logging
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from cluster.frames import BadFrame, Frame, FrameKind
from cluster.link import Link
from cluster.ports import ErrorKind
from cluster.routing.messages import Body, Refused
from cluster.topology import Address, Topology

logger = logging.getLogger("cluster")

LIFE_SIGN_SECONDS = 1.0
SILENCE_SECONDS = 3.0
MAX_SERVING = 1024
"""Asks that one component serves at the same time; more are refused."""
MAX_HELD = 10_000
"""Frames kept for a paused component; older ones are lost."""


class Fate(NamedTuple):
    """What the faults make of one message: lost, or late by so much."""

    lost: bool = False
    delay_seconds: float = 0.0


class Paths(Protocol):
    """What a hub asks the installed faults."""

    def fate(self, sender: str, receiver: str) -> Fate:
        """The fate of one message about to be sent."""
        ...

    def severed(self, sender: str, receiver: str) -> bool:
        """Whether nothing passes from ``sender`` to ``receiver``."""
        ...


class Handler(Protocol):
    """A component's ears."""

    def told(self, sender: str, body: Body) -> None:
        """A one-way message has come."""
        ...

    async def asked(self, sender: str, body: Body, deadline: float) -> Body:
        """Answer an ask; after ``deadline`` (the loop's clock) nobody waits for it."""
        ...


class Unreachable(Exception):
    """The component could not be asked (``sent`` False: certainly not), or fell while it was asked (``sent`` True)."""

    def __init__(self, component: str, *, sent: bool) -> None:
        super().__init__(f"{component} is unreachable")
        self.sent = sent


class NoAnswer(Exception):
    """The component did not answer in time; whether it did what it was asked is unknown."""


class _Pending(NamedTuple):
    future: "asyncio.Future[Body]"
    receiver: str
    zone: str


class Hub:
    """The switchboard of one zone process."""

    def __init__(self, topology: Topology, zone: str, *, secret: bytes = b"", paths: Paths | None = None) -> None:
        self.zone = zone
        self._secret, self._paths = secret, paths
        self._zones: dict[str, Address] = {z.name: z.transport for z in topology.zones}
        self._zone_of: Mapping[str, str] = {name: z.name for z in topology.zones for name in z.components}
        self._handlers: dict[str, Handler] = {}
        self._serving: dict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._held: dict[str, deque[tuple[Callable[[Frame], None], Frame]]] = {}
        self._links: dict[str, Link] = {}
        self._pending: dict[int, _Pending] = {}
        self._ids: Iterator[int] = itertools.count(1)
        self.refusals: dict[str, int] = defaultdict(int)

    # --- components -----------------------------------------------------------------------------------------------------

    def attach(self, component: str, handler: Handler) -> None:
        """From now on ``handler`` hears what is sent to ``component``."""
        self._handlers[component] = handler

    def detach(self, component: str) -> None:
        """The component is gone: what it was serving is lost, what comes is refused at once."""
        self._handlers.pop(component, None)
        for task in list(self._serving.pop(component, ())):
            task.cancel()

    def pause(self, component: str) -> None:
        """Hold everything from and to ``component``."""
        self._held.setdefault(component, deque(maxlen=MAX_HELD))

    def resume(self, component: str) -> None:
        """Let go of what was held."""
        for then, frame in self._held.pop(component, ()):
            then(frame)

    def connected(self) -> frozenset[str]:
        """The other zones that can be reached now."""
        return frozenset(self._links)

    # --- sending --------------------------------------------------------------------------------------------------------

    def tell(self, sender: str, receiver: str, body: Body) -> None:
        """Send, and forget: it may be lost."""
        self._send(Frame(FrameKind.TELL, 0, sender, receiver, 0.0, body))

    async def ask(self, sender: str, receiver: str, body: Body, *, timeout_seconds: float) -> Body:
        """The answer; raises :class:`Unreachable` or :class:`NoAnswer`."""
        loop = asyncio.get_running_loop()
        number = next(self._ids)
        future: asyncio.Future[Body] = loop.create_future()
        self._pending[number] = _Pending(future, receiver, self._zone_of.get(receiver, ""))
        timer = loop.call_later(timeout_seconds, self._expire, number)
        try:
            self._send(Frame(FrameKind.ASK, number, sender, receiver, timeout_seconds, body))
            return await future
        finally:
            timer.cancel()
            self._pending.pop(number, None)

    def _expire(self, number: int) -> None:
        if (pending := self._pending.pop(number, None)) and not pending.future.done():
            pending.future.set_exception(NoAnswer(f"{pending.receiver} did not answer"))

    def _send(self, frame: Frame) -> None:
        if self._hold(frame.sender, self._send, frame):
            return
        fate = self._paths.fate(frame.sender, frame.receiver) if self._paths else Fate()
        if fate.lost:
            return
        if fate.delay_seconds:
            asyncio.get_running_loop().call_later(fate.delay_seconds, self._forward, frame)
        else:
            self._forward(frame)

    def _hold(self, component: str, then: Callable[[Frame], None], frame: Frame) -> bool:
        held = self._held.get(component)
        if held is not None:
            held.append((then, frame))
        return held is not None

    def _forward(self, frame: Frame) -> None:
        zone = self._zone_of.get(frame.receiver)
        if zone == self.zone:
            asyncio.get_running_loop().call_soon(self._arrive, frame)
            return
        link = self._links.get(zone or "")
        try:
            if link is not None and link.send(frame):
                return
        except BadFrame:
            logger.warning("transport: a frame from %s to %s is too long", frame.sender, frame.receiver)
        self.refusals["unreachable" if link is None else "queue_full"] += 1
        if frame.kind == FrameKind.ASK:
            self._fail(frame.id, sent=False)

    def _fail(self, number: int, *, sent: bool) -> None:
        if (pending := self._pending.pop(number, None)) and not pending.future.done():
            pending.future.set_exception(Unreachable(pending.receiver, sent=sent))

    # --- receiving ------------------------------------------------------------------------------------------------------

    def _arrive(self, frame: Frame) -> None:
        if self._hold(frame.receiver, self._arrive, frame):
            return
        if self._paths and self._paths.severed(frame.sender, frame.receiver):
            return
        if frame.kind == FrameKind.TELL:
            self._tell_here(frame)
        elif frame.kind == FrameKind.ASK:
            self._serve(frame)
        elif frame.kind == FrameKind.ANSWER:
            pending = self._pending.pop(frame.id, None)
            if pending and not pending.future.done() and frame.body is not None:
                pending.future.set_result(frame.body)
        else:
            self._fail(frame.id, sent=frame.kind == FrameKind.LOST)

    def _tell_here(self, frame: Frame) -> None:
        handler = self._handlers.get(frame.receiver)
        if handler is None or frame.body is None:
            return
        try:
            handler.told(frame.sender, frame.body)
        except Exception:
            logger.exception("%s failed on %s", frame.receiver, type(frame.body).__name__)

    def _serve(self, frame: Frame) -> None:
        handler = self._handlers.get(frame.receiver)
        serving = self._serving[frame.receiver]
        if handler is None:
            self._reply(frame, FrameKind.GONE, None)
        elif len(serving) >= MAX_SERVING:
            self.refusals["too_many_asks"] += 1
            self._reply(frame, FrameKind.ANSWER, Refused(ErrorKind.UNAVAILABLE, "too many requests at once"))
        else:
            task = asyncio.get_running_loop().create_task(self._answer(frame, handler))
            serving.add(task)
            task.add_done_callback(serving.discard)

    async def _answer(self, frame: Frame, handler: Handler) -> None:
        try:
            deadline = asyncio.get_running_loop().time() + frame.seconds
            body = await handler.asked(frame.sender, frame.body or Refused(ErrorKind.INTERNAL), deadline)
        except asyncio.CancelledError:
            self._reply(frame, FrameKind.LOST, None)
            raise
        except Exception:
            logger.exception("%s failed to answer %s", frame.receiver, type(frame.body).__name__)
            body = Refused(ErrorKind.INTERNAL, "the node failed to answer")
        self._reply(frame, FrameKind.ANSWER, body)

    def _reply(self, frame: Frame, kind: FrameKind, body: Body | None) -> None:
        self._send(Frame(kind, frame.id, frame.receiver, frame.sender, 0.0, body))

    # --- connections ----------------------------------------------------------------------------------------------------

    def _new_link(self, *, dials: bool) -> Link:
        return Link(
            zone=self.zone,
            secret=self._secret,
            dials=dials,
            opened=self._link_opened,
            received=self._arrive,
            closed=self._link_closed,
        )

    def _link_opened(self, link: Link) -> bool:
        assert link.peer is not None
        if link.peer not in self._zones or link.peer == self.zone:
            return False
        if old := self._links.get(link.peer):
            old.abort("replaced")
        self._links[link.peer] = link
        logger.info("transport: %s is connected with %s", self.zone, link.peer)
        return True

    def _link_closed(self, link: Link, reason: str) -> None:
        self.refusals[reason] += 1
        if link.peer is None or self._links.get(link.peer) is not link:
            return
        del self._links[link.peer]
        logger.info("transport: %s has lost %s: %s", self.zone, link.peer, reason)
        for number in [n for n, p in self._pending.items() if p.zone == link.peer]:
            self._fail(number, sent=True)

    async def run(self, listening: asyncio.Event | None = None) -> None:
        """Listen, dial the zones named before ours, keep the connections alive; until cancelled."""
        loop = asyncio.get_running_loop()
        own = self._zones[self.zone]
        server = await loop.create_server(lambda: self._new_link(dials=False), own.host, own.port)
        if listening:
            listening.set()
        earlier = list(self._zones)[: list(self._zones).index(self.zone)]
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
