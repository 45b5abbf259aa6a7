"""Who of several judgements may speak: a lease for each name, kept here because nobody judges without a collector (pure).

A lease is granted to one holder for some seconds, again and again. Each new holder gets a higher epoch. Nothing is stored: a
collector that has just started does not know who holds a lease, so for as long as one may last it grants none, except to
whoever still holds one and says so with its epoch.
"""

from dataclasses import dataclass

SECONDS_MOST = 15.0
"""No lease is longer."""
NAMES_MOST = 64


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer. ``seconds``: how long the lease lasts, or how long somebody else's may still last."""

    granted: bool
    holder: str
    epoch: int
    seconds: float


@dataclass(slots=True)
class _Held:
    holder: str
    epoch: int
    until: float


class Leases:
    """All leases. Times are monotonic; ``wall`` is UTC, so that epochs grow over restarts."""

    def __init__(self, started_at: float) -> None:
        self._settled_at = started_at + SECONDS_MOST
        self._held: dict[str, _Held] = {}

    def ask(self, name: str, holder: str, *, seconds: float, epoch: int, at: float, wall: float) -> Grant:
        """Asks for the lease, or for more of it; ``epoch``: of the lease that the asker still holds, else 0."""
        seconds = min(seconds, SECONDS_MOST)
        held = self._held.get(name)
        if held is not None and held.until > at:
            if held.holder != holder:
                return Grant(False, held.holder, held.epoch, held.until - at)
            held.until = at + seconds
            return Grant(True, holder, held.epoch, seconds)
        last = 0 if held is None else held.epoch
        if not epoch and at < self._settled_at and held is None:
            return Grant(False, "", 0, self._settled_at - at)
        if held is None and len(self._held) >= NAMES_MOST:
            return Grant(False, "", 0, SECONDS_MOST)
        new = epoch if epoch and epoch >= last else max(last + 1, int(wall * 1000))
        self._held[name] = _Held(holder, new, at + seconds)
        return Grant(True, holder, new, seconds)

    def release(self, name: str, holder: str, at: float) -> None:
        """Its holder does not need it any more."""
        held = self._held.get(name)
        if held is not None and held.holder == holder:
            held.until = at
