"""The canaries' word joined with the servers'."""

import pytest

from cfa.incident import Servers
from cfa.quadrant import ServersView, side_of
from collector.observation import OperationClass, Outcome, Vantage
from collector.series import FeedEntry, Reading, Series, TargetState

T = 1_764_000_000.0


def scrape(at: float, router: str, *, up: bool = True, bad: int = 0, good: int = 100) -> FeedEntry:
    """One scrape of a router."""
    zone = router[:3]
    series = Series(
        vantage=Vantage.SERVER,
        host=router,
        zone=zone,
        operation=OperationClass.WRITE,
        table="canary",
        endpoint="standard",
        router=router,
        router_zone=zone,
    )
    counts = {o: n for o, n in ((Outcome.SUCCESS, good), (Outcome.SERVER_FAULT, bad)) if n}
    return FeedEntry(
        cursor=1,
        received_at=T + at,
        host="collector",
        zone=zone,
        vantage=Vantage.SERVER,
        readings=(Reading(series=series, at=int(T + at), counts=counts),) if up else (),
        targets=(TargetState(target=router, zone=zone, role="router", up=up, at=T + at),),
    )


def view(*entries: FeedEntry) -> ServersView:
    """All that was scraped."""
    servers = ServersView()
    for entry in entries:
        servers.take(entry)
    return servers


@pytest.mark.parametrize(
    ("entries", "scope", "verdict"),
    [
        ([scrape(-1, "az1-router-1")], {"zone": "az1"}, "unknown"),
        ([scrape(1, "az1-router-1")], {"zone": "az1"}, "unknown"),
        ([scrape(3, "az1-router-1")], {"zone": "az1"}, "ok"),
        ([scrape(1, "az1-router-1", up=False)], {"zone": "az1"}, "silent"),
        ([scrape(1, "az1-router-1", bad=50)], {"zone": "az1"}, "bad"),
        ([scrape(3, "az1-router-1"), scrape(3, "az2-router-1", up=False)], {"router": "az1-router-1"}, "ok"),
        ([scrape(3, "az1-router-1", bad=50)], {"endpoint": "fips"}, "ok"),
        ([scrape(3, "az1-router-1", bad=50)], {"endpoint": "standard"}, "bad"),
        ([scrape(3, "az1-router-1", bad=2)], {"region": "local"}, "ok"),
        ([scrape(3, "az1-router-1", bad=50)], {"table": "orders"}, "ok"),
    ],
)
def test_verdict(entries: list[FeedEntry], scope: dict[str, str], verdict: str) -> None:
    """Only what servers said after the failure counts, and only servers within the scope."""
    assert view(*entries).about(scope, T, 40).verdict == verdict


def test_counts_prove_a_server_up() -> None:
    """A server that brings counts is up, though its state was not told again; one that was told down since is not."""
    known = view(scrape(-20, "az1-router-1"))
    later = scrape(5, "az1-router-1")
    known.take(FeedEntry(**{f: getattr(later, f) for f in later.__slots__ if f != "targets"}))
    assert known.about({"zone": "az1"}, T, 40).verdict == "ok"
    known.take(scrape(6, "az1-router-1", up=False))
    assert known.about({"zone": "az1"}, T, 40).verdict == "silent"


@pytest.mark.parametrize(
    ("verdict", "phases", "side"),
    [
        ("ok", {"http": 9}, "client"),
        ("bad", {"http": 9}, "both"),
        ("silent", {"tcp": 9}, "both"),
        ("unknown", {"dns": 9}, "client"),
        ("unknown", {"tls": 9, "http": 0}, "client"),
        ("unknown", {"http": 9}, "both"),
        ("unknown", {}, "both"),
    ],
)
def test_side(verdict: str, phases: dict[str | None, int], side: str) -> None:
    """Servers that are well leave it to the client's side; without their word the failed phase tells."""
    assert side_of(Servers(verdict=verdict), phases) == side  # type: ignore[arg-type]
