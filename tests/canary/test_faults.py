"""The canary's faults speak the store's JSON, and concern only what they name."""

import pytest
from pydantic import ValidationError

from canary.faults import FREE, Component, Fault, Toll, is_sick, skew_seconds, toll
from cluster.faults import Fault as StoreFault

CANARY, ROUTER = Component("az1-canary-1", "az1", "canary"), Component("az2-router-1", "az2", "router")


@pytest.mark.parametrize(
    "json",
    [
        {"kind": "canary_sick", "canary": "az1-canary-1"},
        {"kind": "skew", "canary": "az1-canary-1", "seconds": 1200},
        {"kind": "partition", "from": "az1-canary-1", "to": {"zone": "az2", "role": "router"}},
        {"kind": "delay", "from": {"zone": "az1"}, "to": {"zone": "az2"}, "ms": 5, "one_way": True},
        {"kind": "drop", "from": "a", "to": "b", "probability": 0.5},
    ],
)
def test_what_the_store_calls_a_fault_is_one_here(json: dict[str, object]) -> None:
    """The full dump of the store's model, nulls included, is understood and means the same."""
    dumped = StoreFault.model_validate(json).model_dump(mode="json", by_alias=True)
    ours = Fault.model_validate(dumped).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert StoreFault.model_validate(ours) == StoreFault.model_validate(json)


@pytest.mark.parametrize(
    "json",
    [
        {"kind": "power_off", "zone": "az1"},
        {"kind": "canary_sick"},
        {"kind": "skew", "canary": "c"},
        {"kind": "delay", "from": "a", "to": "b"},
        {"kind": "partition", "from": "a"},
        {"kind": "canary_sick", "canary": "c", "ms": 3},
        {"kind": "skew", "zone": "az1", "seconds": 3},
    ],
)
def test_what_does_not_fit_is_refused(json: dict[str, object]) -> None:
    """Other kinds, missing and spare fields."""
    with pytest.raises(ValidationError):
        Fault.model_validate(json)


def network(kind: str, one_way: bool = False, **more: float) -> Fault:
    return Fault.model_validate(
        {"kind": kind, "from": {"zone": "az1"}, "to": {"zone": "az2"}, "one_way": one_way} | more
    )


def test_tolls_add_up_and_have_a_direction() -> None:
    """Delays add; a one-way fault spares the other direction; a drop asks its draw."""
    faults = [network("delay", ms=10), network("delay", ms=5, one_way=True)]
    assert toll(faults, CANARY, ROUTER, float) == Toll(0.015, lost=False)
    assert toll(faults, ROUTER, CANARY, float) == Toll(0.010, lost=False)
    assert toll([network("partition")], ROUTER, CANARY, float).lost
    drop = [network("drop", probability=0.5)]
    assert toll(drop, CANARY, ROUTER, lambda: 0.49).lost
    assert toll(drop, CANARY, ROUTER, lambda: 0.51) == FREE
    assert toll([network("partition")], CANARY, Component("az3-router-1", "az3", "router"), float) == FREE


def test_host_faults_name_one_host() -> None:
    """Sickness and skew concern the host that they name."""
    faults = [Fault(kind="canary_sick", canary="a"), Fault(kind="skew", canary="a", seconds=3.0)]
    assert (is_sick(faults, "a"), is_sick(faults, "b")) == (True, False)
    assert (skew_seconds(faults, "a"), skew_seconds(faults, "b")) == (3.0, 0.0)
