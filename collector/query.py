"""Query strings, read strictly (pure): an unknown or wrong parameter is named, never ignored."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from collector import rollup
from collector.observation import Vantage
from collector.totals import KINDS

FEED_LIMIT = 500
FEED_LIMIT_MAX = 5000
WAIT_SECONDS_MAX = 60.0


class QueryError(ValueError):
    """A parameter that is missing, unknown or wrong; the text names it and says what would be right."""


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """Entries after the cursor ``after``, at most ``limit``, waiting up to ``wait`` seconds for the first."""

    after: int
    limit: int
    wait: float


@dataclass(frozen=True, slots=True)
class SpanQuery:
    """From ``start`` to before ``end``, UTC epoch seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class IntervalQuery:
    """Which rows of the ledger; ``by`` None: every series by itself."""

    start: float
    end: float
    vantage: Vantage | None
    by: tuple[str, ...] | None
    version: int | None


@dataclass(frozen=True, slots=True)
class TotalsQuery:
    """Which sums; ``where``: dimensions of the kind that must have a value."""

    kind: str
    start: float
    end: float
    version: int | None
    where: tuple[tuple[str, str], ...]


def feed(parameters: Mapping[str, str]) -> FeedQuery:
    """The feed's parameters; raises :class:`QueryError`."""
    _only(parameters, "after", "limit", "wait")
    return FeedQuery(
        after=_integer(parameters, "after", 0, 2**62),
        limit=limit(parameters, FEED_LIMIT, FEED_LIMIT_MAX),
        wait=min(_number(parameters, "wait", 0.0), WAIT_SECONDS_MAX),
    )


def limit(parameters: Mapping[str, str], default: int, most: int) -> int:
    """``limit``, at least 1 and never more than ``most``; raises :class:`QueryError`."""
    return min(max(1, _integer(parameters, "limit", default, 2**62)), most)


def span(parameters: Mapping[str, str]) -> SpanQuery:
    """``start`` and ``end``; raises :class:`QueryError`."""
    _only(parameters, "start", "end", "limit", "vantage", "by", "version")
    start, end = _number(parameters, "start"), _number(parameters, "end")
    if end < start:
        raise QueryError("end: is before start")
    return SpanQuery(start, end)


def counters_feed(parameters: Mapping[str, str], wait_most: float) -> tuple[int, float]:
    """``after`` and ``wait`` of the counters' feed; raises :class:`QueryError`."""
    _only(parameters, "after", "wait")
    return _integer(parameters, "after", 0, 2**62), min(_number(parameters, "wait", 0.0), wait_most)


def counters_page(parameters: Mapping[str, str], most: int) -> tuple[int, int]:
    """``first`` and ``limit`` of the counters' series; raises :class:`QueryError`."""
    _only(parameters, "first", "limit")
    return _integer(parameters, "first", 0, 2**32), limit(parameters, most, most)


def counters_intervals(parameters: Mapping[str, str]) -> tuple[SpanQuery, str]:
    """``start``, ``end`` and ``table`` of the counters' intervals; raises :class:`QueryError`."""
    _only(parameters, "start", "end", "table")
    if not parameters.get("table"):
        raise QueryError("table: is needed here; /v1/intervals adds up over tables")
    return span({name: parameters.get(name, "") for name in ("start", "end")}), parameters["table"]


def intervals(parameters: Mapping[str, str]) -> IntervalQuery:
    """The ledger's parameters; raises :class:`QueryError`."""
    asked = span(parameters)
    vantage = parameters.get("vantage")
    if vantage is not None and vantage not in tuple(Vantage):
        raise QueryError(f"vantage: {vantage!r} is not one of {', '.join(Vantage)}")
    return IntervalQuery(
        asked.start,
        asked.end,
        None if vantage is None else Vantage(vantage),
        _by(parameters),
        _integer(parameters, "version", 0, 2**31) if "version" in parameters else None,
    )


def totals(parameters: Mapping[str, str]) -> TotalsQuery:
    """The parameters of sums; raises :class:`QueryError`."""
    kind = parameters.get("kind", "")
    if kind not in KINDS:
        raise QueryError(f"kind: {kind[:40]!r} is not one of {', '.join(KINDS)}")
    places = ("table",) if kind == "tables" else ("zone", "endpoint")
    _only(parameters, "kind", "start", "end", "version", *places)
    asked = span({name: value for name, value in parameters.items() if name in ("start", "end")})
    version = _integer(parameters, "version", 0, 2**31) if "version" in parameters else None
    where = tuple((name, parameters[name]) for name in places if name in parameters)
    return TotalsQuery(kind, asked.start, asked.end, version, where)


def _by(parameters: Mapping[str, str]) -> tuple[str, ...] | None:
    if "by" not in parameters:
        return None
    names = tuple(name for name in parameters["by"].split(",") if name not in ("", "vantage", "operation"))
    for name in names:
        if name not in rollup.DIMENSIONS:
            raise QueryError(f"by: {name!r} is not one of {', '.join(rollup.DIMENSIONS)}")
    return names


def _only(parameters: Mapping[str, str], *known: str) -> None:
    for name in parameters:
        if name not in known:
            raise QueryError(f"{name}: unknown; known are {', '.join(known)}")


def _integer(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise QueryError(f"{name}: {text[:40]!r} is not an integer from 0 to {most}")
    return int(text)


def _number(parameters: Mapping[str, str], name: str, default: float | None = None) -> float:
    if name not in parameters and default is not None:
        return default
    text = parameters.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not isfinite(value) or not 0 <= value < 2**53:
        raise QueryError(f"{name}: {text[:40]!r} is not a number of seconds")
    return value
