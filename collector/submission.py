"""What is handed to the ledger, what it answers, and how the feed tells it (pure)."""

from dataclasses import dataclass

from collector.customers.streams import LastPoint
from collector.ingest import Duplicate, RefusedError
from collector.observation import Vantage
from collector.series import FeedEntry, Reading, RequestFate, TargetState, Unobserved
from collector.wire import Batch

COLLECTOR = "collector"
"""The host of what the collector itself has seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraped:
    """What a scrape brought: it has no identity, the collector itself made it.

    ``fates``: what routers said of failed requests. ``unobserved``: scrapes that brought nothing (the endpoint is the target's name); kept in the ledger, not told in the feed,
    where ``targets`` says that a server is silent.
    """

    zone: str
    readings: tuple[Reading, ...] = ()
    targets: tuple[TargetState, ...] = ()
    unobserved: tuple[Unobserved, ...] = ()
    fates: tuple[RequestFate, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """A customer's batch, and the last points of the metric streams that it was counted from: both are durable, or neither."""

    batch: Batch
    streams: tuple[LastPoint, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """Durable under this cursor of the feed."""

    cursor: int


Submission = Batch | Scraped
HandedIn = Submission | Counted
Answer = Stored | Duplicate | RefusedError


def entry_of(one: Submission, *, cursor: int, received_at: float) -> FeedEntry:
    """A submission as the feed tells it."""
    if isinstance(one, Scraped):
        return FeedEntry(
            cursor=cursor,
            received_at=received_at,
            host=COLLECTOR,
            zone=one.zone,
            vantage=Vantage.SERVER,
            readings=one.readings,
            targets=one.targets,
            fates=one.fates,
        )
    return FeedEntry(
        cursor=cursor,
        received_at=received_at,
        host=one.host,
        zone=one.zone,
        vantage=one.readings[0].series.vantage if one.readings else Vantage.CANARY,
        readings=one.readings,
        unobserved=one.unobserved,
        health=() if one.health is None else (one.health,),
    )
