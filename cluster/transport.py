"""How components reach each other, whether or not a zone's border lies between them (shell).

A component sends to a component by name; where that lives is the hub's business. Faults act here, on the path from sender
to receiver, whether or not the path has a socket in it. Between zones frames are taken by a :class:`Carrier`: connections
in production, a simulated network in the simulation.
"""

import asyncio
import itertools
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from cluster.connections import Connections
from cluster.frames import BadFrame, Frame, FrameKind
from cluster.ports import ErrorKind
from cluster.routing.messages import Body, Refused
from cluster.topology import Topology

logger = logging.getLogger("cluster")

MAX_SERVING = 1024
"""Asks that one component serves at the same time; more are refused."""
LOOK_SECONDS = 0.02
"""An ask that is not answered fails so much later, at most, than it was to."""
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


class Carrier(Protocol):
    """What takes frames from one zone to the others, each at most once, or loses them."""

    def bind(self, arrive: Callable[[Frame], None], lost: Callable[[str | None, str], None]) -> None:
        """Call ``arrive`` for what comes; ``lost`` with a zone (None: it was nobody's yet) that is cut off, and why."""
        ...

    def connected(self) -> frozenset[str]:
        """The other zones that can be reached now."""
        ...

    def send(self, zone: str, frame: Frame) -> str | None:
        """Take it; or say why it is certainly not sent. Raises :class:`BadFrame` for one that cannot travel."""
        ...

    async def run(self, listening: asyncio.Event | None) -> None:
        """Be connected until cancelled."""
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
    until: float


class Hub:
    """The switchboard of one zone process. ``carrier`` None: connections over TCP, proved by ``secret``."""

    def __init__(
        self,
        topology: Topology,
        zone: str,
        *,
        secret: bytes = b"",
        paths: Paths | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        self.zone = zone
        self._paths = paths
        self._carrier: Carrier = carrier or Connections(topology, zone, secret)
        self._carrier.bind(self._arrive, self._cut_off)
        self._zone_of: Mapping[str, str] = {name: z.name for z in topology.zones for name in z.components}
        self._handlers: dict[str, Handler] = {}
        self._at_once: dict[str, Callable[[Body], Body | None]] = {}
        # In the order of their beginning, not as a set: what is lost with a component is lost in the same order every time.
        self._serving: dict[str, dict[asyncio.Task[None], None]] = defaultdict(dict)
        self._held: dict[str, deque[tuple[Callable[[Frame], None], Frame]]] = {}
        self._pending: dict[int, _Pending] = {}
        self._ids: Iterator[int] = itertools.count(1)
        self._looks = False
        self._running_loop: asyncio.AbstractEventLoop | None = None
        self.refusals: dict[str, int] = defaultdict(int)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, which is always the same; asking asyncio costs a system call (Python 3.11)."""
        if self._running_loop is None:
            self._running_loop = asyncio.get_running_loop()
        return self._running_loop

    def time(self) -> float:
        """The loop's clock, which deadlines are told by."""
        return self._loop.time()

    # --- components -----------------------------------------------------------------------------------------------------

    def attach(self, component: str, handler: Handler, *, at_once: Callable[[Body], Body | None] | None = None) -> None:
        """From now on ``handler`` hears what is sent to ``component``.

        ``at_once``: tried first with every ask; what it answers needs no task. None: ask the handler. It sends nothing itself.
        """
        self._handlers[component] = handler
        if at_once is not None:
            self._at_once[component] = at_once

    def detach(self, component: str) -> None:
        """The component is gone: what it was serving is lost, what comes is refused at once."""
        self._handlers.pop(component, None)
        self._at_once.pop(component, None)
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
        return self._carrier.connected()

    async def run(self, listening: asyncio.Event | None = None) -> None:
        """Be connected with the other zones until cancelled."""
        await self._carrier.run(listening)

    # --- sending --------------------------------------------------------------------------------------------------------

    def tell(self, sender: str, receiver: str, body: Body) -> None:
        """Send, and forget: it may be lost."""
        self._send(Frame(FrameKind.TELL, 0, sender, receiver, 0.0, body))

    async def ask(self, sender: str, receiver: str, body: Body, *, timeout_seconds: float) -> Body:
        """The answer; raises :class:`Unreachable` or :class:`NoAnswer`."""
        loop = self._loop
        number = next(self._ids)
        future: asyncio.Future[Body] = loop.create_future()
        until = loop.time() + timeout_seconds
        self._pending[number] = _Pending(future, receiver, self._zone_of.get(receiver, ""), until)
        try:
            self._send(Frame(FrameKind.ASK, number, sender, receiver, timeout_seconds, body))
            if not self._looks and not future.done():
                self._looks = True
                loop.call_later(LOOK_SECONDS, self._look, loop)
            return await future
        finally:
            self._pending.pop(number, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all that was asked: one for each would cost as much as the message."""
        now = loop.time()
        for number in [number for number, pending in self._pending.items() if pending.until <= now]:
            pending = self._pending.pop(number)
            if not pending.future.done():
                pending.future.set_exception(NoAnswer(f"{pending.receiver} did not answer"))
        self._looks = bool(self._pending)
        if self._looks:
            loop.call_later(LOOK_SECONDS, self._look, loop)

    def _send(self, frame: Frame) -> None:
        if self._held and self._hold(frame.sender, self._send, frame):
            return
        fate = self._paths.fate(frame.sender, frame.receiver) if self._paths else Fate()
        if fate.lost:
            return
        if fate.delay_seconds:
            self._loop.call_later(fate.delay_seconds, self._forward, frame)
        else:
            self._forward(frame)

    def _hold(self, component: str, then: Callable[[Frame], None], frame: Frame) -> bool:
        held = self._held.get(component)
        if held is not None:
            held.append((then, frame))
        return held is not None

    def _forward(self, frame: Frame) -> None:
        zone = self._zone_of.get(frame.receiver, "")
        if zone == self.zone:
            # An answer only wakes who waits for it, and what is answered at once sends nothing else: no need of another turn of the loop.
            if frame.kind >= FrameKind.ANSWER or (frame.kind == FrameKind.ASK and frame.receiver in self._at_once):
                self._arrive(frame)
            else:
                self._loop.call_soon(self._arrive, frame)
            return
        try:
            refusal = self._carrier.send(zone, frame)
        except BadFrame:
            refusal = "too_long"
            logger.warning("transport: a frame from %s to %s is too long", frame.sender, frame.receiver)
        if refusal is None:
            return
        self.refusals[refusal] += 1
        if frame.kind == FrameKind.ASK:
            self._fail(frame.id, sent=False)

    def _fail(self, number: int, *, sent: bool) -> None:
        if (pending := self._pending.pop(number, None)) and not pending.future.done():
            pending.future.set_exception(Unreachable(pending.receiver, sent=sent))

    # --- receiving ------------------------------------------------------------------------------------------------------

    def _arrive(self, frame: Frame) -> None:
        if self._held and self._hold(frame.receiver, self._arrive, frame):
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
        if (at_once := self._at_once.get(frame.receiver)) is not None and frame.body is not None:
            try:
                answer = at_once(frame.body)
            except Exception:
                logger.exception("%s failed to answer %s", frame.receiver, type(frame.body).__name__)
                answer = Refused(ErrorKind.INTERNAL, "the node failed to answer")
            if answer is not None:
                self._reply(frame, FrameKind.ANSWER, answer)
                return
        handler = self._handlers.get(frame.receiver)
        serving = self._serving[frame.receiver]
        if handler is None:
            self._reply(frame, FrameKind.GONE, None)
        elif len(serving) >= MAX_SERVING:
            self.refusals["too_many_asks"] += 1
            self._reply(frame, FrameKind.ANSWER, Refused(ErrorKind.UNAVAILABLE, "too many requests at once"))
        else:
            task = self._loop.create_task(self._answer(frame, handler))
            serving[task] = None
            task.add_done_callback(lambda done: serving.pop(done, None))

    async def _answer(self, frame: Frame, handler: Handler) -> None:
        try:
            deadline = self._loop.time() + frame.seconds
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

    # --- the carrier's side ---------------------------------------------------------------------------------------------

    def _cut_off(self, zone: str | None, reason: str) -> None:
        """What was asked of a zone that is gone has an unknown outcome."""
        self.refusals[reason] += 1
        if zone is not None:
            for number in [n for n, pending in self._pending.items() if pending.zone == zone]:
                self._fail(number, sent=True)
