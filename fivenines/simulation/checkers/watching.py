"""All checkers that look on at the replicas, as one watch (pure)."""

from collections.abc import Callable

from cluster.replication.messages import Effect, Input, Recovered
from cluster.watch import Watched
from fivenines.simulation.checkers.durability import Durability
from fivenines.simulation.checkers.replicas import Agreement
from fivenines.simulation.checkers.verdict import Verdict


class Watching:
    """A :class:`cluster.watch.Watch`."""

    def __init__(self, verdict: Verdict, now: Callable[[], float], zone_of: dict[str, str]) -> None:
        self.agreement = Agreement(verdict, now)
        self.durability = Durability(verdict, now, zone_of)

    def opened(self, group: Watched, recovered: Recovered | None) -> None:
        """A replica was opened."""
        self.agreement.opened(group, recovered)
        self.durability.opened(group, recovered)

    def dropped(self, group: Watched) -> None:
        """A replica is gone for good."""
        self.durability.dropped(group)
        self.agreement.dropped(group)

    def stepped(self, group: Watched, event: Input, effects: list[Effect]) -> None:
        """A replica took an input."""
        self.durability.stepped(group, event, effects)
        self.agreement.stepped(group, event, effects)

    def closed(self, node: str) -> None:
        """A node is down."""
        self.agreement.closed(node)
