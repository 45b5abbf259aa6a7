"""Verdicts for people, and which drills `fivenines drill run all` runs for how long."""

import pytest

from fivenines.commands.drill import _chosen, _some_of
from fivenines.drill_report import Row, lines, table
from fivenines.drill_verdict import could_not_run, judge
from fivenines.drills import ScenarioError
from fivenines.durability import Durability, LostWrite
from fivenines.scenario_files import named, names
from tests.fivenines.test_power_off_plan import found, paged, shaken


def test_a_power_off_drill_tells_what_it_has_counted() -> None:
    """The lines have every figure of the verdict, losses in the first one."""
    lost = LostWrite(key="k", value="b", acknowledged_at=3.0, read="a", read_at=9.0)
    told = found(lost=[lost], longest_gap_seconds={"0": 4.5, "1": 2.0}, whole_after_seconds=12.5)
    assert isinstance(told, Durability)
    text = "\n".join(lines(judge(shaken(), paged(), seed=7, durability=told)))
    assert text.startswith("FAIL  shaken")
    assert "1 acknowledged write(s) lost: k = b, read a" in text
    assert "400 acknowledged, 9 indeterminate, 0 refused" in text
    assert "4.5 s without a write (partition 0)" in text
    assert "12.5 s after the last power-off" in text


def test_a_series_ends_with_a_table() -> None:
    """One line a drill with its verdict and times, skipped ones with the reason, and the count."""
    well = judge(shaken(), paged(), seed=7, durability=found())
    rows = [
        Row("shaken", well, well.reason, 61.0),
        Row("calm", could_not_run(named("calm"), 7, "the stack is not calm: open: az1 fails"), "the stack is not calm", 90.0),
        Row("later", None, "version is not built yet", 0.0),
    ]  # fmt: skip
    drawn = table(rows)
    assert len(drawn) == 5
    assert drawn[1].split()[:3] == ["pass", "shaken", "1"]
    assert drawn[1].endswith("as expected")
    assert "61.0 s" in drawn[1]
    assert drawn[2].startswith("FAIL  calm")
    assert drawn[3].startswith("skip  later")
    assert drawn[4] == "1 passed, 1 failed, 1 skipped, in 2 min 31 s, waiting for calm included"


def test_of_all_drills_only_those_with_a_length_are_shortened() -> None:
    """`run all --lasts 1m` shortens calm and power-off-random; what ends by itself stays as it is."""
    chosen = {scenario.name: scenario.lasts for scenario in _chosen("all", None, "1m")}
    assert set(chosen) == set(names())
    assert (chosen["calm"], chosen["power-off-random"], chosen["leader-crash"]) == (60.0, 60.0, None)
    assert _chosen("leader-crash", None, "1m")[0].lasts == 60.0
    assert _chosen("power-off-random", None, None)[0].lasts == 600.0


def test_only_and_skip_choose_among_all() -> None:
    """What is not there to be chosen, and a choice of nothing, are refused by name."""
    every = _chosen("all", None, None)
    assert [s.name for s in _some_of(every, ["calm", "leader-crash"], ["calm"])] == ["leader-crash"]
    for only, skip, words in ((["clam"], [], "there is no clam"), (["calm"], ["calm"], "nothing to run")):
        with pytest.raises(ScenarioError, match=words):
            _some_of(every, only, skip)
