"""A cell that somebody else should look at now, because it has failed for one canary (pure; a contract module).

``GET /v1/asks?after=NUMBER&wait=SECONDS`` → one :class:`Asks`; waits up to ``wait`` seconds for the first ask after ``NUMBER``. Without
``after`` it answers at once with the number to begin from. Over JetStream the same value is published on :data:`SUBJECT` (core NATS, kept by
nobody: an ask is about now).
"""

import msgspec

from collector.observation import Connection, OperationClass

SUBJECT = "fivenines.asks"
WAIT_SECONDS_MAX = 30.0


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One failure that hosts of other zones should confirm or contradict. ``at``: the collector's UTC clock.

    ``partition`` and ``address``: where it failed, as far as its witness knew; the same place is asked if it can be.
    """

    number: int
    at: float
    zone: str
    host: str
    endpoint: str
    operation: OperationClass
    connection: Connection
    partition: str | None = None
    address: str | None = None


class Asks(msgspec.Struct, frozen=True):
    """Those that are new, oldest first, and the number to go on from."""

    after: int
    asks: tuple[Ask, ...] = ()


def decode_asks(data: bytes) -> Asks:
    """Asks from JSON bytes; raises ``ValueError`` when they are none."""
    return msgspec.json.decode(data, type=Asks)
