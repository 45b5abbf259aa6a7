"""A week of five-minute intervals as one picture: a row a day, drawn as inline SVG (pure)."""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby

from cfa.report.figures import IntervalLine
from collector.interval import INTERVAL_SECONDS

DAY_SECONDS = 86400
CELLS = DAY_SECONDS // INTERVAL_SECONDS
_CELL_WIDTH, _ROW_HEIGHT, _BAR_HEIGHT, _LEFT, _TOP = 3, 22, 18, 82, 18


@dataclass(frozen=True, slots=True)
class _Cell:
    shade: str
    title: str


def shade(line: IntervalLine) -> str:
    """The class of one interval by its share of bad attempts: five steps, an order of magnitude or so each."""
    valid = line.good + line.bad
    if valid == 0:
        return "none"
    share = line.bad / valid
    steps = ((0.0, "good"), (0.001, "faint"), (0.01, "light"), (0.1, "strong"))
    return next((name for bound, name in steps if share <= bound), "dark")


def strip(lines: Iterable[IntervalLine], start: int, until: int, end: int) -> str:
    """An SVG of ``[start, end)``; what is not over at ``until`` is left blank, what nobody saw is grey."""
    by_start = {line.start: line for line in lines}
    days = range(start, end, DAY_SECONDS)
    width, height = _LEFT + CELLS * _CELL_WIDTH + 2, _TOP + len(days) * _ROW_HEIGHT
    body = "".join(_day(by_start, day, number, until) for number, day in enumerate(days))
    return (
        f'<svg class="strip" viewBox="0 0 {width} {height}" role="img" aria-label="Availability by five-minute interval">'
        f"{_hours()}{body}</svg>"
    )


def _hours() -> str:
    marks = (
        f'<text x="{_LEFT + hour * 12 * _CELL_WIDTH}" y="12" class="tick">{hour:02d}:00</text>'
        for hour in range(0, 24, 3)
    )
    return "".join(marks)


def _day(by_start: dict[int, IntervalLine], day: int, number: int, until: int) -> str:
    y = _TOP + number * _ROW_HEIGHT
    name = dt.datetime.fromtimestamp(day, tz=dt.UTC).strftime("%a %d %b")
    cells = [_cell(by_start.get(start), start) for start in range(day, min(day + DAY_SECONDS, until), INTERVAL_SECONDS)]
    label = f'<text x="0" y="{y + 13}" class="day">{name}</text>'
    return label + "".join(_rectangles(cells, y))


def _cell(line: IntervalLine | None, start: int) -> _Cell:
    if line is None:
        return _Cell("none", "")
    kind = shade(line)
    if kind in ("good", "none"):
        return _Cell(kind, "")
    at = dt.datetime.fromtimestamp(start, tz=dt.UTC).strftime("%a %H:%M")
    return _Cell(kind, f"{at} UTC: {line.bad:,} of {line.good + line.bad:,} bad")


def _rectangles(cells: list[_Cell], y: int) -> Iterator[str]:
    """Neighbours that look alike become one rectangle: a calm week is a handful of them."""
    x = _LEFT
    for cell, run in groupby(cells):
        width = len(list(run)) * _CELL_WIDTH
        title = f"<title>{escape(cell.title)}</title>" if cell.title else ""
        yield f'<rect x="{x}" y="{y}" width="{width}" height="{_BAR_HEIGHT}" class="c-{cell.shade}">{title}</rect>'
        x += width
