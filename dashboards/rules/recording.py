"""Recording rules: counts of bad and of valid attempts by level and window, and their quotient last (pure).

Only counts are ever added up. A ratio is made from counts of its own level and window, never from other ratios.
"""

from typing import Any

from dashboards.rules.policy import BAD, GOOD, LEVELS, STEPS, WINDOWS, interval_of

Rule = dict[str, Any]
ATTEMPTS = "canary_probe_attempts_total"
SELECTED = 'vantage="canary", recused="false"'
"""The collector's merged observations; what a recused host says is known, not believed."""


def bad(level: str, window: str) -> str:
    """The recorded count of bad attempts."""
    return f"{level}:canary_probe_bad:increase{window}"


def valid(level: str, window: str) -> str:
    """The recorded count of good and bad attempts."""
    return f"{level}:canary_probe_valid:increase{window}"


def availability(level: str, window: str) -> str:
    """The recorded quotient."""
    return f"{level}:canary_probe_availability:ratio{window}"


def groups() -> list[dict[str, Any]]:
    """One group a window, so that each is evaluated in its order: counts by cell, then by level, then ratios."""
    return [
        {"name": f"fivenines_availability_{window}", "interval": interval_of(window), "rules": _rules(window)}
        for window in WINDOWS
    ]


def _rules(window: str) -> list[Rule]:
    rules = _cells(window)
    for level, labels in LEVELS.items():
        if level != "cell":
            by = ", ".join(labels)
            rules += [
                {"record": valid(level, window), "expr": f"sum by ({by}) ({valid('cell', window)})"},
                {"record": bad(level, window), "expr": f"sum by ({by}) ({bad('cell', window)})"},
            ]
    for level in LEVELS:
        quotient = f"1 - {bad(level, window)} / ({valid(level, window)} > 0)"
        rules.append({"record": availability(level, window), "expr": quotient})
    return rules


def _cells(window: str) -> list[Rule]:
    """Where nothing was bad there is a zero, so that a quotient exists; where nothing was asked there is none."""
    if step := STEPS.get(window):
        return [
            {"record": name("cell", window), "expr": f"sum_over_time({name('cell', step)}[{window}:{step}])"}
            for name in (valid, bad)
        ]
    everything = _increase((*GOOD, *BAD), window)
    return [
        {"record": valid("cell", window), "expr": everything},
        {"record": bad("cell", window), "expr": f"{_increase(BAD, window)} or 0 * {everything}"},
    ]


def _increase(outcomes: tuple[str, ...], window: str) -> str:
    by = ", ".join(LEVELS["cell"])
    return f'sum by ({by}) (increase({ATTEMPTS}{{{SELECTED}, outcome=~"{"|".join(outcomes)}"}}[{window}]))'
