"""What an audit of the ledger found wrong, and what it looked at (pure)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """``kind`` is a short word, ``place`` the file and row, ``detail`` what is wrong with it."""

    kind: str
    place: str
    detail: str


@dataclass(slots=True)
class Audit:
    """All findings of one audit, and how much was looked at: an audit of nothing proves nothing."""

    findings: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)

    def find(self, kind: str, place: str, detail: str) -> None:
        """One more finding."""
        self.findings.append(Finding(kind, place, detail))

    def take(self, others: Iterable["Audit"]) -> None:
        """Add up audits of several ledgers."""
        for other in others:
            self.findings += other.findings
            self.checked += other.checked


def holes(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ranges that are missing between 1 and the highest of ``numbers``."""
    found: list[tuple[int, int]] = []
    expected = 1
    for number in sorted(set(numbers)):
        if number > expected:
            found.append((expected, number - 1))
        expected = number + 1
    return found


def holes_of_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same for ranges (first, last), which may overlap."""
    found: list[tuple[int, int]] = []
    expected = 1
    for first, last in sorted(ranges):
        if first > expected:
            found.append((expected, first - 1))
        expected = max(expected, last + 1)
    return found
