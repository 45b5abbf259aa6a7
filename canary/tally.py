"""One host's readings of the current moment: failures whole, successes as counts (pure)."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from canary.plan import Cell
from collector.observation import Connection, Observation, OperationClass, Outcome
from collector.series import LATENCY_BOUNDS_MS, Reading, Series, Unobserved

BUCKETS = len(LATENCY_BOUNDS_MS) + 1
FULL = 128
"""Readings that are told at once. Telling them takes some 10 µs each, in which nothing else is done: a thousand at the end of
a second would make the probes that are due then a hundredth of a second late."""


class _Second:
    __slots__ = ("counts", "failures", "latency")

    def __init__(self) -> None:
        self.counts: dict[Outcome, int] = {}
        self.latency: list[int] | None = None
        self.failures: list[Observation] = []


@dataclass(frozen=True, slots=True)
class Content:
    """What a batch will carry."""

    readings: tuple[Reading, ...] = ()
    unobserved: tuple[Unobserved, ...] = ()


def bucket_of(total_ms: float) -> int:
    """Where a latency belongs in the histogram of :data:`~collector.series.LATENCY_BOUNDS_MS`."""
    return bisect_left(LATENCY_BOUNDS_MS, total_ms)


class Account:
    """One series' counts. Whoever counts keeps it from probe to probe: finding it by its series costs more than counting."""

    __slots__ = ("_opened", "_seconds", "series")

    def __init__(self, series: Series, opened: "Callable[[Account], None]") -> None:
        self.series = series
        self._opened = opened
        self._seconds: dict[int, _Second] = {}

    def success(self, at: float, bucket: int) -> None:
        """One good attempt at UTC ``at``; ``bucket`` of its latency from the intended start (:func:`bucket_of`)."""
        second = self._seconds.get(int(at)) or self._open(int(at))
        counts = second.counts
        counts[Outcome.SUCCESS] = counts.get(Outcome.SUCCESS, 0) + 1
        if second.latency is None:
            second.latency = [0] * BUCKETS
        second.latency[bucket] += 1

    def failure(self, observation: Observation) -> None:
        """One bad or excluded attempt, kept whole."""
        at = int(observation.at)
        second = self._seconds.get(at) or self._open(at)
        second.counts[observation.outcome] = second.counts.get(observation.outcome, 0) + 1
        second.failures.append(observation)

    def _open(self, at: int) -> _Second:
        self._opened(self)
        second = self._seconds[at] = _Second()
        return second

    def taken(self) -> Iterator[Reading]:
        """All that was counted since the last time."""
        seconds, self._seconds = self._seconds, {}
        return (_reading(self.series, at, second) for at, second in seconds.items())


class Tally:
    """Counts until flushed; the same series and second may appear in several flushes, and adds up."""

    def __init__(self) -> None:
        self._opened: list[Account] = []
        self._seldom: dict[Series, Account] = {}
        self._unobserved: dict[tuple[str, Connection, OperationClass, int, str], int] = {}

    def account(self, series: Series) -> Account:
        """A place to count what is seen of a series, from now on."""
        return Account(series, self._opened_by)

    def _opened_by(self, account: Account) -> None:
        self._opened.append(account)

    def success(self, series: Series, at: float, total_ms: float) -> None:
        """One good attempt, by someone who counts too seldom to keep accounts; ``total_ms`` from its intended start."""
        self._of(series).success(at, bucket_of(total_ms))

    def failure(self, series: Series, observation: Observation) -> None:
        """One bad or excluded attempt, likewise."""
        self._of(series).failure(observation)

    def _of(self, series: Series) -> Account:
        return self._seldom.get(series) or self._seldom.setdefault(series, self.account(series))

    @property
    def is_full(self) -> bool:
        """There is so much that it is better told now than at the end of the second (:data:`FULL`)."""
        return len(self._opened) >= FULL

    def unobserved(self, cell: Cell, at: float, reason: str, count: int = 1) -> None:
        """``count`` intended probes that say nothing about the target."""
        key = (cell.endpoint, cell.connection, cell.operation, int(at), reason)
        self._unobserved[key] = self._unobserved.get(key, 0) + count

    def flush(self) -> Content:
        """All that was counted since the last time."""
        opened, self._opened, self._seldom = self._opened, [], {}
        unobserved, self._unobserved = self._unobserved, {}
        return Content(tuple(reading for account in opened for reading in account.taken()), as_unobserved(unobserved))


def _reading(series: Series, at: int, second: _Second) -> Reading:
    latency = tuple(second.latency) if second.latency else ()
    return Reading(series=series, at=at, counts=second.counts, latency=latency, failures=tuple(second.failures))


def as_unobserved(counts: dict[tuple[str, Connection, OperationClass, int, str], int]) -> tuple[Unobserved, ...]:
    """Counts by (endpoint, connection, operation, second, reason) as values of the contract."""
    return tuple(
        Unobserved(endpoint=e, connection=c, operation=o, at=at, count=count, reason=reason)
        for (e, c, o, at, reason), count in counts.items()
    )


def given_up(readings: Iterable[Reading], reason: str) -> tuple[Unobserved, ...]:
    """Readings that will never be delivered, as unobserved probes: nothing vanishes without a count."""
    counts: dict[tuple[str, Connection, OperationClass, int, str], int] = {}
    for reading in readings:
        series = reading.series
        key = (
            series.endpoint or "",
            series.connection or Connection.FRESH,
            series.operation,
            reading.at // 60 * 60,
            reason,
        )
        counts[key] = counts.get(key, 0) + sum(reading.counts.values())
    return as_unobserved(counts)
