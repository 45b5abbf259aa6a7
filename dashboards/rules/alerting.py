"""Alert rules: several burn rates, each over two windows, and one for what nobody has seen (pure)."""

from decimal import Decimal
from typing import Any

from dashboards.rules.policy import ALERT_LEVELS, BURNS, EVALUATION_INTERVAL, FAILURES_MIN, LEVELS, Burn
from dashboards.rules.recording import Rule, bad, valid


def groups(objective: str) -> list[dict[str, Any]]:
    """The group of one objective (percent, as text)."""
    burns = [_burn(objective, level, burn) for level in ALERT_LEVELS for burn in BURNS]
    rules = [*burns, _unobserved(objective)]
    return [{"name": f"fivenines_alerts_{objective}", "interval": EVALUATION_INTERVAL, "rules": rules}]


def threshold(objective: str, factor: float) -> str:
    """The share of bad attempts at which ``factor`` budgets are burned in a budget's time; exact, in decimal."""
    budget = 1 - Decimal(objective) / 100
    return format((Decimal(str(factor)) * budget).normalize(), "f")


def _burn(objective: str, level: str, burn: Burn) -> Rule:
    limit = threshold(objective, burn.factor)
    shares = [f"({bad(level, window)} / {valid(level, window)}) > {limit}" for window in (burn.long, burn.short)]
    where = {"region": "region {{ $labels.region }}"}.get(level, f"{level} {{{{ $labels.{level} }}}}")
    return {
        "alert": f"Fivenines{level.capitalize()}BudgetBurn",
        "expr": f"{shares[0]} and {shares[1]} and {bad(level, burn.long)} >= {FAILURES_MIN}",
        "labels": {"severity": burn.severity, "objective": objective, "long_window": burn.long, "scope": level},
        "annotations": {
            "summary": f"{where}: {burn.factor:g} times the error budget of {objective} % for {burn.long}",
            "description": (
                f"More than {limit} of what canaries asked has failed over {burn.long} and over {burn.short}: "
                f"{burn.share} of a 30-day budget in {burn.long}. Share now: {{{{ $value | humanizePercentage }}}}."
            ),
        },
    }


def _unobserved(objective: str) -> Rule:
    """A zone that was asked from within the last hour and is not now: unknown, which is not fine."""
    by = ", ".join(LEVELS["zone"])
    return {
        "alert": "FiveninesZoneUnobserved",
        "expr": f"({valid('zone', '1h')} > 0) unless on ({by}) ({valid('zone', '5m')} > 0)",
        "for": "2m",
        "labels": {"severity": "ticket", "objective": objective, "scope": "zone"},
        "annotations": {
            "summary": "zone {{ $labels.zone }}: no canary has asked anything for five minutes",
            "description": "Nothing is known of this zone. No figure of it is good or bad until its canaries ask again.",
        },
    }
