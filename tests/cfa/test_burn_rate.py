"""The multi-window burn-rate rules: as the SRE workbook has them, judged on the arrays, and only where they are wanted."""

from pathlib import Path

import numpy as np
import pytest

from cfa.burn_rate import parse, severities
from cfa.config import BUILTIN_BURN_RATES, CfaConfig
from cfa.judgement import Judgement
from cfa.windows import Windows
from tests.cfa.world import FAULTS, START, World

RULES = parse(BUILTIN_BURN_RATES.read_text())
ALLOWED = np.array([1e-4])


def windows(*added: tuple[float, int, int]) -> Windows:
    """Counts of (seconds ago, good, bad) of one node's reads."""
    found, now = Windows(), float(START)
    found.advance(now)
    for ago, good, bad in added:
        counts = np.zeros((1, 2, 3), np.int64)
        counts[0, 0, :2] = good, bad
        found.add(now - ago, counts)
    return found


def test_the_builtin_rows_are_those_of_the_workbook() -> None:
    """14.4, 6, 3 and 1 times over an hour, six hours, a day and three days."""
    assert [(r.burn_rate, r.long, r.short, r.severity) for r in RULES] == [
        (14.4, "1h", "5m", "page"),
        (6, "6h", "30m", "page"),
        (3, "1d", "2h", "ticket"),
        (1, "3d", "6h", "ticket"),
    ]


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([(60, 99_856, 144)], 2),
        ([(60, 99_857, 143)], 2),  # over six hours it is six times, too
        ([(60, 99_960, 40)], 1),
        ([(4_000, 99_960, 40)], 1),
        ([(30_000, 90_000, 99)], 0),
        ([(60, 99_991, 9)], 0),
        ([(60, 0, 0)], 0),
    ],
)
def test_both_windows_must_burn(added: list[tuple[float, int, int]], expected: int) -> None:
    """What has ended, or is within the budget, or was never observed meets no rule."""
    assert severities(windows(*added), ALLOWED, RULES)[0].tolist() == [expected, 0]


def test_a_window_that_is_not_kept_is_added_up() -> None:
    """Two hours and three days are sums of buckets; a month is the hours since its first, as far as they are kept."""
    found = windows((60, 1, 0), (6_800, 2, 0), (7_800, 4, 0), (200_000, 8, 0), (300_000, 16, 0))
    assert found.over(7_200)[0, 0, 0] == 3
    assert found.over(3 * 86_400)[0, 0, 0] == 15
    month, whole = found.month(START)  # 24 November 2025, 16:00 UTC
    assert (month[0, 0, 0], whole) == (31, True)


def test_the_month_ends_and_the_thirty_first_is_not_whole() -> None:
    """The first hour of a month has nothing of the last one; on the 31st the first is not kept any more."""
    found = windows((60, 5, 0))
    december = 1_764_547_200.0
    found.advance(december + 60)
    assert found.month(december + 60)[0][0, 0, 0] == 0
    assert not found.month(december + 31 * 86_400 - 60)[1]


def events(rules: str) -> list[tuple[str, str]]:
    """What is told of a slow burn over ten minutes."""
    world = World(seed=3, background=0.0014)
    FAULTS["endpoint_errors"](world, 20.0, 1.0, endpoint="fips")
    judgement = Judgement(CfaConfig(burn_rate_rules=rules))
    return [(e.event, e.reason) for entry in world.run(120) for e in judgement.step(entry)]


def test_only_where_they_are_wanted() -> None:
    """With the rules a second of errors is a page for burn_rate; without, nobody is told of it."""
    assert ("paged", "burn_rate") in events("builtin")
    assert not [e for e in events("none") if e[0] == "paged" or e[1] == "burn_rate"]


@pytest.mark.parametrize(
    "text",
    [
        "rules: []",
        "rules: [{severity: page, burn_rate: 1, long: 5m, short: 1h}]",
        "rules: {",
        "rules: [{severity: cry}]",
    ],
)
def test_a_wrong_file_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    """The error names the option and the file."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"burn_rate_rules.*mine\.yaml"):
        CfaConfig(burn_rate_rules=str(path))
    with pytest.raises(ValueError, match="cannot be read"):
        CfaConfig(burn_rate_rules=str(tmp_path / "none.yaml"))
