"""Numbers, times and scopes in words for people (pure).

A share is floored to the digits shown: 99.99991 % is never printed as 100 %. Times are UTC.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal

THIN = "\u202f"
NOTHING = "–"
OPERATIONS = {
    "write": "write",
    "read": "read",
    "strong_read": "strong read",
    "eventual_read": "eventual read",
    "query": "query",
    "transaction": "transaction",
    "batch": "batch",
    "control": "control",
    "check": "check",
}
SCOPE_WORDS = {
    "region": "region",
    "zone": "zone",
    "endpoint": "endpoint",
    "operation": "operation",
    "router": "router",
    "node": "storage node",
    "version": "software version",
    "table": "table",
    "partition": "partition",
    "observer": "canary host",
    "observer_zone": "canaries in",
}


def percent(ratio: float | None) -> str:
    """``ratio`` in percent, floored: four digits from 99 % up, two below, none when it is exactly 0 or 1."""
    if ratio is None:
        return NOTHING
    exact = Decimal(repr(float(ratio)))
    if exact in (Decimal(0), Decimal(1)):
        return f"{int(exact * 100)}{THIN}%"
    digits = Decimal("0.0001") if exact >= Decimal("0.99") else Decimal("0.01")
    return f"{(exact * 100).quantize(digits, ROUND_FLOOR)}{THIN}%"


def percent_short(ratio: float | None) -> str:
    """Like :func:`percent` for narrow places: at most two digits after the point, floored."""
    if ratio is None:
        return NOTHING
    exact = Decimal(repr(float(ratio))) * 100
    step = Decimal("0.01") if exact >= 99 else Decimal("0.1") if exact >= 10 else Decimal("0.01")
    shown = exact.quantize(step, ROUND_FLOOR)
    text = f"{shown:f}" if exact != exact.to_integral_value() else f"{int(exact)}"
    return f"{text}{THIN}%"


def objective(ratio: float | None) -> str:
    """An objective as it was written: 0.9999 → 99.99 %."""
    if ratio is None:
        return NOTHING
    text = f"{Decimal(repr(float(ratio))) * 100:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{THIN}%"


def whole(number: int) -> str:
    """A count with narrow spaces between thousands."""
    return f"{number:,}".replace(",", THIN)


def times(factor: float | None) -> str:
    """A burn rate: 0.25 → 0.2×, 14.4 → 14×."""
    if factor is None:
        return NOTHING
    if factor == 0:
        return "0×"
    if factor < 0.1:
        return "<0.1×"
    return f"{factor:.1f}×" if factor < 10 else f"{whole(round(factor))}×"


def milliseconds(value: float | None) -> str:
    """A latency: 4.2 ms, 11 ms, 1.3 s."""
    if value is None:
        return NOTHING
    if value >= 1000:
        return f"{value / 1000:.1f}{THIN}s"
    return f"{value:.1f}{THIN}ms" if value < 10 else f"{value:.0f}{THIN}ms"


def duration(seconds: float | None) -> str:
    """A length of time with its two largest units."""
    if seconds is None:
        return NOTHING
    total = max(0.0, seconds)
    if total < 10:
        return f"{total:.1f}{THIN}s"
    days, rest = divmod(int(total), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}{THIN}d {hours}{THIN}h"
    if hours:
        return f"{hours}{THIN}h {minutes:02d}{THIN}min"
    if minutes:
        return f"{minutes}{THIN}min {rest:02d}{THIN}s"
    return f"{rest}{THIN}s"


def ago(at: float | None, now: float) -> str:
    """How long before ``now``."""
    return NOTHING if at is None else f"{duration(round(now - at)) if now - at >= 1 else f'0{THIN}s'} ago"


def clock(at: float | None) -> str:
    """``09:00:01``, UTC."""
    return NOTHING if at is None else datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def stamp(at: float | None) -> str:
    """``2026-11-23 09:00:01 UTC``."""
    return NOTHING if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: float | None) -> str:
    """For the ``datetime`` attribute of ``<time>``."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rarity(years: float | None) -> str:
    """How often chance alone would show this."""
    if years is None:
        return ""
    for size, word in ((1e9, "billion years"), (1e6, "million years"), (1e3, "thousand years")):
        if years >= size:
            count = years / size
            return f"once in > 1000 {word}" if count >= 1000 else f"once in {count:.0f} {word}"
    if years >= 1:
        return f"once in {years:.0f} years"
    return f"{1 / years:.0f} times a year" if years > 0 else ""


def scope(parts: Mapping[str, str]) -> str:
    """A scope in words: ``{"zone": "az1"}`` → zone az1; the widest part first."""
    if not parts:
        return "somewhere"
    known = [key for key in SCOPE_WORDS if key in parts]
    unknown = sorted(set(parts) - set(SCOPE_WORDS))
    return " × ".join(f"{SCOPE_WORDS.get(key, key)} {parts[key]}" for key in [*known, *unknown])


def operation(name: str) -> str:
    """An operation class in words."""
    return OPERATIONS.get(name, name.replace("_", " "))


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 incident``, ``2 incidents``."""
    return f"{whole(count)} {one if count == 1 else many or one + 's'}"


def listing(names: list[str]) -> str:
    """``a, b and c``; a dash for none."""
    if not names:
        return NOTHING
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def phrase(reason: str | None) -> str:
    """A named reason as a phrase: ``connect_refused`` → connect refused."""
    return (reason or "").replace("_", " ")
