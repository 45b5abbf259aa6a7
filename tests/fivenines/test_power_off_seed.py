"""A drill's seed decides what its faults with a probability do: two runs draw the same sequence."""

import pytest

from canary.faults import Component
from canary.faults import Fault as CanaryFault
from canary.network import Network
from cluster.fault_injection import FaultSet
from cluster.faults import Fault
from fivenines.drill_run import seeded
from fivenines.drills import parse

DROP = {"kind": "drop", "from": "az1-router-1", "to": "az2-node-1", "probability": 0.5}


def fates(faults: FaultSet, sender: str = "az1-router-1", receiver: str = "az2-node-1") -> list[bool]:
    """Which of fifty messages are lost."""
    return [faults.fate(sender, receiver).lost for _ in range(50)]


def installed(**more: object) -> FaultSet:
    """A set with one drop."""
    faults = FaultSet({})
    faults.add("f1", Fault.model_validate(DROP | more))
    return faults


def test_the_same_seed_draws_the_same_sequence_and_another_seed_another() -> None:
    """Two processes, or two runs, with the same seed lose the same messages of a path."""
    assert fates(installed(seed=7)) == fates(installed(seed=7))
    assert fates(installed(seed=7)) != fates(installed(seed=8))
    assert 10 < sum(fates(installed(seed=0))) < 40


def test_other_paths_change_nothing() -> None:
    """What is drawn on one path does not depend on the traffic of another."""
    alone, busy = installed(seed=7), installed(seed=7)
    expected = fates(alone)
    fates(busy, "az2-node-1", "az1-router-1")
    assert fates(busy) == expected
    assert fates(alone, "az2-node-1", "az1-router-1") != expected


def test_a_fault_that_is_put_in_force_again_starts_again() -> None:
    """The second drill on the same stack draws what the first one drew."""
    faults = installed(seed=7)
    first = fates(faults)
    faults.remove("f1")
    faults.add("f2", Fault.model_validate(DROP | {"seed": 7}))
    assert fates(faults) == first


def test_errors_draw_from_the_seed_as_well() -> None:
    """An `error` with a probability strikes the same requests of a router."""

    def struck() -> list[int | None]:
        faults = FaultSet({})
        fault = {"kind": "error", "router": "az1-router-1", "probability": 0.5, "seed": 3}
        faults.add("f1", Fault.model_validate(fault))
        return [faults.error_for("az1-router-1", "standard", "read", "orders") for _ in range(50)]

    assert struck() == struck()
    assert {None, 500} == set(struck())


def test_a_canarys_drop_has_its_seed_too() -> None:
    """The canary's end of the path draws its own sequence from the same seed."""

    class Paths:
        """One router behind every address."""

        def component_at(self, _address: str) -> Component:
            """The router."""
            return Component("az1-router-1", "az1", "router")

    def lost(seed: int) -> list[bool]:
        fault = CanaryFault.model_validate(
            {"kind": "drop", "from": "az1-canary-1", "to": "az1-router-1", "probability": 0.5, "seed": seed}
        )
        network = Network(Component("az1-canary-1", "az1", "canary"), {"f": fault}, Paths())  # type: ignore[arg-type]
        return [network._toll("x", outbound=True).lost for _ in range(50)]

    assert lost(7) == lost(7)
    assert lost(7) != lost(8)


@pytest.mark.parametrize(("given", "used"), [("", 11), (", seed: 3", 3)])
def test_a_drill_gives_its_seed_to_faults_that_have_none(given: str, used: int) -> None:
    """Faults that are a matter of chance draw from `--seed`, unless the file says otherwise; others have no seed."""
    text = f"name: x\nfaults:\n  - {{kind: drop, from: a-router-1, to: b-node-1, probability: 0.1{given}}}\n  - {{kind: crash, zone: az1}}\n"
    chance, certain = seeded(parse(text, "x.yaml"), 11).faults
    assert chance.fault.seed == used
    assert certain.fault.seed is None
