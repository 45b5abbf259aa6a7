"""The matrix zone × endpoint × operation, each with its fresh and pooled half (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.console import wording
from dashboards.console.payloads import Cell

MARKS = {"ok": "✓", "breach": "✕", "not_enough_evidence": "≈", "unobserved": "–"}
VERDICT_WORDS = {
    "ok": "meets the objective",
    "breach": "breaches the objective",
    "not_enough_evidence": "failures, not enough evidence",
    "unobserved": "unobserved",
}
OPERATION_ORDER = ("write", "strong_read", "eventual_read", "query", "transaction", "batch", "control", "check")
CONNECTION_ORDER = ("fresh", "pooled")
ENDPOINT_ORDER = ("standard", "fips", "dualstack", "account")


@dataclass(frozen=True, slots=True)
class Tile:
    """One cell of the last minute; ``verdict`` is a key of :data:`MARKS`, ``title`` says everything in words."""

    verdict: str
    mark: str
    value: str
    latency: str
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """An operation and its tiles, one for each connection of the matrix."""

    name: str
    short: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """One endpoint as asked from one zone; ``verdict`` is its worst tile's."""

    endpoint: str
    verdict: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One zone, with the number of its breaching and unobserved tiles."""

    zone: str
    failing: int
    unseen: int
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All of it; ``observed`` of ``expected`` cells had an answer that counts."""

    connections: tuple[str, ...]
    rows: tuple[Row, ...]
    observed: int
    expected: int


def verdict_of(cell: Cell) -> str:
    """The judgement's verdict, except that what nobody observed, or what we do not understand, is ``unobserved``."""
    if cell.good + cell.bad == 0 or cell.verdict not in MARKS:
        return "unobserved"
    return cell.verdict


def tile(cell: Cell | None) -> Tile:
    """How one cell is shown; None: the judgement does not know the cell."""
    if cell is None:
        return Tile("unobserved", MARKS["unobserved"], "", "", "not measured")
    verdict, total = verdict_of(cell), cell.good + cell.bad
    place = f"{cell.zone}, {cell.endpoint}, {wording.operation(cell.operation)}, {cell.connection}"
    if total == 0:
        why = f"{cell.unobserved} not asked or not believed" if cell.unobserved else "no attempts"
        if cell.due_in_seconds:
            why = f"asked seldom, its turn comes within {cell.due_in_seconds:.0f} s; nothing"
        return Tile(verdict, MARKS[verdict], "", "", f"{place}: unobserved, {why} in the last 60 s")
    counts = f"{wording.whole(cell.good)} of {wording.plural(total, 'attempt')} good"
    extra = "".join(
        f", {wording.whole(number)} {word}"
        for number, word in ((cell.excluded, "excluded"), (cell.unobserved, "unobserved"))
        if number
    )
    latency = f"p50 {wording.milliseconds(cell.latency_ms_p50)}, p99 {wording.milliseconds(cell.latency_ms_p99)}"
    title = f"{place}: {VERDICT_WORDS[verdict]}; {counts}{extra} in the last 60 s; {latency}"
    value = wording.percent_short(cell.good / total)
    return Tile(verdict, MARKS[verdict], value, wording.milliseconds(cell.latency_ms_p99), title)


def build(cells: Sequence[Cell]) -> Matrix:
    """The matrix in a steady order, whatever the order of the answer."""
    known = {(c.zone, c.endpoint, c.operation, c.connection): c for c in cells}
    zones = sorted({c.zone for c in cells})
    endpoints = _ordered({c.endpoint for c in cells}, ENDPOINT_ORDER)
    operations = _ordered({c.operation for c in cells}, OPERATION_ORDER)
    connections = _ordered({c.connection for c in cells}, CONNECTION_ORDER)

    def card(zone: str, endpoint: str) -> Card:
        lines = tuple(
            Line(
                wording.operation(operation),
                _short(operation),
                tuple(tile(known.get((zone, endpoint, operation, connection))) for connection in connections),
            )
            for operation in operations
        )
        return Card(endpoint, _worst([t.verdict for line in lines for t in line.tiles]), lines)

    rows = tuple(_row(zone, tuple(card(zone, endpoint) for endpoint in endpoints)) for zone in zones)
    observed = sum(1 for cell in cells if cell.good + cell.bad)
    return Matrix(connections, rows, observed, len(cells))


def _row(zone: str, cards: tuple[Card, ...]) -> Row:
    """A zone and how much is wrong in it."""
    verdicts = [t.verdict for card in cards for line in card.lines for t in line.tiles]
    return Row(zone, verdicts.count("breach"), verdicts.count("unobserved"), cards)


def _ordered(present: set[str], order: tuple[str, ...]) -> tuple[str, ...]:
    """Known names in our order, then the others by name."""
    return (*[name for name in order if name in present], *sorted(present - set(order)))


def _short(operation: str) -> str:
    """For narrow screens."""
    return {"strong_read": "strong", "eventual_read": "eventual", "transaction": "transact."}.get(operation, operation)


def _worst(verdicts: Sequence[str]) -> str:
    """The verdict that matters most."""
    for verdict in ("breach", "not_enough_evidence", "unobserved"):
        if verdict in verdicts:
            return verdict
    return "ok"
