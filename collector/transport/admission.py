"""What to do with a message of the stream: its body read and checked like a request's (pure)."""

from dataclasses import dataclass

from collector import ingest
from collector.ingest import Refusal, RefusedError
from collector.wire import Batch


@dataclass(frozen=True, slots=True)
class Admitted:
    """To be written. ``refused``: why only a count of it is left."""

    batch: Batch
    refused: Refusal | None = None


def admit(body: bytes, *, at: float, late_seconds: float) -> Admitted:
    """The batch, or what is left of one that is refused; raises :class:`RefusedError` when not even that can be read.

    Nobody could tell the canary: its batch was acknowledged by the server. So the collector itself writes down, under
    the batch's own number, that its probes are unobserved.
    """
    batch = ingest.read(body)
    try:
        ingest.check(batch, at=at, late_seconds=late_seconds)
    except RefusedError as refused:
        return Admitted(ingest.remainder(batch, refused.reason, at=at, late_seconds=late_seconds), refused.reason)
    return Admitted(batch)
