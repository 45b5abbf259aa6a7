"""What the embedded stack does for a mitigation, with its real DNS server."""

from types import SimpleNamespace
from typing import Any, cast

import dns.message
import pytest

from cluster.config import ClusterConfig
from cluster.dns_answers import answer, directory
from cluster.faults import Fault
from cluster.topology import build
from fivenines.fault_control import FaultControl
from fivenines.mitigation import MitigationRefused, Mitigations, Order

TOPOLOGY = build(ClusterConfig(), single=False)


class Faults:
    """Versions that are deployed."""

    def __init__(self) -> None:
        self.deployed = {"f1": "bad", "f2": "good", "f3": "bad"}

    def active(self) -> list[Any]:
        """Two of three are of the bad version."""
        fault = {
            name: Fault.model_validate({"kind": "version", "zone": "az1", "version": v})
            for name, v in self.deployed.items()
        }
        return [SimpleNamespace(id=name, fault=fault[name]) for name in self.deployed]

    async def remove(self, name: str) -> None:
        """Takes one off."""
        del self.deployed[name]


def order(verb: str, key: str = "k", **scope: str) -> Order:
    """An order as the judgement sends it, with more than is needed."""
    return Order.model_validate({"verb": verb, "key": key, "scope": scope, "incident": {"id": "i-1"}, "hook": "h"})


def mitigations(faults: Faults, told: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> Mitigations:
    """With a DNS that only listens."""
    made = Mitigations(TOPOLOGY, cast("FaultControl", faults), {})

    async def withdraw(routers: frozenset[str]) -> None:
        told.append(sorted(routers))

    monkeypatch.setattr(made, "_withdraw", withdraw)
    return made


async def test_a_zone_is_out_until_it_is_taken_back_and_two_actions_do_not_undo_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The DNS is always told the whole set, so that a repetition changes nothing."""
    told: list[list[str]] = []
    acts = mitigations(Faults(), told, monkeypatch)
    for verb, key, scope in (
        ("do", "a", {"zone": "az1"}),
        ("do", "a", {"zone": "az1"}),
        ("do", "b", {"router": "az1-router-2"}),
        ("undo", "a", {"zone": "az1"}),
        ("undo", "b", {"router": "az1-router-2"}),
    ):
        assert await acts.carry_out(order(verb, key, **scope))
    az1 = ["az1-router-1", "az1-router-2"]
    assert told == [az1, az1, az1, ["az1-router-2"], []]


async def test_a_version_is_rolled_back_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that version."""
    faults = Faults()
    assert await mitigations(faults, [], monkeypatch).carry_out(order("do", version="bad"))
    assert faults.deployed == {"f2": "good"}


async def test_what_cannot_be_done_here_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint has no remedy in the bundled store."""
    with pytest.raises(MitigationRefused, match="nothing can be done here"):
        await mitigations(Faults(), [], monkeypatch).carry_out(order("do", endpoint="fips"))


def test_a_withdrawn_router_is_in_no_answer_and_an_answer_is_never_empty() -> None:
    """Clients are told of the others; when all are withdrawn, of all."""
    names = directory(TOPOLOGY, "fivenines.test")
    query = dns.message.make_query(TOPOLOGY.endpoint_hosts["standard"], "A")

    def shown(withdrawn: set[str]) -> set[str]:
        return {record.address for rrset in answer(query, names, {}, 0, withdrawn).answer for record in rrset}

    everyone = {router.https.host for router in TOPOLOGY.routers}
    az1 = {router.https.host for router in TOPOLOGY.routers if router.zone == "az1"}
    assert shown({router.name for router in TOPOLOGY.routers if router.zone == "az1"}) == everyone - az1
    assert shown({router.name for router in TOPOLOGY.routers}) == everyone
