"""What the engine needs of the judgement and of the collector (pure)."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cfa.config import CfaConfig
from cfa.incident import Incident, IncidentEvent
from cfa.merging import Run
from cfa.operators import Action, Recorded, Refusal
from cfa.silence import Mute
from collector.series import FeedEntry


class Judge(Protocol):
    """An instance of :class:`cfa.judgement.Judgement`."""

    def step(self, entry: FeedEntry) -> list[IncidentEvent]:
        """Takes one entry in."""
        ...

    def tick(self, at: float) -> list[IncidentEvent]:
        """Nothing arrived until ``at``."""
        ...

    def incidents(self) -> list[Incident]:
        """Open incidents and those closed lately."""
        ...

    def status(self, at: float) -> dict[str, object]:
        """The body of ``GET /v1/status``."""
        ...

    def availability(self, at: float) -> list[dict[str, object]]:
        """The ``availability`` part of the status."""
        ...

    def snapshot(self) -> bytes:
        """Everything that a restore needs."""
        ...


class JudgeFactory(Protocol):
    """The judgement's class: makes a new one, or one from a snapshot."""

    def __call__(self, config: CfaConfig) -> Judge:
        """A judgement that has seen nothing."""
        ...

    def restore(self, config: CfaConfig, data: bytes) -> Judge:
        """The judgement as it was; raises ``ValueError`` when the bytes are damaged or of another version."""
        ...


@runtime_checkable
class Operated(Protocol):
    """A judgement that takes operators' actions; :class:`cfa.judgement.Judgement` does."""

    @property
    def applied_actions(self) -> int:
        """The number of the last action that was taken."""
        ...

    def refuses(self, action: Action, at: float) -> Refusal | None:
        """Why an action cannot be done now, or None."""
        ...

    def act(self, recorded: Recorded) -> list[IncidentEvent]:
        """An action in its place between entries."""
        ...

    def mutes(self) -> list[Mute]:
        """Silences and maintenance windows, those over lately too."""
        ...


class FeedUnavailable(Exception):
    """The collector did not answer, or not with a feed; the text says why."""


class FeedGap(Exception):
    """The entries after the cursor are no longer kept; ``oldest`` is the first that is."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"the collector's oldest entry is {oldest}")
        self.oldest = oldest


class Feed(Protocol):
    """Where entries come from."""

    async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
        """Entries after the cursor, oldest first; raises :class:`FeedUnavailable` or :class:`FeedGap`."""
        ...


@dataclass(frozen=True, slots=True)
class FeedState:
    """Whether a collector feeds us: since when it does, or does not (UTC epoch seconds), and why not (``error``)."""

    url: str
    ok: bool
    since: float | None
    error: str | None


@runtime_checkable
class Several(Protocol):
    """A feed made of several, each of which may fail alone."""

    def states(self) -> list[FeedState]:
        """Each of them, as configured."""
        ...


@runtime_checkable
class Journaled(Protocol):
    """A feed whose order is not reproducible by itself, so that it is written down with what followed from it."""

    def resume(self, index: int, received_at: float) -> None:
        """Go on after this entry, in the order that is written down."""
        ...

    def journal(self) -> tuple[int | None, tuple[Run, ...]]:
        """After which entry to forget what was written down, and what is new since the last call: to be written with the next commit."""
        ...
