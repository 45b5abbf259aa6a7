"""What a dashboard is made of, as far as ours go (pure).

A small typed vocabulary of our own instead of Grafana's whole schema: what cannot be said here is not used by us.
"""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["none", "short", "percentunit", "s", "reqps", "ops", "bool_on_off"]
Color = Literal["green", "yellow", "orange", "red", "blue", "text", "transparent", "super-light-blue"]
Reduce = Literal["lastNotNull", "min", "max"]


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and how its series are called (``{{label}}`` is replaced by Grafana)."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """From ``value`` upwards (None: from the very bottom) the panel has this colour."""

    value: float | None
    color: Color


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What all panels say. ``width`` of 24 columns; ``description`` tells what it shows and what to do about it."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: Unit
    width: int
    height: int = 8
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    steps: tuple[Step, ...] = (Step(None, "blue"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat(Panel):
    """One large figure per series, the newest."""

    reduce: Reduce = "lastNotNull"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSeries(Panel):
    """Lines over time; ``stacked`` for parts of a whole, ``threshold_line`` draws the steps."""

    stacked: bool = False
    threshold_line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixTable(Panel):
    """A table of the newest values: label ``rows`` down, label ``columns`` across."""

    rows: str
    columns: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTimeline(Panel):
    """States over time, one lane per series."""


@dataclass(frozen=True, slots=True)
class Row:
    """A titled row; panels flow from the left and wrap after 24 columns."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard. ``uid`` is its address for ever; ``variables`` are name → query that lists the values."""

    uid: str
    title: str
    description: str
    tags: tuple[str, ...]
    rows: tuple[Row, ...]
    variables: dict[str, str]
    refresh: str = "5s"
    span: str = "now-30m"
