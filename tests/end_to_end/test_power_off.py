"""The power goes at random on the running stack, and nothing that was acknowledged is lost."""

from typing import Any

import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.proof]

SHAKEN = """
name: shaken
about: A shorter and faster power-off-random.
lasts: 45s
faults: [{kind: power_off, random: {of: [zone, node], for: 3s..8s, pause: 200ms..6s}}]
traffic: {table: canary, keys: 120, rate: 40}
expect: {incident: any, durable: true, whole: true, whole_within: 2m}
"""


def test_random_power_offs_lose_no_acknowledged_write(stack: Any) -> None:
    """Whatever zone or nodes fall, too soon or not: what was acknowledged is there, reads have an order, groups are whole."""
    verdict = stack.drill("shaken", SHAKEN)
    assert verdict["passed"], (verdict["reason"], verdict["progress"])
    found = verdict["durability"]
    assert found["power_offs"] >= 3
    assert found["writes_acknowledged"] > 300
    assert found["keys_read_back"] == 120
    assert (found["lost"], found["never_written"], found["unlinearizable"]) == ([], [], {})
    # 120 keys leave one of the nine partitions without any in 1 of 150,000 runs (60 keys: in 1 of 130).
    assert len(found["longest_gap_seconds"]) == 9
