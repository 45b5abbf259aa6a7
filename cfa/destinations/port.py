"""What the outbox needs of a destination (pure)."""

from typing import Protocol

from cfa.notices import Notice


class DeliveryFailed(Exception):
    """The destination did not take the notice; the text says why, without secrets."""


class Destination(Protocol):
    """One place that people or programs read."""

    @property
    def name(self) -> str:
        """Unique among the configured destinations; kept beside every notice."""
        ...

    @property
    def refresh_seconds(self) -> float | None:
        """How often an open incident must be told again; None: once is enough."""
        ...

    async def send(self, notice: Notice, now: float) -> None:
        """One attempt; raises :class:`DeliveryFailed`. ``now`` is UTC epoch seconds."""
        ...

    async def close(self) -> None:
        """Lets go of connections and files."""
        ...
