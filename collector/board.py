"""Which failures other zones are asked to look at, and how often (pure). The reasons: ``docs/decisions/0025-confirm-burst.md``.

A cell (endpoint × operation × connection) is put on the board with its first failure, and again ``AGAIN_SECONDS`` later if it still fails.
Nobody is asked about what is old, about what a host that does not believe itself has seen, or about an answer to an ask: no ask begets another.
"""

from collections import deque
from collections.abc import Iterator

from collector.ask import Ask, Asks
from collector.observation import Connection, Level, Observation, OperationClass, Vantage
from collector.wire import Batch

AGAIN_SECONDS = 10.0
OLD_SECONDS = 5.0
"""A failure that was asked longer ago came from a spool; an ask that is older is of no more use."""
KEPT_MAX = 256
CELLS_MAX = 10_000
MINUTE_SECONDS = 60.0

AskedCell = tuple[str, OperationClass, Connection]


class Board:
    """``per_minute``: asks of one endpoint; 0: none. ``first``: the first number; later than any of an earlier life, e.g. milliseconds."""

    def __init__(self, per_minute: int, first: int) -> None:
        self._per_minute = per_minute
        self.last = first
        """The newest number."""
        self._kept: deque[Ask] = deque(maxlen=KEPT_MAX)
        self._asked_at: dict[AskedCell, float] = {}
        self._spent: dict[str, deque[float]] = {}
        self._recused: set[str] = set()
        self.counts = dict.fromkeys(("asked", "lately", "budget"), 0)
        """What became of failures that would have been worth an ask."""

    def hear(self, batch: Batch, at: float) -> tuple[Ask, ...]:
        """The asks that follow from a batch received at ``at``."""
        if batch.health is not None:
            (self._recused.add if batch.health.recused else self._recused.discard)(batch.host)
        if not self._per_minute or batch.host in self._recused:
            return ()
        asks = tuple(self._ask(batch, failure, at) for failure in _news(batch, at) if self._may(failure, at))
        self._kept.extend(asks)
        return asks

    def _may(self, failure: Observation, at: float) -> bool:
        cell = (failure.endpoint, failure.operation, failure.connection)
        if at - self._asked_at.get(cell, float("-inf")) < AGAIN_SECONDS:
            self.counts["lately"] += 1
            return False
        if not self._within_budget(failure.endpoint, at):
            self.counts["budget"] += 1
            return False
        if len(self._asked_at) >= CELLS_MAX:
            self._asked_at.clear()
        self._asked_at[cell] = at
        self.counts["asked"] += 1
        return True

    def _within_budget(self, endpoint: str, at: float) -> bool:
        if len(self._spent) >= CELLS_MAX:
            self._spent.clear()
        spent = self._spent.setdefault(endpoint, deque())
        while spent and spent[0] <= at - MINUTE_SECONDS:
            spent.popleft()
        if len(spent) >= self._per_minute:
            return False
        spent.append(at)
        return True

    def _ask(self, batch: Batch, failure: Observation, at: float) -> Ask:
        self.last += 1
        return Ask(
            number=self.last,
            at=at,
            zone=batch.zone,
            host=batch.host,
            endpoint=failure.endpoint,
            operation=failure.operation,
            connection=failure.connection,
            partition=failure.partition,
            address=failure.address,
        )

    def after(self, number: int, at: float) -> Asks:
        """What was asked after ``number`` and is not old at ``at``."""
        return Asks(self.last, tuple(ask for ask in self._kept if ask.number > number and at - ask.at <= OLD_SECONDS))


def _news(batch: Batch, at: float) -> Iterator[Observation]:
    """A batch's bad single attempts of just now, not those of a burst."""
    for reading in batch.readings:
        if reading.series.vantage is Vantage.CANARY and reading.series.level is Level.ATTEMPT:
            for failure in reading.failures:
                if failure.outcome.is_bad and at - failure.at <= OLD_SECONDS:
                    yield failure
