"""Durations as people write them: ``500ms``, ``5s``, ``10m``, ``1h30m``, ``7d`` (pure)."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds_of(text: str | float) -> float:
    """``text`` in seconds; a bare number means seconds. Raises ValueError with an example."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    parts = _PART.findall(str(text))
    if not parts or "".join(number + unit for number, unit in parts) != str(text):
        raise ValueError(f"'{text}' is not a duration; write it like 500ms, 5s, 10m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def span_of(text: str | float | list[float] | tuple[float, float]) -> tuple[float, float]:
    """``5s..25s`` in seconds, the shorter first; one duration alone is a span of no width. Raises ValueError with an example."""
    if isinstance(text, list | tuple):
        shortest, longest = text
    else:
        first, _, last = str(text).partition("..")
        shortest, longest = seconds_of(first), seconds_of(last or first)
    if not 0 <= shortest <= longest:
        raise ValueError(f"'{text}' is not a span; write the shorter one first, like 5s..25s")
    return shortest, longest
