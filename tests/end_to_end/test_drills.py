"""Game days on the running stack: hard faults page with the right scope, what heals itself wakes nobody."""

import itertools
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

pytestmark = pytest.mark.end_to_end

POWER_OFF = """
name: zone-power-off
faults: [{at: 1s, for: 12s, kind: power_off, zone: az1}]
expect:
  incident: {scope: {zone: az1}, operations: [read, write], side: both, severity: page, within: 10s}
  pages_at_most: 1
  clears_within: 60s
"""
DNS = """
name: endpoint-dns-empty
faults: [{at: 1s, for: 8s, kind: dns, endpoint: standard, answer: empty}]
expect:
  incident: {scope: {endpoint: standard}, operations: [read, write], side: client-only, severity: page, within: 10s}
  pages_at_most: 1
"""
TLS = """
name: endpoint-tls-expired
faults: [{at: 1s, for: 8s, kind: tls, endpoint: fips, problem: expired}]
expect:
  incident: {scope: {endpoint: fips}, operations: [read, write], side: client-only, severity: page, within: 10s}
  pages_at_most: 1
"""
NOBODY = """
name: nobody-is-woken
about: A leader crashes, a partition is hot, and a canary host is sick, one soon after the other.
faults:
  - {at: 1s, for: 8s, kind: crash, node: az1-node-1}
  - {at: 5s, for: 8s, kind: load, table: orders, key: black-friday, rate: 250}
  - {at: 12s, for: 6s, kind: canary_sick, canary: az2-canary-1}
expect: {incident: none, pages_at_most: 0, recused: [az2-canary-1]}
"""


class Writer(threading.Thread):
    """Writes numbered items with SDK retries through two routers of living zones; remembers what was acknowledged, and when."""

    def __init__(self, stack: Any) -> None:
        super().__init__(daemon=True)
        urls = stack.endpoints()["endpoints"][0]["urls"]
        self.clients = [stack.client(url) for url in (urls[2], urls[4])]
        self.acknowledged: list[tuple[int, float]] = []
        self.stop = threading.Event()

    def run(self) -> None:
        """Write until told to stop."""
        number = 0
        while not self.stop.wait(0.02):
            number += 1
            try:
                self.clients[number % 2].put_item(TableName="orders", Item=item(number))
            except (BotoCoreError, ClientError):  # an unacknowledged write proves nothing either way
                continue
            self.acknowledged.append((number, time.time()))


def item(number: int) -> dict[str, Any]:
    """Item ``number``; many partition keys, so that every partition is written."""
    return {"pk": {"S": f"drill-{number % 97}"}, "sk": {"S": f"{number:06}"}, "v": {"N": str(number)}}


def test_a_zone_without_power_pages_once_and_loses_no_acknowledged_write(stack: Any) -> None:
    """One page for zone az1 within 10 s; writes return within 10 s; every acknowledged write is there afterwards."""
    writer = Writer(stack)
    writer.start()
    verdict = stack.drill("zone-power-off", POWER_OFF)
    writer.stop.set()
    writer.join()
    assert verdict["passed"], (verdict["reason"], verdict["progress"])
    times = [at for _, at in writer.acknowledged]
    longest_gap = max(after - before for before, after in itertools.pairwise(times))
    assert longest_gap <= 10.0
    reader = writer.clients[0]
    for number, _ in writer.acknowledged:
        key = {name: item(number)[name] for name in ("pk", "sk")}
        read = reader.get_item(TableName="orders", Key=key, ConsistentRead=True)
        assert read["Item"]["v"] == {"N": str(number)}
    assert len(times) > 100


@pytest.mark.parametrize(
    "text", [pytest.param(DNS, id="dns-empty"), pytest.param(TLS, id="tls-expired", marks=pytest.mark.proof)]
)
def test_an_endpoint_that_no_request_gets_through_is_named(stack: Any, text: str) -> None:
    """A client-only page that names the endpoint within 10 s, while the servers see nothing wrong."""
    verdict = stack.drill("endpoint", text)
    assert verdict["passed"], (verdict["reason"], verdict["progress"])


@pytest.mark.proof
def test_what_heals_itself_wakes_nobody(stack: Any) -> None:
    """A leader's crash, throttling of a hot partition and a sick canary host page nobody; the sick host is reported as sick."""
    verdict = stack.drill("nobody", NOBODY)
    assert verdict["passed"], (verdict["reason"], verdict["progress"])
