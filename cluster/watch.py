"""Looking on at the replicas of a node: what a checker of the simulation, or a recorder, is shown (pure)."""

from typing import Protocol

from cluster.replication.messages import Effect, Input, Recovered
from cluster.replication.replica import Replica


class Watched(Protocol):
    """A replica in its node."""

    name: str
    """Of the replication group."""
    replica: Replica

    @property
    def node(self) -> str:
        """The storage node that hosts it."""
        ...

    def holds_lease(self) -> bool:
        """Whether it leads under a lease that is valid now, by its node's clock."""
        ...


class Watch(Protocol):
    """Who looks on. It is told what was decided before that is carried out, and changes nothing."""

    def opened(self, group: Watched, recovered: Recovered | None) -> None:
        """A replica was opened from what was found on the disk."""
        ...

    def dropped(self, group: Watched) -> None:
        """The replica is no member any more, and its node keeps nothing of it."""
        ...

    def stepped(self, group: Watched, event: Input, effects: list[Effect]) -> None:
        """A replica took an input."""
        ...
