"""The plan of random power-offs, and how a scenario asks for one."""

import itertools

import pytest

from fivenines.drill_verdict import Seen, judge
from fivenines.drills import Scenario, ScenarioError, not_built, parse
from fivenines.durability import Durability
from fivenines.power_off import RandomPowerOffs, Storm, plan
from fivenines.scenario_files import named

ZONES = {zone: tuple(f"{zone}-node-{n}" for n in (1, 2, 3)) for zone in ("az1", "az2", "az3")}
TEXT = """
name: shaken
lasts: 1m
faults: [{kind: power_off, random: {of: [zone, node], for: 5s..25s, pause: 200ms..20s}}]
traffic: {keys: 50, rate: 30}
expect: {incident: any, durable: true, whole: true, whole_within: 90s}
"""


def plans(seed: int, lasts: float = 600.0) -> tuple[Storm, ...]:
    """The plan of a seed on three zones."""
    return plan(RandomPowerOffs(), ZONES, seed=seed, lasts=lasts)


def test_the_plan_is_a_function_of_the_seed() -> None:
    """The same seed makes the same plan, another seed another."""
    assert plans(7) == plans(7)
    assert plans(7) != plans(8)
    assert plans(7)[0].power_offs[0].fault.kind == "power_off"


@pytest.mark.parametrize("seed", range(20))
def test_never_more_than_one_zone_is_without_power(seed: int) -> None:
    """Each storm stays within one zone and names each node once; it all fits into the time; each length is within its span."""
    storms = plans(seed)
    assert sum(storm.pause + storm.lasts for storm in storms) <= 600.0
    for storm in storms:
        places = [each.place for each in storm.power_offs]
        assert len({place[:3] for place in places}) == 1
        assert len(set(places)) == len(places) <= 3
        assert {each.what for each in storm.power_offs} in ({"zone"}, {"node"})
        assert all(5.0 <= each.lasts <= 25.0 for each in storm.power_offs)
        assert 0.2 <= storm.pause <= 20.0
        # The storm never goes calm in between: nodes fall while the first one is down.
        assert all(each.after <= storm.power_offs[0].lasts for each in storm.power_offs)


def test_ten_minutes_have_zones_nodes_several_nodes_and_pauses_too_short_for_comfort() -> None:
    """Every plan of ten minutes tries hard: whole zones, single nodes, several at once, and zones soon after each other."""
    for seed in range(10):
        storms = plans(seed)
        kinds = {(storm.power_offs[0].what, len(storm.power_offs) > 1) for storm in storms}
        assert kinds == {("zone", False), ("node", False), ("node", True)}
        assert len(storms) >= 15
        places = [(storm.power_offs[0].place[:3], storm.pause) for storm in storms]
        assert any(a[0] != b[0] and b[1] < 2.0 for a, b in itertools.pairwise(places))


def test_the_shipped_scenario_says_all_of_this_as_data() -> None:
    """power-off-random lasts ten minutes, breaks zones and nodes, and promises durability and wholeness, not silence."""
    scenario = named("power-off-random")
    assert scenario.lasts == 600.0
    assert scenario.power_offs is not None
    assert scenario.power_offs.of == ("zone", "node")
    assert scenario.expect.durable
    assert scenario.expect.whole
    assert scenario.expect.incident == "any"
    assert not_built(scenario) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("5s..25s", "25s..5s", "shorter one first"),
        ("5s..25s", "soon", "write it like"),
        ("[zone, node]", "[router]", "faults.0.random.of.0"),
        ("lasts: 1m", "", "says how long it lasts"),
        ("traffic: {keys: 50, rate: 30}", "", "go together"),
        ("kind: power_off, random", "kind: drop, random", "at most one is random"),
        ("}}]", "}}, {kind: crash, zone: az1}]", "no other faults"),
    ],
)
def test_a_wrong_scenario_says_what_would_be_right(old: str, new: str, reason: str) -> None:
    """Errors name the file, the place and the remedy."""
    assert old in TEXT
    with pytest.raises(ScenarioError) as caught:
        parse(TEXT.replace(old, new), "mine.yaml")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("mine.yaml")


def found(**changes: object) -> Durability:
    """What a drill has found, all well but for ``changes``."""
    well: dict[str, object] = {
        "power_offs": 5,
        "operations": 900,
        "writes_acknowledged": 400,
        "writes_indeterminate": 9,
    }
    return Durability(**well | {"writes_refused": 0, "keys_read_back": 50} | changes)  # type: ignore[arg-type]


def paged() -> Seen:
    """A run in which somebody was paged."""
    incident = {"id": "i-1", "scope": {"zone": "az1"}, "operations": ["write"], "side": "both", "severity": "page"}
    times = {"opened_at": 102.0, "paged_at": 103.0, "closed_at": None, "state": "open", "summary": "az1 fails"}
    page = {"incident": "i-1", "event": "trigger", "created_at": 103.0, "destination": "log"}
    return Seen(in_force_at=100.0, ended_at=200.0, incidents=(incident | times,), pages=(page,))


def shaken() -> Scenario:
    """The scenario above."""
    return parse(TEXT, "mine.yaml")


def test_pages_are_told_and_not_judged_where_any_incident_is_expected() -> None:
    """A zone without power is an honest page: the verdict counts it and passes."""
    verdict = judge(shaken(), paged(), seed=7, durability=found())
    assert verdict.passed, verdict.reason
    assert verdict.pages == 1
    assert verdict.to_json()["durability"]["writes_acknowledged"] == 400


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"never_written": ["k showed x"]}, "1 value(s) read that nobody wrote: k showed x"),
        ({"unlinearizable": {"k": "no order"}}, "1 key(s) not linearizable: k"),
        ({"replicas_differ": ["k: …"]}, "differ between replicas"),
        ({"keys_not_read_back": ["k"]}, "could not be read back"),
        ({"groups_not_whole": {"t/0": "2 storage replicas of 3"}}, "1 group(s) not whole: t/0 (2 storage replicas of 3)"),
        ({"scrub": "2 rows differ"}, "scrub: 2 rows differ"),
        ({"power_offs": 0}, "no power-off fitted"),
        ({"writes_acknowledged": 0}, "nothing is proved"),
    ],
)  # fmt: skip
def test_each_way_of_losing_data_fails_the_drill_and_is_named(changes: dict[str, object], reason: str) -> None:
    """Whatever was promised and is not so is the verdict's reason."""
    verdict = judge(shaken(), paged(), seed=7, durability=found(**changes))
    assert not verdict.passed
    assert reason in verdict.reason
