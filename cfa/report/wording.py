"""Figures as people read them (pure)."""

from math import floor

from cfa.report.figures import Figure

SOURCES = {
    "server": "Servers (routers)",
    "canary": "Canaries",
    "canary_call": "Canaries, calls with retries",
    "customer": "Customers' SDKs, attempts",
    "customer_call": "Customers' SDKs, calls with retries",
}
"""By :attr:`cfa.report.figures.Figure.source`."""
VIEWS = {"sla": "SLA view", "requests": "Request availability", "customer": "Customer view"}
VERDICTS = {"ok": "met", "breach": "missed", "not_enough_evidence": "not enough evidence", "unobserved": "unobserved"}


def availability(ratio: float | None) -> str:
    """Percent with five decimals, rounded down: 99.999996 % is never shown as 100 %."""
    if ratio is None:
        return "–"
    if ratio == 1.0:
        return "100 %"
    return f"{floor(round(ratio * 1e7, 4)) / 1e5:.5f} %"


def interval(figure: Figure) -> str:
    """``[99.98112 %, 99.99987 %]``, or nothing for a census."""
    if figure.low is None or figure.high is None:
        return ""
    return f"[{availability(figure.low)}, {availability(figure.high)}]"


def duration(seconds: float | None) -> str:
    """``58 s``, ``4 min 10 s``, ``2 h 03 min``."""
    if seconds is None:
        return "still open"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
