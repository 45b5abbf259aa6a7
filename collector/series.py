"""A series names what was counted; a reading is one second of it (pure; the contract between collector and cfa)."""

from dataclasses import dataclass, field

from collector.observation import Connection, Level, Observation, OperationClass, Outcome, Vantage

LATENCY_BOUNDS_MS: tuple[float, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Upper bounds of the latency histogram; one more bucket holds what is slower. Aligned with DynamoDB's single-digit-ms promise."""

DURABILITY_GAUGES = ("store_archive_oldest_unarchived_age_seconds", "store_wal_budget_ratio")
"""Gauges of a storage node that say how durable its data are; of many samples on a page the worst (highest) is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The dimensions of a count. ``None`` means that the witness could not know.

    ``zone`` is the observer's zone (canary, customer) or the server's own zone (server vantage). ``host`` is the canary host, the
    server, or the customer's name. ``software_version`` is that of the router that answered: it travels in the feed, where the
    judgement compares versions, and is left out of the ledger's rows (:func:`collector.merge.collect`).
    """

    vantage: Vantage
    host: str
    zone: str
    operation: OperationClass
    table: str
    endpoint: str | None = None
    connection: Connection | None = None
    partition: str | None = None
    router: str | None = None
    router_zone: str | None = None
    node: str | None = None
    node_zone: str | None = None
    level: Level = Level.ATTEMPT
    software_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one witness counted of one series in the UTC second ``at``; integers only.

    ``failures`` holds the whole observations behind the bad and excluded counts (canaries; empty for servers).
    ``latency`` has ``len(LATENCY_BOUNDS_MS) + 1`` buckets, successes only; empty means not measured.
    """

    series: Series
    at: int
    counts: dict[Outcome, int]
    latency: tuple[int, ...] = ()
    failures: tuple[Observation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unobserved:
    """Intended probes of a series' cell that were not asked or not believable; never counted as good or bad."""

    endpoint: str
    connection: Connection
    operation: OperationClass
    at: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A canary host's own verdict about itself: recused means its word is kept but not believed."""

    host: str
    zone: str
    at: float
    recused: bool
    reasons: tuple[str, ...] = ()
    loop_lag_ms: float = 0.0
    clock_offset_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """Whether a server answered its last scrape: a silent server is unobserved, not fine.

    ``gauges``: the worst value of each gauge on its page that says how durable its data are
    (:data:`DURABILITY_GAUGES`); empty for routers and silent servers.
    """

    target: str
    zone: str
    role: str
    up: bool
    at: float
    detail: str = ""
    gauges: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFate:
    """What a router said of a failed attempt's request: ``host`` and ``at`` name the failure, ``fate`` is one of :class:`collector.join.Fate`."""

    host: str
    at: float
    fate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """One durable, ordered entry of the collector's feed: all that one accepted batch (or one scrape) brought.

    ``cursor`` grows by at least one with each entry; the reader keeps the last it has applied. ``received_at`` is
    the collector's UTC clock and never decreases from one entry to the next: the judgement's only clock.
    """

    cursor: int
    received_at: float
    host: str
    zone: str
    vantage: Vantage
    readings: tuple[Reading, ...] = ()
    unobserved: tuple[Unobserved, ...] = ()
    health: tuple[Health, ...] = ()
    targets: tuple[TargetState, ...] = field(default=())
    fates: tuple[RequestFate, ...] = ()
