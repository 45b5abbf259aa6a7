"""Which files answer a question: the newest version of each interval, or what was known then, and nothing twice (pure)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from collector.history.layout import DAY_SECONDS, day_of, hour_of
from collector.history.manifest import Manifest, SealedVersion
from collector.interval import INTERVAL_SECONDS

Wanted = dict[int, int]
"""Start of an interval → the version of it that is wanted."""


@dataclass(frozen=True, slots=True)
class Reading:
    """``manifest``'s files hold these versions of these intervals; ``whole``: they hold nothing else."""

    manifest: Manifest
    wanted: Wanted
    whole: bool


@dataclass(slots=True)
class Known:
    """All manifests of a history, by ledger; what retention removed is left out."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    """By path."""
    _versions: dict[str, dict[int, dict[int, dict[int, Manifest]]]] = field(default_factory=dict)
    """Ledger → day → start → version → the hour's manifest."""
    _newest: dict[tuple[str, int], Wanted] = field(default_factory=dict)
    _days: dict[tuple[str, int], list[tuple[Manifest, Wanted]]] = field(default_factory=dict)
    """Ledger and day → the day's roll-ups and what they hold, oldest first."""

    def add(self, path: str, manifest: Manifest) -> None:
        """Take in one more."""
        self.manifests[path] = manifest
        if manifest.seconds == DAY_SECONDS:
            days = self._days.setdefault((manifest.ledger, manifest.start), [])
            days.append((manifest, {one.start: one.version for one in manifest.versions}))
            days.sort(key=lambda one: one[0].number)
            return
        day = day_of(manifest.start)
        by_start = self._versions.setdefault(manifest.ledger, {}).setdefault(day, {})
        newest = self._newest.setdefault((manifest.ledger, day), {})
        for one in manifest.versions:
            by_start.setdefault(one.start, {})[one.version] = manifest
            newest[one.start] = max(newest.get(one.start, 0), one.version)

    def ledgers(self) -> list[str]:
        """Whose files there are."""
        return sorted(self._versions)

    def newest(self, ledger: str, start: int, asked: int | None = None) -> int:
        """The version of an interval that holds, at most ``asked``; 0: none."""
        versions = self._versions.get(ledger, {}).get(day_of(start), {}).get(start, {})
        return max((one for one in versions if asked is None or one <= asked), default=0)

    def starts(self, ledger: str, first: int, end: float) -> list[int]:
        """The intervals of ``[first, end)`` that are known."""
        days = self._versions.get(ledger, {})
        return sorted(s for day in days if first - DAY_SECONDS < day < end for s in days[day] if first <= s < end)

    @property
    def end(self) -> int:
        """Where the newest hour of all ends; 0: there is none."""
        return max((m.start + m.seconds for m in self.manifests.values()), default=0)

    def hours(self, ledger: str, wanted: Wanted) -> list[Reading]:
        """The hours' files that hold ``wanted``."""
        found: dict[int, Reading] = {}
        by_day = self._versions.get(ledger, {})
        for start, version in wanted.items():
            manifest = by_day.get(day_of(start), {}).get(start, {}).get(version)
            if manifest is not None:
                found.setdefault(manifest.serial, Reading(manifest, {}, whole=False)).wanted[start] = version
        return [Reading(one.manifest, one.wanted, _is_whole(one)) for one in found.values()]

    def rollups(self, ledger: str, first: int, end: float, asked: int | None, leave: frozenset[int]) -> list[Reading]:
        """The roll-ups that answer for ``[first, end)``, those of whole days where they hold what is wanted; not for ``leave``."""
        found: list[Reading] = []
        for day in sorted(self._versions.get(ledger, {})):
            if not first - DAY_SECONDS < day < end:
                continue
            wanted = self._wanted(ledger, day, asked)
            if first <= day and day + DAY_SECONDS <= end and leave.isdisjoint(wanted):
                cut = wanted
            else:
                cut = {s: v for s, v in wanted.items() if first <= s < end and s not in leave}
            fitting = next((m for m, held in reversed(self._days.get((ledger, day), ())) if held == wanted), None)
            if fitting is None:
                found += self.hours(ledger, cut)
            elif cut:
                found.append(Reading(fitting, cut, whole=len(cut) == len(wanted)))
        return found

    def _wanted(self, ledger: str, day: int, asked: int | None) -> Wanted:
        if asked is None:
            return self._newest[ledger, day]
        starts = self._versions[ledger][day]
        return {start: version for start in starts if (version := self.newest(ledger, start, asked))}

    def day_is_due(self, ledger: str, day: int) -> bool:
        """Whether a day is complete, and no roll-up holds its newest versions."""
        newest = self._newest.get((ledger, day), {})
        complete = len(newest) == DAY_SECONDS // INTERVAL_SECONDS
        return complete and all(held != newest for _, held in self._days.get((ledger, day), ()))

    def newest_of_day(self, ledger: str, day: int) -> list[SealedVersion]:
        """What holds of a day, for its roll-up's manifest."""
        found = []
        for start, version in sorted(self._newest.get((ledger, day), {}).items()):
            held = self._versions[ledger][day][start][version].versions
            found.append(next(one for one in held if (one.start, one.version) == (start, version)))
        return found

    def next_number(self, ledger: str, start: int, seconds: int) -> int:
        """The number of the next file of a span."""
        return 1 + max((m.number for m in self.of_span(ledger, start, seconds)), default=0)

    def of_span(self, ledger: str, start: int, seconds: int) -> list[Manifest]:
        """All manifests of an hour or a day, oldest first."""
        if seconds == DAY_SECONDS:
            return [manifest for manifest, _ in self._days.get((ledger, start), ())]
        by_start = self._versions.get(ledger, {}).get(day_of(start), {})
        found = {m.serial: m for s, held in by_start.items() if hour_of(s) == start for m in held.values()}
        return [found[serial] for serial in sorted(found)]

    def days(self, ledger: str) -> Iterable[int]:
        """The days that there is something of."""
        return sorted(self._versions.get(ledger, {}))


def _is_whole(one: Reading) -> bool:
    return {s.start: s.version for s in one.manifest.versions} == one.wanted and len(one.manifest.versions) == len(
        one.wanted
    )
