"""What is recorded and when someone is told: data, with its sources (pure).

Burn rates and windows: *The Site Reliability Workbook*, chapter 5 "Alerting on SLOs", table 5-8 (recommended parameters for a
99.9 % SLO; the factors hold for any objective, since they are shares of its budget over 30 days).
"""

from dataclasses import dataclass

OBJECTIVES = ("99.99", "99.999")
"""Percent, as people write them: DynamoDB's for regional and for global tables. One file of alerts each."""

GOOD = ("success",)
BAD = ("server_fault", "timeout", "unreachable", "wrong_answer")
"""As in ``collector/observation.py``; ``throttled`` and ``customer_fault`` are neither."""

SHORT_WINDOWS = ("5m", "30m", "1h")
STEPS: dict[str, str] = {"6h": "5m", "1d": "1h", "3d": "1h", "7d": "1h", "30d": "1h"}
"""Longer windows are added up from counts of this length, each once, at its whole multiples: a month of raw samples for each series
would be too much to read again and again. A long window therefore moves by its step."""
WINDOWS = (*SHORT_WINDOWS, *STEPS)

LEVELS: dict[str, tuple[str, ...]] = {
    "cell": ("region", "zone", "endpoint", "operation"),
    "zone": ("region", "zone"),
    "endpoint": ("region", "endpoint"),
    "operation": ("region", "operation"),
    "region": ("region",),
}
"""What counts are added up by; the name begins the recorded metric's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """``share`` of a 30-day budget is spent in ``long`` at ``factor``; ``short`` (a twelfth) says that it goes on."""

    severity: str
    long: str
    short: str
    factor: float
    share: str


BURNS = (
    Burn(severity="page", long="1h", short="5m", factor=14.4, share="2 %"),
    Burn(severity="page", long="6h", short="30m", factor=6.0, share="5 %"),
    Burn(severity="ticket", long="3d", short="6h", factor=1.0, share="10 %"),
)

FAILURES_MIN = 3
"""Failures in the long window below which nobody is told. The workbook's chapter has a section on low-traffic services: at 99.999 % a
single failed probe of a thousand in an hour burns a hundred budgets. The figure is ours; the judgement (`cfa`) weighs evidence instead."""

ALERT_LEVELS = ("region", "zone", "endpoint")
"""Cells are left to the judgement: a hundred cells with two windows each would page a hundred times."""
EVALUATION_INTERVAL = "30s"
LONG_EVALUATION_INTERVAL = "2m"
"""Of windows with a step of an hour; well below the five minutes after which Prometheus takes a series for stale."""


def interval_of(window: str) -> str:
    """How often a window's counts are recorded."""
    return LONG_EVALUATION_INTERVAL if STEPS.get(window) == "1h" else EVALUATION_INTERVAL
