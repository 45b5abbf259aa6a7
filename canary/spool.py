"""What one host still has to tell, in order, numbered without holes, bounded (pure).

Content gets its number when it is first sent, not before: what is dropped because the collectors were away too long
leaves no hole in the numbers but a count of unobserved probes. Only the batch under way is fixed.
"""

from collections import deque
from dataclasses import replace

from canary.tally import Content, given_up
from collector.series import Health, Reading, Unobserved
from collector.wire import Batch

MAX_BATCH_COST = 1024 * 1024
MAX_SPOOL_COST = 32 * 1024 * 1024
_READING_COST, _FAILURE_COST, _UNOBSERVED_COST = 900, 1500, 200


def cost(content: Content) -> int:
    """An upper estimate of its JSON bytes."""
    failures = sum(len(reading.failures) for reading in content.readings)
    return (
        200
        + _READING_COST * len(content.readings)
        + _FAILURE_COST * failures
        + _UNOBSERVED_COST * len(content.unobserved)
    )


class Spool:
    """The queue of one host in one boot."""

    def __init__(self, host: str, zone: str, boot: str, max_cost: int = MAX_SPOOL_COST) -> None:
        self._host = host
        self._zone = zone
        self._boot = boot
        self._max_cost = max_cost
        self._waiting: deque[tuple[Content, int]] = deque()
        self._cost = 0
        self._health: Health | None = None
        self._dropped: dict[tuple[object, ...], Unobserved] = {}
        self._sequence = 0
        self._under_way: Batch | None = None

    def __len__(self) -> int:
        """How many contents wait, the batch under way included."""
        return len(self._waiting) + (self._under_way is not None)

    @property
    def idle(self) -> bool:
        """Nothing to send."""
        return not self._waiting and self._under_way is None and self._health is None and not self._dropped

    def add(self, content: Content, health: Health | None) -> None:
        """Put content at the end; of the host's own verdict only the newest matters."""
        if content.readings or content.unobserved:
            for piece in pieces(content):
                size = cost(piece)
                self._waiting.append((piece, size))
                self._cost += size
        self._health = health or self._health
        while self._cost > self._max_cost:
            self._drop_oldest()

    def next(self, now: float) -> Batch | None:
        """The batch to send now: the same one until it is acknowledged; None when there is nothing."""
        if self._under_way is None and not self.idle:
            self._under_way = self._take(now)
        return self._under_way

    def acknowledge(self) -> None:
        """The batch under way is durable at a collector."""
        self._under_way = None

    def refuse(self, reason: str) -> None:
        """A collector will never take the batch under way: its number goes out again with only the count of what was lost."""
        if self._under_way is not None:
            lost = given_up(self._under_way.readings, reason)[:1000]
            self._under_way = Batch(
                host=self._host,
                zone=self._zone,
                boot=self._boot,
                sequence=self._under_way.sequence,
                sent_at=self._under_way.sent_at,
                unobserved=lost if self._under_way.readings else (),
            )

    def _take(self, now: float) -> Batch:
        readings: list[Reading] = []
        unobserved = list(self._dropped.values())
        self._dropped = {}
        total = _UNOBSERVED_COST * len(unobserved)
        while self._waiting and (not readings or total + self._waiting[0][1] <= MAX_BATCH_COST):
            content, size = self._waiting.popleft()
            self._cost -= size
            total += size
            readings += content.readings
            unobserved += content.unobserved
        self._sequence += 1
        health, self._health = self._health, None
        return Batch(
            host=self._host,
            zone=self._zone,
            boot=self._boot,
            sequence=self._sequence,
            sent_at=now,
            readings=tuple(readings),
            unobserved=tuple(unobserved),
            health=health,
        )

    def _drop_oldest(self) -> None:
        content, size = self._waiting.popleft()
        self._cost -= size
        for lost in (*content.unobserved, *given_up(content.readings, "spool_full")):
            minute = lost.at // 60 * 60
            key = (lost.endpoint, lost.connection, lost.operation, minute, lost.reason)
            before = self._dropped.get(key)
            count = lost.count + (before.count if before else 0)
            self._dropped[key] = replace(lost, at=minute, count=count)
        while len(self._dropped) > MAX_BATCH_COST // _UNOBSERVED_COST:
            self._dropped.pop(next(iter(self._dropped)))


def pieces(content: Content, size: int = 300) -> list[Content]:
    """Content cut into pieces that each fit into one batch, whatever happened in one second."""
    if len(content.readings) <= size and len(content.unobserved) <= size and cost(content) <= MAX_BATCH_COST:
        return [content]
    cut: list[Content] = []
    for reading in content.readings:
        chunks = [reading.failures[i : i + size] for i in range(0, len(reading.failures), size)]
        if len(chunks) <= 1:
            cut.append(Content(readings=(reading,)))
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
