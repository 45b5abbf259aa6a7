"""The whole judgement as one value: feed entries in, incident events out (pure).

The only clock is ``FeedEntry.received_at`` (and the ``at`` of :meth:`Judgement.tick`): the same entries give the same
events with the same incident ids, so a replay from a snapshot after kill -9 pages nobody twice.
"""

from typing import Self

from cfa.config import CfaConfig
from cfa.incident import Incident, IncidentEvent
from collector.series import FeedEntry


class Judgement:
    """Windows, evidence, scope, quadrant, materiality and alarm, composed."""

    def __init__(self, config: CfaConfig) -> None:
        self.config = config
        self._incidents: list[Incident] = []

    def step(self, entry: FeedEntry) -> list[IncidentEvent]:
        """Takes one entry in; the incident events that follow from it, in order."""
        return self.tick(entry.received_at)

    def tick(self, at: float) -> list[IncidentEvent]:
        """Nothing arrived until ``at``: data grow stale, which is INSUFFICIENT_DATA and never an incident by itself."""
        return []

    def status(self, at: float) -> dict[str, object]:
        """The body of ``GET /v1/status`` (``docs/api.md``)."""
        return {"at": at, "region": self.config.region, "availability": self.availability(at)}

    def availability(self, at: float) -> list[dict[str, object]]:
        """The ``availability`` part of the status: every scope seen × side, with its windows."""
        return []

    def incidents(self) -> list[Incident]:
        """Open incidents and those closed lately, newest first."""
        return list(self._incidents)

    def snapshot(self) -> bytes:
        """Everything that :meth:`restore` needs, as versioned msgpack."""
        return b""

    @classmethod
    def restore(cls, config: CfaConfig, data: bytes) -> Self:
        """The judgement as it was at :meth:`snapshot`; raises ``ValueError`` on another version or damaged bytes."""
        return cls(config)
