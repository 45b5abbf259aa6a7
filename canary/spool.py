"""What one host still has to tell, and to whom each batch belongs, so that nothing is counted twice (pure).

A host has one *lane* per collector: a numbering of its own (boot id and sequence), so that every collector sees one
without holes. A batch belongs to the lane where it was first offered. While its fate is in doubt (it was sent and no
answer came) it is offered there again and nowhere else: that collector recognises what it has. What surely was not
taken, and what was never offered, may go to any lane. The reasons are in ``docs/decisions/0016-lanes-and-the-spool.md``.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from canary.backlog import MAX_BATCH_COST, Bound, MemoryStore, Store, dropped, folded, pieces
from canary.tally import Content, given_up
from collector.series import Health, Reading, Unobserved
from collector.wire import Batch, encode

HESITATION_SECONDS = 0.3
"""A lane that has not answered for so long is passed over: what is new goes through the next one."""

DOUBT_SECONDS = 900.0
"""How long a batch in doubt holds back its count, if another lane can tell that it is missing."""

EARLIER_MOST = 100
"""Batches of earlier lives that a lane holds; more come only from a host that dies again and again."""

IN_DOUBT = "in_doubt"


@dataclass(slots=True)
class _Offer:
    """A batch bound to a lane; ``doubtful``: it may have arrived; ``under_way``: it is being offered right now."""

    bound: Bound
    since: float
    doubtful: bool
    given_up: bool = False
    under_way: bool = False


@dataclass(slots=True)
class Lane:
    """One collector as this host sees it. ``well``: its last offer was answered, or it was never asked."""

    name: str
    boot: str
    sequence: int = 0
    well: bool = True
    earlier: deque[_Offer] = field(default_factory=deque)
    own: _Offer | None = None

    @property
    def offer(self) -> _Offer | None:
        """What is to be offered now: batches of earlier lives come first."""
        return self.earlier[0] if self.earlier else self.own


class Spool:
    """The queue of one host in one boot. ``lanes``: the collectors' names, the preferred one first."""

    def __init__(
        self,
        host: str,
        zone: str,
        boot: str,
        lanes: Sequence[str] = ("",),
        *,
        store: Store | None = None,
        earlier: Sequence[Bound] = (),
        doubt_seconds: float = DOUBT_SECONDS,
    ) -> None:
        self._host = host
        self._zone = zone
        self._store: Store = MemoryStore() if store is None else store
        self._doubt_seconds = doubt_seconds
        self._health: Health | None = None
        self.lanes = [Lane(name, boot if i == 0 else f"{boot}.{i}") for i, name in enumerate(lanes)]
        self._inherit(earlier)

    def _inherit(self, earlier: Sequence[Bound]) -> None:
        """Batches of earlier lives, to the lanes that they belong to; without that collector they are in doubt for ever."""
        lanes = {lane.name: lane for lane in self.lanes}
        for bound in earlier:
            lane = lanes.get(bound.lane)
            at = bound.batch.sent_at
            if lane is None or len(lane.earlier) >= EARLIER_MOST:
                self._tell_lost(bound.batch, at)
                self._store.settle(bound)
            else:
                lane.earlier.append(_Offer(bound, at, doubtful=True))

    def __len__(self) -> int:
        """How many contents and batches wait, those under way included."""
        return len(self._store) + sum(len(lane.earlier) + (lane.own is not None) for lane in self.lanes)

    @property
    def idle(self) -> bool:
        """Nothing new to send."""
        return not len(self._store) and self._health is None

    @property
    def in_doubt(self) -> int:
        """How many batches wait for the answer of the one collector that may have them."""
        return sum(len(lane.earlier) + bool(lane.own and lane.own.doubtful) for lane in self.lanes)

    def add(self, content: Content, health: Health | None, now: float = 0.0, *, last: bool = False) -> None:
        """Put content at the end; of the host's own verdict only the newest matters. ``last``: nobody will send it in this life."""
        self._health = health or self._health
        if content.readings or content.unobserved:
            for piece in pieces(content):
                self._store.put(piece, now=now, keep=last or not self._free())

    def _free(self) -> bool:
        return any(lane.well and lane.offer is None for lane in self.lanes)

    def next(self, now: float, lane: int = 0) -> Bound | None:
        """What to offer now in this lane: the same until it is settled; None when there is nothing for it.

        Tell what came of it (:meth:`acknowledge`, :meth:`refuse`, :meth:`failed`) before asking again.
        """
        mine = self.lanes[lane]
        if mine.offer is None and self._may_take(lane, now) and not self._take_over(mine, now):
            self._take(mine, now)
        if mine.offer is None:
            return None
        self._give_up_if_old(mine, mine.offer, now)
        mine.offer.under_way = True
        return mine.offer.bound

    def _may_take(self, lane: int, now: float) -> bool:
        """A lane that is well takes what is new unless a better one is about to."""
        return self.lanes[lane].well and all(self._passed_over(better, now) for better in self.lanes[:lane])

    def _passed_over(self, lane: Lane, now: float) -> bool:
        return not lane.well or (lane.offer is not None and now - lane.offer.since > HESITATION_SECONDS)

    def _take_over(self, mine: Lane, now: float) -> bool:
        """Whether there was a batch that another, ill lane surely has not told anybody; it is ours then."""
        for other in self.lanes:
            offer = other.own
            if other is mine or other.well or offer is None or offer.doubtful or offer.given_up or offer.under_way:
                continue
            other.own = None
            other.sequence -= 1  # the number was never seen by anybody
            self._bind(mine, offer.bound.batch, now, instead_of=other)
            return True
        return False

    def _take(self, mine: Lane, now: float) -> None:
        if self.idle:
            return
        readings: list[Reading] = []
        unobserved: list[Unobserved] = []
        for content in self._store.take(MAX_BATCH_COST):
            readings += content.readings
            unobserved += content.unobserved
        health, self._health = self._health, None
        batch = Batch(
            host=self._host,
            zone=self._zone,
            boot=mine.boot,
            sequence=1,
            sent_at=now,
            readings=tuple(readings),
            unobserved=tuple(unobserved),
            health=health,
        )
        self._bind(mine, batch, now)

    def _bind(self, lane: Lane, batch: Batch, now: float, instead_of: Lane | None = None) -> None:
        lane.sequence += 1
        batch = msgspec.structs.replace(batch, boot=lane.boot, sequence=lane.sequence)
        bound = Bound(lane.name, batch, encode(batch))
        self._store.bind(bound, now=now, instead_of=instead_of.boot if instead_of else None)
        lane.own = _Offer(bound, now, doubtful=False)

    # --- what came of an offer --------------------------------------------------------------------------------------------

    def acknowledge(self, lane: int = 0) -> None:
        """The lane's batch is durable at its collector."""
        mine = self.lanes[lane]
        mine.well = True
        if mine.offer is not None:
            self._store.settle(mine.offer.bound)
            self._remove(mine)

    def refuse(self, reason: str, now: float = 0.0, lane: int = 0) -> None:
        """The collector will never take the lane's batch: its number goes out again with only the count of what was lost."""
        mine = self.lanes[lane]
        mine.well = True
        if mine.offer is not None:
            mine.offer.under_way = False
            batch = mine.offer.bound.batch
            lost = folded(given_up(batch.readings, reason), 1000) if batch.readings else ()
            self._replace(mine.offer, lost, now)

    def failed(self, lane: int = 0, *, doubtful: bool) -> None:
        """The collector did not take the lane's batch; ``doubtful``: or it did, and its answer was lost."""
        mine = self.lanes[lane]
        mine.well = False
        if mine.offer is not None:
            mine.offer.under_way = False
            mine.offer.doubtful = mine.offer.doubtful or doubtful

    def recovered(self, lane: int) -> None:
        """The collector answers again."""
        self.lanes[lane].well = True

    def close(self) -> None:
        """The end of this life."""
        self._store.close()

    def _remove(self, lane: Lane) -> None:
        if lane.earlier:
            lane.earlier.popleft()
        else:
            lane.own = None

    def _replace(self, offer: _Offer, unobserved: tuple[Unobserved, ...], now: float) -> None:
        """The same number, without what was in it."""
        batch = msgspec.structs.replace(offer.bound.batch, readings=(), unobserved=unobserved, health=None)
        offer.bound = Bound(offer.bound.lane, batch, encode(batch))
        self._store.bind(offer.bound, now=now)

    def _give_up_if_old(self, mine: Lane, offer: _Offer, now: float) -> None:
        """Say through another lane that this batch may be missing; its number stays, empty, so that there is no hole."""
        others = any(lane.well for lane in self.lanes if lane is not mine)
        if mine.well or offer.given_up or not others or now - offer.since <= self._doubt_seconds:
            return
        offer.given_up = True
        self._tell_lost(offer.bound.batch, now)
        self._replace(offer, (), now)

    def _tell_lost(self, batch: Batch, now: float) -> None:
        lost = dropped([Content(batch.readings, batch.unobserved)], IN_DOUBT)
        for piece in pieces(lost) if lost.unobserved else ():
            self._store.put(piece, now=now, keep=True)
