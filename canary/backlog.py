"""What waits to be sent, oldest first and bounded; what the bound drops is counted (pure).

:class:`Store` is the port behind which contents wait and bound batches are remembered. :class:`MemoryStore` forgets all
with its process; :class:`canary.spool_files.DiskStore` does not.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from canary.tally import Content, given_up
from collector.interval import INTERVAL_SECONDS
from collector.series import Reading, Unobserved
from collector.wire import Batch

MAX_BATCH_COST = 900 * 1024
"""Below the megabyte that a NATS server takes by default, headers included."""

MAX_MEMORY_COST = 32 * 1024 * 1024
DROPPED_ROWS_MAX = 2000
SPOOL_FULL = "spool_full"
_READING_COST, _FAILURE_COST, _UNOBSERVED_COST = 900, 1500, 200


@dataclass(frozen=True, slots=True)
class Bound:
    """A batch that belongs to a lane, because it was (or may have been) offered there. ``body``: the batch as it travels."""

    lane: str
    batch: Batch
    body: bytes


class Store(Protocol):
    """Where contents wait, and where it is remembered which batch belongs to which lane. Nothing here raises for I/O."""

    def __len__(self) -> int:
        """How many contents wait."""
        ...

    def put(self, content: Content, *, now: float, keep: bool) -> None:
        """Add at the end. ``keep``: it will not be taken at once, so it must survive the process from now on."""
        ...

    def take(self, most: int) -> list[Content]:
        """The oldest contents, up to a cost of ``most`` (one at least, if there is one); a :meth:`bind` must follow at once."""
        ...

    def bind(self, bound: Bound, *, now: float, instead_of: str | None = None) -> None:
        """Remember that what was taken last (or the lane ``instead_of``'s batch) is this batch now."""
        ...

    def settle(self, bound: Bound) -> None:
        """Forget the batch: it is durable elsewhere, or counted as lost."""
        ...

    def close(self) -> None:
        """No more is put or taken."""
        ...


def cost(content: Content) -> int:
    """An upper estimate of its JSON bytes."""
    failures = sum(len(reading.failures) for reading in content.readings)
    return (
        200
        + _READING_COST * len(content.readings)
        + _FAILURE_COST * failures
        + _UNOBSERVED_COST * len(content.unobserved)
    )


def dropped(contents: Iterable[Content], reason: str) -> Content:
    """Contents that will never be sent, as counts of unobserved probes."""
    lost = [one for content in contents for one in (*content.unobserved, *given_up(content.readings, reason))]
    return Content(unobserved=folded(lost))


def folded(lost: Sequence[Unobserved], most: int = DROPPED_ROWS_MAX) -> tuple[Unobserved, ...]:
    """The same counts in at most ``most`` rows where that can be: by five minutes, else by hour, by day, or all in one."""
    rows = lost
    for seconds in (INTERVAL_SECONDS, 3600, 86400, 1 << 40):
        counts: dict[tuple[object, ...], Unobserved] = {}
        for one in rows:
            start = one.at // seconds * seconds
            key = (one.endpoint, one.connection, one.operation, start, one.reason)
            before = counts.get(key)
            known = replace(one, at=start if seconds == INTERVAL_SECONDS else one.at)
            counts[key] = replace(before, count=before.count + one.count) if before else known
        rows = tuple(counts.values())
        if len(rows) <= most:
            break
    return tuple(rows)


def pieces(content: Content, size: int = 300) -> list[Content]:
    """Content cut into pieces that each fit into one batch, whatever happened in one second."""
    if len(content.readings) <= size and len(content.unobserved) <= size and cost(content) <= MAX_BATCH_COST:
        return [content]
    cut = _gathered([r for r in content.readings if len(r.failures) <= size], size)
    for reading in content.readings:
        chunks = [reading.failures[i : i + size] for i in range(0, len(reading.failures), size)]
        if len(chunks) <= 1:
            continue
        rest = dict(reading.counts)
        for chunk in chunks:
            counts = {outcome: sum(f.outcome is outcome for f in chunk) for outcome in {f.outcome for f in chunk}}
            for outcome, count in counts.items():
                rest[outcome] -= count
            cut.append(Content(readings=(replace(reading, counts=counts, latency=(), failures=chunk),)))
        left = {outcome: count for outcome, count in rest.items() if count}
        if left:
            cut.append(Content(readings=(replace(reading, counts=left, failures=()),)))
    cut += [Content(unobserved=content.unobserved[i : i + size]) for i in range(0, len(content.unobserved), size)]
    return cut


def _gathered(readings: list[Reading], size: int) -> list[Content]:
    """As few pieces as the limits allow: each costs a write and a read of the spool, and a pause of the probes meanwhile."""
    cut: list[Content] = []
    few: list[Reading] = []
    total = 0
    for reading in readings:
        more = _READING_COST + _FAILURE_COST * len(reading.failures)
        if few and (len(few) >= size or total + more > MAX_BATCH_COST - 200):
            cut.append(Content(readings=tuple(few)))
            few, total = [], 0
        few.append(reading)
        total += more
    return [*cut, Content(readings=tuple(few))] if few else cut


class MemoryStore:
    """Contents in memory alone: a killed process takes them with it."""

    def __init__(self, max_cost: int = MAX_MEMORY_COST) -> None:
        self._max_cost = max_cost
        self._waiting: deque[tuple[Content, int]] = deque()
        self._cost = 0
        self._lost = Content()

    def __len__(self) -> int:
        return len(self._waiting) + bool(self._lost.unobserved)

    def put(self, content: Content, *, now: float, keep: bool) -> None:
        """Add at the end; the oldest make room."""
        del now, keep
        size = cost(content)
        self._waiting.append((content, size))
        self._cost += size
        gone = []
        while self._cost > self._max_cost:
            oldest, size = self._waiting.popleft()
            self._cost -= size
            gone.append(oldest)
        if gone:
            self._lost = dropped([self._lost, *gone], SPOOL_FULL)

    def take(self, most: int) -> list[Content]:
        """What was dropped first, then the oldest."""
        found = pieces(self._lost)[:1] if self._lost.unobserved else []
        if found:
            rows = self._lost.unobserved[len(found[0].unobserved) :]
            self._lost = Content(unobserved=rows)
        total = sum(map(cost, found))
        while self._waiting and (not found or total + self._waiting[0][1] <= most):
            content, size = self._waiting.popleft()
            self._cost -= size
            total += size
            found.append(content)
        return found

    def bind(self, bound: Bound, *, now: float, instead_of: str | None = None) -> None:
        """Nothing: the spool itself remembers as long as memory does."""

    def settle(self, bound: Bound) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to close."""
