"""The network between zones, simulated: a carrier for each zone's hub, and what may happen on the way (shell).

Frames are handed over as values; every ``SAMPLE``-th one goes through bytes and back, so that what cannot travel is found.
A connection that is broken swallows what is sent until both ends notice the silence, as TCP does; a machine without power
is noticed at once. Loss, partitions and delays of single messages are the installed faults' business (``cluster.faults``);
the network itself reorders, is slow now and then, and doubles tells.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from cluster.connections import SILENCE_SECONDS
from cluster.frames import Frame, FrameKind, decode_frame, encode, split
from fivenines.simulation.trace import Trace

SAMPLE = 64
REDIAL_SECONDS = (0.1, 0.9)
_KINDS = {kind.value: kind.name.lower() for kind in FrameKind}


@dataclass(slots=True)
class Weather:
    """How the network behaves. ``usual``: bounds of the delay in seconds; ``hiccup``: how often, and how long at most, it is late."""

    usual: tuple[float, float] = (0.0003, 0.0015)
    hiccup: tuple[float, float] = (0.0, 0.0)
    doubled: float = 0.0


class Network:
    """All connections of a region. ``draw``: its own source of chance."""

    def __init__(self, zones: tuple[str, ...], draw: random.Random, trace: Trace) -> None:
        self.weather = Weather()
        self._draw, self._trace = draw, trace
        self._loop = asyncio.get_running_loop()
        self._carriers = {zone: _Carrier(self, zone) for zone in zones}
        self._broken: dict[frozenset[str], int] = {}
        self._links: dict[frozenset[str], int] = {}
        self._lives = 0
        self._sent = 0

    def carrier(self, zone: str) -> "_Carrier":
        """The zone's carrier, for its hub."""
        return self._carriers[zone]

    # --- links ----------------------------------------------------------------------------------------------------------

    def up(self, zone: str) -> None:
        """The zone's process runs: it connects with the others."""
        self._carriers[zone].running = True
        for other in self._carriers:
            if other != zone:
                self._dial(frozenset((zone, other)))

    def down(self, zone: str) -> None:
        """The zone's process is gone: the others notice at once."""
        self._carriers[zone].running = False
        for link in [link for link in self._links if zone in link]:
            self._cut(link, "lost")

    def _dial(self, link: frozenset[str]) -> None:
        self._loop.call_later(self._draw.uniform(*REDIAL_SECONDS), self._connect, link)

    def _connect(self, link: frozenset[str]) -> None:
        if link in self._links or not all(self._carriers[zone].running for zone in link):
            return
        if self._broken.get(link):
            self._dial(link)
            return
        self._lives += 1
        self._links[link] = self._lives
        self._trace.note(self._loop.time(), "link", f"{' and '.join(sorted(link))} are connected")

    def _cut(self, link: frozenset[str], reason: str) -> None:
        self._links.pop(link)
        self._trace.note(self._loop.time(), "link", f"{' and '.join(sorted(link))} are cut off: {reason}")
        for here, there in pairwise([*sorted(link), *sorted(link)[:1]]):
            if self._carriers[here].running:
                self._carriers[here].lost(there, reason)

    def break_link(self, one: str, other: str) -> Callable[[], None]:
        """From now on nothing passes between two zones; both notice after a while. The returned function mends it."""
        link = frozenset((one, other))
        self._broken[link] = self._broken.get(link, 0) + 1
        self._loop.call_later(SILENCE_SECONDS, self._notice_silence, link, self._links.get(link))

        def mend() -> None:
            self._broken[link] -= 1

        return mend

    def _notice_silence(self, link: frozenset[str], life: int | None) -> None:
        if life is not None and self._broken.get(link) and self._links.get(link) == life:
            self._cut(link, "silent")
            self._dial(link)

    # --- frames ---------------------------------------------------------------------------------------------------------

    def links_of(self, zone: str) -> frozenset[str]:
        """The zones that ``zone`` is connected with."""
        return frozenset(other for link in self._links if zone in link for other in link if other != zone)

    def send(self, zone: str, to: str, frame: Frame) -> str | None:
        """Take a frame on its way; or say why not."""
        link = frozenset((zone, to))
        life = self._links.get(link)
        if life is None:
            return "unreachable"
        self._sent += 1
        if self._sent % SAMPLE == 0:
            frame = _through_bytes(frame)
        again = (
            self.weather.doubled > 0.0 and frame.kind == FrameKind.TELL and self._draw.random() < self.weather.doubled
        )
        for _ in range(2 if again else 1):
            self._loop.call_later(self._delay(), self._deliver, link, life, to, frame)
        return None

    def _delay(self) -> float:
        often, longest = self.weather.hiccup
        low, high = self.weather.usual
        delay = low + (high - low) * self._draw.random()
        if often and self._draw.random() < often:
            delay += longest * self._draw.random()
        return delay

    def _deliver(self, link: frozenset[str], life: int, to: str, frame: Frame) -> None:
        if self._links.get(link) != life or self._broken.get(link):
            return
        self._trace.note(
            self._loop.time(), _KINDS[frame.kind], f"{frame.sender} > {frame.receiver} {type(frame.body).__name__}"
        )
        self._carriers[to].arrive(frame)


class _Carrier:
    """A :class:`cluster.transport.Carrier` of one zone."""

    def __init__(self, network: Network, zone: str) -> None:
        self._network, self._zone = network, zone
        self.running = False
        self.arrive: Callable[[Frame], None] = lambda _: None
        self.lost: Callable[[str | None, str], None] = lambda *_: None

    def bind(self, arrive: Callable[[Frame], None], lost: Callable[[str | None, str], None]) -> None:
        """A zone's process has started anew: its hub is the one to talk to."""
        self.arrive, self.lost = arrive, lost

    def connected(self) -> frozenset[str]:
        """The other zones that can be reached now."""
        return self._network.links_of(self._zone)

    def send(self, zone: str, frame: Frame) -> str | None:
        """Let the network have it."""
        return self._network.send(self._zone, zone, frame)

    async def run(self, listening: asyncio.Event | None = None) -> None:
        """Be connected until cancelled."""
        self._network.up(self._zone)
        if listening:
            listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._network.down(self._zone)


def _through_bytes(frame: Frame) -> Frame:
    """What the receiver of its bytes would see."""
    sent = encode(frame)
    (payload,) = split(bytearray(sent))
    seen = decode_frame(payload)
    assert encode(seen) == sent, f"{frame} arrives as {seen}"
    return seen
