"""What the outbox needs of a destination (pure)."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from cfa.notices import Notice


class DeliveryFailed(Exception):
    """The destination did not take the notice; the text says why, without secrets.

    ``wait_seconds``: how long it asks to be left alone (``Retry-After``). ``for_good``: it will not take it however often it
    is asked, as long as nobody changes the configuration; it is still asked again, but the second route need not wait.
    """

    def __init__(self, reason: str, *, wait_seconds: float = 0.0, for_good: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds
        self.for_good = for_good


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


@runtime_checkable
class Gathering(Protocol):
    """A destination that can tell several notices in one message."""

    async def send_together(self, notices: Sequence[Notice], now: float) -> None:
        """One attempt with all of them; raises :class:`DeliveryFailed`."""
        ...
