"""What routers said lately of requests that failed for canaries, by the failure that they belong to (pure)."""

from collections import Counter, deque
from typing import Any

from cfa.attempts import Failure
from cfa.policy import RETENTION_SECONDS
from collector.series import FeedEntry

MOST = 20_000
"""Words that are remembered at most; the oldest go first."""


class Joins:
    """The words of the last minutes; a failure is named by its canary host and its intended start."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, float], str] = {}
        self._order: deque[tuple[float, str, float]] = deque()

    def take(self, entry: FeedEntry) -> None:
        """Takes what an entry brought, and forgets what is older than the attempts that are remembered."""
        while self._order and (
            self._order[0][0] < entry.received_at - RETENTION_SECONDS or len(self._order) + len(entry.fates) > MOST
        ):
            _, host, at = self._order.popleft()
            self._said.pop((host, at), None)
        for one in entry.fates:
            if (one.host, one.at) not in self._said:
                self._order.append((entry.received_at, one.host, one.at))
            self._said[one.host, one.at] = one.fate

    @property
    def any(self) -> bool:
        """Whether any word is remembered."""
        return bool(self._said)

    def of(self, failures: list[Failure]) -> Counter[str]:
        """The words about these failures."""
        if not self._said:
            return Counter()
        said = (self._said.get((f.host, f.at)) for f in failures)
        return Counter(word for word in said if word is not None)

    def state(self) -> list[list[Any]]:
        """For the snapshot."""
        return [[received, host, at, self._said[host, at]] for received, host, at in self._order]

    def load(self, state: list[list[Any]]) -> None:
        """Takes a :meth:`state` back."""
        self._order = deque((received, host, at) for received, host, at, _ in state)
        self._said = {(host, at): word for _, host, at, word in state}
