"""The port to whoever makes batches durable, and what came of an offer (pure)."""

from enum import StrEnum
from typing import Protocol

from canary.backlog import Bound


class Answer(StrEnum):
    """What came of one offer."""

    TAKEN = "taken"
    """Durable there, now or since an earlier offer."""
    REFUSED = "refused"
    """Will never be taken: its contents are at fault."""
    NOT_TAKEN = "not_taken"
    """Surely not kept: nothing was sent, or the answer says so."""
    IN_DOUBT = "in_doubt"
    """It may have been kept, and the answer was lost."""


class Transport(Protocol):
    """One collector, or one stream that collectors read. No method raises for I/O."""

    @property
    def name(self) -> str:
        """What it is called in the spool, in all lives of a host."""
        ...

    async def offer(self, bound: Bound) -> Answer:
        """Send one batch and wait until it is durable, within some seconds."""
        ...

    async def probe(self) -> bool:
        """Whether it would answer, without sending anything."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...
