"""Rolling availability and error budget, reads and writes apart (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboards.console import wording
from dashboards.console.payloads import Availability, Window

WINDOWS = ("5m", "30m", "1h", "6h", "1d", "7d", "30d")
KINDS = (
    ("region", "Region"),
    ("zone", "Zones"),
    ("endpoint", "Endpoints"),
    ("zone endpoint", "Zone × endpoint"),
    ("operation", "Operations"),
    ("table", "Tables"),
    ("partition", "Partitions"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One window: availability, what it rests on and what it costs. ``verdict`` colours it, ``note`` says it."""

    verdict: str
    mark: str
    value: str
    note: str
    title: str


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One scope and side; ``left`` (0…100, None unknown) and ``left_text`` are the budget that remains in ``left_window``."""

    scope: str
    side: str
    first: bool
    figures: tuple[Figure, ...]
    left: int | None
    left_text: str
    left_title: str


@dataclass(frozen=True, slots=True)
class Group:
    """Scopes of one kind; ``open_at_first`` groups are unfolded when the page opens."""

    kind: str
    name: str
    note: str
    open_at_first: bool
    rows: tuple[BudgetRow, ...]


def build(rows: Sequence[Availability]) -> tuple[Group, ...]:
    """The table's groups in the order of :data:`KINDS`; other kinds follow by name."""
    by_kind: dict[str, list[Availability]] = {}
    for row in rows:
        by_kind.setdefault(kind_of(row.scope), []).append(row)
    names = dict(KINDS)
    order = [kind for kind, _ in KINDS if kind in by_kind] + sorted(set(by_kind) - set(names))
    return tuple(_group(kind, names.get(kind, kind.capitalize()), by_kind[kind]) for kind in order)


def kind_of(scope: Mapping[str, str]) -> str:
    """``zone endpoint`` for a zone × endpoint scope, ``partition`` for a partition of a table, and so on."""
    keys = set(scope) - ({"table"} if "partition" in scope else set())
    if len(keys) > 1:
        keys -= {"region"}
    return " ".join(sorted(keys, key=lambda key: (key != "zone", key)))


def _group(kind: str, name: str, rows: list[Availability]) -> Group:
    """Sorted by scope, writes after reads; the note names how many breach somewhere."""
    rows = sorted(rows, key=lambda row: (_label(row.scope), row.side))
    bad = {_label(r.scope) for r in rows if any(w.verdict == "breach" for w in r.windows.values())}
    note = f"{wording.plural(len(bad), 'scope')} below the objective" if bad else ""
    shown, previous = [], None
    for row in rows:
        label = _label(row.scope)
        shown.append(_row(row, label, first=label != previous))
        previous = label
    return Group(kind.replace(" ", "-"), name, note, kind in ("region", "zone"), tuple(shown))


def _label(scope: Mapping[str, str]) -> str:
    """The scope without the word that the group's name already says."""
    order = ("region", "table", "zone", "endpoint", "operation", "partition")
    parts = [scope[key] for key in order if key in scope] + [scope[k] for k in sorted(set(scope) - set(order))]
    if "operation" in scope:
        parts = [wording.operation(part) for part in parts]
    return (" / " if "partition" in scope else " × ").join(parts)


def _row(row: Availability, label: str, *, first: bool) -> BudgetRow:
    """All windows of one scope and side."""
    figures = tuple(figure(row.windows.get(name)) for name in WINDOWS)
    seen = [name for name in WINDOWS if _valid(row.windows.get(name))]
    longest = row.windows[seen[-1]] if seen else None
    if longest is None or longest.budget_remaining is None:
        return BudgetRow(label, row.side, first, figures, None, wording.NOTHING, "budget unknown")
    left = longest.budget_remaining
    title = f"budget left over {seen[-1]}, counted from what was observed"
    return BudgetRow(label, row.side, first, figures, round(100 * min(1.0, max(0.0, left))), _left(left), title)


def _left(ratio: float) -> str:
    """What is left of a budget; overspent below zero."""
    return wording.percent_short(ratio) if ratio >= 0 else "overspent"


def figure(window: Window | None) -> Figure:
    """How one window is shown; nothing is green that was not observed."""
    if window is None or not _valid(window):
        return Figure("unobserved", "–", "no data", "", "nothing was observed in this window")
    total = window.good + window.bad
    verdict = window.verdict if window.verdict in ("ok", "breach", "not_enough_evidence") else "unobserved"
    mark = {"ok": "✓", "breach": "✕", "not_enough_evidence": "≈"}.get(verdict, "–")
    title = f"{wording.whole(window.good)} good of {wording.whole(total)} valid, {wording.whole(window.bad)} bad"
    if window.availability_low is not None and window.availability_high is not None:
        title += f"; between {wording.percent(window.availability_low)} and {wording.percent(window.availability_high)}"
    title += f"; burn rate {wording.times(window.burn_rate)}"
    if window.budget_remaining is not None:
        title += f"; budget left {_left(window.budget_remaining)}"
    if verdict == "not_enough_evidence":
        title += "; not enough evidence for a verdict"
    note = f"n {wording.whole(total)}" if not window.bad else f"{wording.whole(window.bad)} of {wording.whole(total)}"
    return Figure(verdict, mark, wording.percent(window.good / total), note, title)


def _valid(window: Window | None) -> int:
    """Attempts that count."""
    return window.good + window.bad if window else 0
