"""The judgement's policy as data, each figure with its source (pure).

Sources: [alarms] = mixture detector, burst-robust null, gates and hysteresis, measured by simulation;
[scan] = Bernoulli scan with a description-length penalty; [lease] = the store's leader fail-over takes 3–5 s.
"""

from dataclasses import dataclass
from types import MappingProxyType

SECONDS_PER_YEAR = 365.25 * 86_400

BUDGET_PERIOD_SECONDS = 30 * 86_400
"""Error budgets are for 30 days."""

WINDOWS: tuple[tuple[str, int], ...] = (
    ("5m", 300),
    ("30m", 1_800),
    ("1h", 3_600),
    ("6h", 21_600),
    ("1d", 86_400),
    ("7d", 604_800),
    ("30d", 2_592_000),
)
"""Names and seconds of the rolling windows, ascending."""

GRID: tuple[tuple[float, bool], ...] = (
    (3.0, True),
    (14.4, True),
    (100.0, True),
    (0.01, False),
    (0.1, False),
    (0.5, False),
    (0.999, False),
)
"""Alternatives of the mixture: ``(value, True)`` is a multiple of p0, ``(value, False)`` a failure ratio. [alarms]"""

CLUSTERING = 0.35
"""c: how probable a failure may be directly after a failure of the same host, in a healthy service. [alarms]"""

SCAN_WINDOW_SECONDS = 60.0
"""How much of the past the scan looks at. [scan]"""

SCAN_LEAD_SECONDS = 2.0
"""Attempts before the first failure that the scan sees too: they tell a router from the region before the next batch."""

RETENTION_SECONDS = 180.0
"""How long single attempts are remembered: the slowest clearing of a partial failure."""

EPISODE_GAP_SECONDS = 30.0
"""Failures further apart than this belong to different episodes."""

BACKFILL_SECONDS = 15.0
"""A reading older than this on arrival counts in the windows only: nobody is paged for the past."""

BLIND_SECONDS = 15.0
"""No canary was heard for so long: INSUFFICIENT_DATA."""

EVALUATION_SECONDS = 0.5
"""Shortest time between two evaluations."""

SETTLED_SECONDS = 1.25
"""Failures come at once, successes in one-second batches: shares are judged on what is at least this old."""

STABLE_PAGE_SECONDS = 1.0
"""A scope is named in a page only when it has been the verdict for so long, and twice in a row."""

STABLE_TICKET_SECONDS = 3.0
"""The same for a ticket, which has time."""

SCOPE_SAMPLES = {"page": 3, "ticket": 5}
"""So many failing samples before a scope is named: with fewer it is unknown, and who is woken must know where. [scan]"""

BUDGET_SHARE_PAGES = 0.02
"""A page when this part of the 30-day budget has burned since the change point (SRE workbook, 1 h row)."""

SHARE_PAGES = 0.5
"""A page when at least this share of the attempts in the scope fails, sustained. [alarms]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """The second gate of a page, and how long its name must have held; the first gate, evidence, is no part of it.

    ``sustained_seconds`` None: as :data:`KINDS` says; ``storage_sustained_seconds`` for what a fail-over may show.
    """

    share: float
    budget_share: float
    stable_seconds: float
    sustained_seconds: float | None = None
    storage_sustained_seconds: float | None = None

    def sustained(self, kind: "Kind") -> float:
        """How long a failure of this kind must last."""
        faster = self.storage_sustained_seconds if kind.storage else self.sustained_seconds
        return kind.sustained_seconds if faster is None else min(kind.sustained_seconds, faster)


CALM = Gates(share=SHARE_PAGES, budget_share=BUDGET_SHARE_PAGES, stable_seconds=STABLE_PAGE_SECONDS)
"""The gates of every day."""

SPENT = Gates(
    share=0.1,
    budget_share=0.005,
    stable_seconds=0.5,
    sustained_seconds=1.0,
    storage_sustained_seconds=6.0,
)
"""The gates while something else is under maintenance: the next failure has one zone less to be caught by. A tenth
failing is then a page, a quarter of the usual budget too; a fail-over (3-5 s [lease]) still heals without one."""

SHARE_ENOUGH_ATTEMPTS = 20
"""From so many attempts on the share itself is judged; below, its lower Jeffreys bound."""

RUN_BREAKS_AFTER = 10
"""So many successes in seconds without a failure end a run of failures: 0.5 ** 10 = 0.1 % if half still failed."""

WRONG_ANSWERS_PAGE = 2
"""Correctness: so many wrong answers (or two hosts that saw one) page, whatever the availability: one may be a flipped
bit on the witness, two are the store's."""

CLEAR_CONFIDENCE = 0.01
"""d of the clearing rule: ln(1/d)/p_clear successes since the last failure. [alarms]"""

CLEAR_CONFIDENCE_PER_RETURN = 0.1
"""d is multiplied by this with each return: an end that was called too early asks for more evidence the next time."""

CLEAR_FLOOR = 1 / 30
"""p_clear is at least this (or the share itself, if that is smaller), else a tenth of the share that failed: 138 successes
for a tenth failing, 46 s at three attempts a second. [alarms] says 0.01, which takes 153 s (docs/decisions/0022)."""

QUIET_SECONDS: tuple[float, ...] = (8.0, 15.0, 25.0, 60.0, 120.0)
"""Shortest time without failure before an incident closes; longer each time the same scope fails again soon after its
close, so that flapping pages a few times and is then one long incident."""

QUIET_MOST_SECONDS = 170.0
"""An incident without failures for so long, and with any success, closes however few the attempts."""

VANISHED_SECONDS = 30.0
"""An incident whose attempts have vanished (a router taken out of DNS, a version rolled back) closes after this, if the
region is well: nobody has asked there for the whole time, and people are told within a minute that it is over."""

RETURN_SECONDS = 60.0
"""The same scope failing again within this time after the close is a return: the incident is opened again under its old
name, told as a page again (whoever was told "it is over" must be told anew, with the figures of now), and closes less
easily each time."""

FOLD_SHARE = 0.95
"""An incident folds into a broader one that covers at least this part of its failures …"""

FOLD_STABLE_SECONDS = 2.0
"""… has been so for this long, and explains them so well that the scan does not name the narrower one any more."""

AFTERMATH_SECONDS = 60.0
"""What the storage layer suffers this shortly after a greater incident belongs to it …"""

AFTERMATH_SUSTAINED_SECONDS = 20.0
"""… unless it goes on for so long."""

MASKED_SUSTAINED_SECONDS = 10.0
"""Servers that fail requests for so long while every canary is well are worth a ticket: longer than a fail-over."""

MASKED_OVER_SECONDS = 60.0
"""That ticket closes when the servers have counted no failure for so long."""

CUSTOMERS_SUSTAINED_SECONDS = 10.0
"""Customers' calls that fail for so long while every canary is well are worth telling: longer than a fail-over. [lease]"""

CUSTOMER_VOTES = 3
"""So many failed calls make a customer a witness; one witness alone is not believed, unless the servers count failures too."""

CANARIES_WELL_SECONDS = 30.0
"""Canaries are well when none has seen a failure for so long."""

KEEP_CLOSED_SECONDS = 3_600.0
"""How long closed incidents are remembered here (the shell's store keeps them for good)."""

VERDICT_ALPHA = 1e-4
"""A window is in breach when a service at its objective would look so bad with at most this probability."""

CELL_ATTEMPTS_AT_LEAST = 5
"""A matrix cell with fewer attempts in a minute says nothing."""

MAX_NODES = 20_000
"""More nodes of the cube than this are not followed: a bound on memory against runaway labels."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of explanation: may it page, and after how long a sustained failure."""

    pages: bool
    sustained_seconds: float
    storage: bool = False


KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {
        "region": Kind(pages=True, sustained_seconds=2.0, storage=True),
        # Before router and zone: of two that explain as well, the one that was just deployed is the likelier cause.
        "version": Kind(pages=True, sustained_seconds=2.0),
        "zone": Kind(pages=True, sustained_seconds=2.0),
        "endpoint": Kind(pages=True, sustained_seconds=2.0),
        "zone_endpoint": Kind(pages=True, sustained_seconds=2.0),
        "router": Kind(pages=True, sustained_seconds=2.0),
        # Longer than a leader's fail-over, which heals itself [lease].
        "table": Kind(pages=True, sustained_seconds=10.0, storage=True),
        "partition": Kind(pages=True, sustained_seconds=10.0, storage=True),
        "node": Kind(pages=True, sustained_seconds=10.0, storage=True),
        # One kind of question everywhere: code or a deployment. Not a component: see LOGICAL_NATS of the scan.
        "operation": Kind(pages=True, sustained_seconds=10.0, storage=True),
        # A witness's own trouble is not the customers'.
        "observer_zone": Kind(pages=False, sustained_seconds=2.0),
        "observer": Kind(pages=False, sustained_seconds=2.0),
    }
)
"""Explanations in order of preference when two explain equally well; ``storage`` marks what a fail-over may show."""
