"""Who carries out a fault."""

import pytest

from cluster.faults import Fault, FaultKind
from cluster.topology import build
from fivenines.config import Config
from fivenines.fault_routing import FaultRefused, Plan, plan

CONFIG = Config()
TOPOLOGY = build(CONFIG.cluster, single=False)
ZONES = ("zone-az1", "zone-az2", "zone-az3")
CANARIES = ("canary-az1", "canary-az2", "canary-az3")


def planned(**fault: object) -> Plan:
    """The plan for a fault."""
    return plan(Fault.model_validate(fault), CONFIG, TOPOLOGY)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "power_off", "zone": "az1"}, Plan(kill=("zone-az1", "canary-az1"))),
        ({"kind": "crash", "zone": "az2"}, Plan(kill=("zone-az2",))),
        ({"kind": "pause", "zone": "az2"}, Plan(freeze=("zone-az2",))),
        ({"kind": "restart", "zone": "az3"}, Plan(restart=("zone-az3",))),
        ({"kind": "crash", "node": "az2-node-3"}, Plan(tell=("zone-az2",))),
        ({"kind": "slow_disk", "zone": "az1", "factor": 20}, Plan(tell=("zone-az1",))),
        ({"kind": "archive_stall", "zone": "az2"}, Plan(tell=("zone-az2",))),
        ({"kind": "archive_stall", "node": "az3-node-1"}, Plan(tell=("zone-az3",))),
        ({"kind": "error", "router": "az3-router-2", "status": 500}, Plan(tell=("zone-az3",))),
        ({"kind": "error", "endpoint": "fips", "status": 503}, Plan(tell=ZONES)),
        (
            {"kind": "partition", "from": {"zone": "az1", "role": "router"}, "to": "az2-node-1"},
            Plan(tell=ZONES + CANARIES),
        ),
        ({"kind": "dns", "endpoint": "any", "answer": "servfail"}, Plan(tell=("dns",))),
        ({"kind": "tls", "endpoint": "fips", "problem": "expired"}, Plan(tell=ZONES)),
        ({"kind": "load", "table": "orders", "key": "a", "rate": 10}, Plan(tell=("traffic",))),
        ({"kind": "canary_sick", "canary": "az2-canary-1"}, Plan(tell=("canary-az2",))),
        ({"kind": "skew", "canary": "az1-canary-2", "seconds": 1200}, Plan(tell=("canary-az1",))),
        ({"kind": "collector_down"}, Plan(kill=("collector",))),
        ({"kind": "crash", "router": "az3-router-1"}, Plan(tell=("zone-az3",))),
        ({"kind": "version", "router": "az3-router-1", "version": "2"}, Plan(tell=("zone-az3",))),
        ({"kind": "replica_down", "node": "az2-node-1", "table": "canary", "partition": "4"}, Plan(tell=("zone-az2",))),
    ],
)
def test_each_fault_goes_to_those_who_can_carry_it_out(fault: dict[str, object], expected: Plan) -> None:
    """A zone's power is the supervisor's to cut, a certificate the routers', a name the DNS server's."""
    assert planned(**fault) == expected


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "power_off", "zone": "az9"}, "there is no zone 'az9'; there is: az1, az2, az3"),
        ({"kind": "crash", "node": "az1-node-7"}, "there is no node"),
        ({"kind": "delay", "from": "az1-router-1", "to": "mars", "ms": 5}, "there is no component 'mars'"),
        ({"kind": "dns", "endpoint": "ftp", "answer": "empty"}, "there is no endpoint 'ftp'"),
    ],
)
def test_a_fault_without_a_place_or_a_part_is_refused_in_words(fault: dict[str, object], reason: str) -> None:
    """What cannot be put in force says why."""
    with pytest.raises(FaultRefused, match=reason):
        planned(**fault)


def test_every_kind_of_fault_is_planned_or_says_that_it_is_not_built() -> None:
    """No kind falls through."""
    examples: dict[str, dict[str, object]] = {
        "delay": {"ms": 1}, "drop": {"probability": 0.1}, "slow_disk": {"factor": 2}, "skew": {"seconds": 1}, "dns": {"answer": "empty"},
        "tls": {"problem": "expired"}, "load": {"table": "t", "key": "k", "rate": 1}, "version": {"version": "2"},
        "replica_down": {"table": "t", "partition": "0"},
    }  # fmt: skip
    places: dict[str, dict[str, object]] = {
        "zone": {"zone": "az1"}, "node": {"node": "az1-node-1"}, "endpoint": {"endpoint": "any"}, "router": {"router": "az1-router-1"},
        "canary": {"canary": "az1-canary-1"}, "from": {"from": "az1-router-1", "to": "az2-node-1"},
    }  # fmt: skip
    from cluster.faults import NOT_BUILT_YET, places_of

    for kind in FaultKind:
        for place in places_of(kind) or ("",):
            fault = {"kind": kind, **examples.get(kind, {}), **places.get(place, {})}
            if kind in NOT_BUILT_YET:
                with pytest.raises(FaultRefused):
                    planned(**fault)
            else:
                assert planned(**fault) != Plan()
