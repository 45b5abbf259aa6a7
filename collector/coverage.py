"""Scrapes that brought nothing, counted until they are in the ledger (pure)."""

from collector.config import ScrapeTarget
from collector.interval import interval_of
from collector.observation import Connection, OperationClass
from collector.series import Unobserved


class Gaps:
    """Counts by target, interval and reason. What was told is forgotten only when it was kept: nothing vanishes in between."""

    def __init__(self) -> None:
        self._missed: dict[tuple[str, str, int, str], int] = {}

    def missed(self, target: ScrapeTarget, why: str, at: float) -> None:
        """One intended scrape that says nothing about the server."""
        key = (target.zone, target.name, interval_of(at), f"scrape_{why}")
        self._missed[key] = self._missed.get(key, 0) + 1

    def told(self) -> list[tuple[str, tuple[Unobserved, ...]]]:
        """What waits to be kept, by zone."""
        by_zone: dict[str, list[Unobserved]] = {}
        for (zone, name, start, why), count in self._missed.items():
            by_zone.setdefault(zone, []).append(
                Unobserved(
                    endpoint=name,
                    connection=Connection.POOLED,
                    operation=OperationClass.CHECK,
                    at=start,
                    count=count,
                    reason=why,
                )
            )
        return [(zone, tuple(few)) for zone, few in by_zone.items()]

    def kept(self, zone: str, unobserved: tuple[Unobserved, ...]) -> None:
        """These are durable; what was missed meanwhile still waits."""
        for one in unobserved:
            key = (zone, one.endpoint, one.at, one.reason)
            self._missed[key] -= one.count
            if not self._missed[key]:
                del self._missed[key]
