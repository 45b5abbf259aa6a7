"""A drill's verdict for people: some lines for one, a table for many (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from fivenines.drill_verdict import Verdict, describe
from fivenines.durability import Durability


@dataclass(frozen=True, slots=True)
class Row:
    """One drill of a series. ``verdict`` None: it was skipped, for ``reason``; ``took`` in seconds."""

    scenario: str
    verdict: Verdict | None
    reason: str
    took: float


def lines(verdict: Verdict) -> list[str]:
    """One verdict."""
    times = (
        ("detected", verdict.detected_seconds),
        ("paged", verdict.paged_seconds),
        ("cleared", verdict.cleared_seconds),
    )
    shown = "  ".join(f"{what} {seconds:.1f} s" for what, seconds in times if seconds is not None)
    scope = describe(verdict.scope) if verdict.scope else "no incident"
    word = "pass" if verdict.passed else "FAIL"
    first = f"{word}  {verdict.scenario:<26} {verdict.pages} pages  {scope:<24} {shown}  {verdict.reason}"
    return [first, *(_durability(verdict.durability) if verdict.durability else [])]


def _durability(found: Durability) -> list[str]:
    whole = "not whole" if found.whole_after_seconds is None else f"{found.whole_after_seconds:.1f} s"
    gap = max(found.longest_gap_seconds.items(), key=lambda entry: entry[1], default=("–", 0.0))
    writes = (
        f"{found.writes_acknowledged} acknowledged, {found.writes_indeterminate} indeterminate, "
        f"{found.writes_refused} refused"
    )
    rows = (
        ("power-offs", f"{found.power_offs}"),
        ("writes", writes),
        ("keys read back", f"{found.keys_read_back}, {len(found.keys_not_read_back)} could not be"),
        ("lost", f"{len(found.lost)}"),
        ("never written", f"{len(found.never_written)}"),
        ("not linearizable", f"{len(found.unlinearizable)}"),
        ("replicas differ", f"{len(found.replicas_differ)}"),
        ("scrub", found.scrub),
        ("longest gap", f"{gap[1]:.1f} s without a write (partition {gap[0]})"),
        ("whole again", f"{whole} after the last power-off"),
    )
    return [f"      {what:<18} {value}" for what, value in rows]


def table(rows: Sequence[Row]) -> list[str]:
    """A series of drills, a line each, and the count."""
    cells = [
        ("", "scenario", "pages", "detected", "paged", "cleared", "took", "verdict"),
        *(_cells(row) for row in rows),
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]) - 1)]
    drawn = [
        "  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[-1]]).rstrip() for line in cells
    ]
    verdicts = [row.verdict for row in rows]
    passed = sum(1 for verdict in verdicts if verdict is not None and verdict.passed)
    skipped = verdicts.count(None)
    minutes, seconds = divmod(round(sum(row.took for row in rows)), 60)
    counted = f"{passed} passed, {len(rows) - passed - skipped} failed, {skipped} skipped"
    return [*drawn, f"{counted}, in {minutes} min {seconds:02} s, waiting for calm included"]


def _cells(row: Row) -> tuple[str, ...]:
    if row.verdict is None:
        return ("skip", row.scenario, "", "", "", "", "", row.reason)
    verdict = row.verdict
    times = (verdict.detected_seconds, verdict.paged_seconds, verdict.cleared_seconds, row.took)
    word = "pass" if verdict.passed else "FAIL"
    return (word, row.scenario, str(verdict.pages), *("–" if t is None else f"{t:.1f} s" for t in times), row.reason)
