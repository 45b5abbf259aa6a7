"""Synthetic feed entries of the embedded region."""

from collector.observation import Connection, Observation, OperationClass, Outcome, Phase, Vantage
from collector.series import FeedEntry, Health, Reading, Series

START = 1_795_000_000
HOSTS = tuple(f"az{zone}-canary-{host}" for zone in (1, 2, 3) for host in (1, 2))
ENDPOINTS = ("standard", "fips", "dualstack", "account")
OPERATIONS = (OperationClass.WRITE, OperationClass.STRONG_READ, OperationClass.EVENTUAL_READ)
PROBES_PER_HOST = 12


def calm_minute() -> list[FeedEntry]:
    """A minute in which nothing fails."""
    return [_entry(second, host, dark=False) for second in range(60) for host in HOSTS]


def dark_minute() -> list[FeedEntry]:
    """A minute in which the routers of az1 refuse every connection from the tenth second on."""
    return [_entry(second, host, dark=second >= 10) for second in range(60) for host in HOSTS]


def _entry(second: int, host: str, *, dark: bool) -> FeedEntry:
    index = HOSTS.index(host)
    readings = tuple(_reading(second, host, second * PROBES_PER_HOST + n, dark=dark) for n in range(PROBES_PER_HOST))
    at = START + second + index * 0.15
    health = (Health(host=host, zone=host[:3], at=at, recused=False),)
    return FeedEntry(
        cursor=second * len(HOSTS) + index + 1,
        received_at=at,
        host=host,
        zone=host[:3],
        vantage=Vantage.CANARY,
        readings=readings,
        health=health,
    )


def _reading(second: int, host: str, number: int, *, dark: bool) -> Reading:
    zone = f"az{number % 3 + 1}"
    endpoint, operation = ENDPOINTS[number % 4], OPERATIONS[number // 4 % 3]
    connection = Connection.FRESH if number // 12 % 2 else Connection.POOLED
    router, partition = f"{zone}-router-{number // 3 % 2 + 1}", str(number % 9)
    fails = dark and zone == "az1"
    series = Series(
        vantage=Vantage.CANARY, host=host, zone=host[:3], operation=operation, table="canary", endpoint=endpoint, connection=connection,
        partition=partition, router=router, router_zone=zone, node=None if fails else "az2-node-1", node_zone=None if fails else "az2",
    )  # fmt: skip
    if not fails:
        return Reading(series=series, at=START + second, counts={Outcome.SUCCESS: 1}, latency=(0, 0, 0, 1) + (0,) * 9)
    failure = Observation(
        at=START + second, endpoint=endpoint, connection=connection, operation=operation, table="canary", outcome=Outcome.UNREACHABLE,
        reason="connect_refused", partition=partition, phase=Phase.TCP, router=router, router_zone=zone,
    )  # fmt: skip
    return Reading(series=series, at=START + second, counts={Outcome.UNREACHABLE: 1}, failures=(failure,))
