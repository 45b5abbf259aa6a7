"""All tables and their roll-ups over a feed that the collector's books made: what a plain dictionary adds up to."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from cfa.objective import Objective
from cfa.tables.fleet import SERVICE_ROWS, Fleet
from cfa.tables.policy import SEGMENTS
from tests.cfa.tables.feeding import BEGIN, Feeding

ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 4.0, 10.0, 61.0, 4_000.0]),
        st.sampled_from([-20, 0, 0, 0, 3, 30, 3_000]),
        st.sampled_from(["success", "server_fault", "timeout", "throttled", "bucket_3"]),
        st.dictionaries(st.integers(0, 7), st.sampled_from([1, 30, 100_000]), min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=25,
)
KINDS = {"success": 0, "server_fault": 1, "timeout": 1, "throttled": 2}


def fleet_of(feeding: Feeding, group: str | None = None) -> Fleet:
    """A fleet that has learned all series."""
    fleet = Fleet(Objective(0.9999, {}), 1.0, group)
    fleet.learn(feeding.names(0))
    return fleet


@settings(max_examples=60, deadline=None)
@given(ENTRIES)
def test_windows_of_tables_groups_and_service_are_what_was_told(
    entries: list[tuple[float, int, str, dict[int, int]]],
) -> None:
    """Two vantages of the same tables, late and future counts, jumps in time: every window of every row is its dictionary's sum."""
    feeding = Feeding()
    feeding.register(["a-1", "b-1"])
    feeding.register(["a-1", "c"], vantage="server")
    fleet, now = fleet_of(feeding, r"^(\w)-"), float(BEGIN)
    said: list[tuple[int, int, int, int]] = []
    for step, late, place, counts in entries:
        now += step
        entry = feeding.entry(now, {place: counts}, int(now) - late)
        if fleet.due(now):
            fleet.tick(now)
        fleet.count(*entry)
        fleet.count(*entry)
        if place in KINDS:
            at = min(int(now) - late, int(now)) // 10 * 10
            said += [(at, number, KINDS[place], count) for number, count in counts.items()]
    now += 10
    fleet.tick(now)
    tick = int(now) // 10 * 10
    rows_of = {n: [n, SERVICE_ROWS + 2 * fleet.roster.group[n // 2] + n % 2, 2 * (n >= 4) + n % 2] for n in range(8)}
    for w, segment in enumerate(SEGMENTS):
        since = (tick // segment.width - segment.seconds // segment.width) * segment.width
        expected: list[Counter[tuple[int, int]]] = [Counter(), Counter(), Counter()]
        for at, number, kind, count in said:
            if at >= since:
                for level, row in enumerate(rows_of[number]):
                    expected[level][row, kind] += count
        tables = fleet.tables.rings.window(w, slice(0, 8))
        assert {(r, k): int(tables[k][r]) for r in range(8) for k in range(3) if tables[k][r]} == dict(expected[0])
        rollups = fleet.rollups.rings.window(w, slice(0, fleet.rollups.rows))
        assert {
            (r, k): int(rollups[k][r]) for r in range(fleet.rollups.rows) for k in range(3) if rollups[k][r]
        } == dict(expected[1] + expected[2])


def test_calls_and_canaries_are_not_counted() -> None:
    """Whole calls would count retries twice, canaries have their own judgement: neither has a row."""
    feeding = Feeding()
    feeding.register(["orders"], level="call")
    feeding.register(["orders"], vantage="canary", host="lb-1")
    feeding.register(["orders"])
    fleet = fleet_of(feeding)
    assert fleet.roster.row_of_series.tolist() == [-1, -1, -1, -1, 0, 1]
    fleet.count(*feeding.entry(BEGIN, {"success": dict.fromkeys(range(6), 7)}))
    fleet.tick(BEGIN + 10.0)
    assert fleet.tables.rings.window(0, slice(0, 2))[0].tolist() == [7, 7]


def test_tables_may_come_between_entries_of_one_tick() -> None:
    """What was counted of known tables stays theirs when new ones are learned before the tick."""
    feeding = Feeding()
    feeding.register(["one"])
    fleet = fleet_of(feeding)
    fleet.count(*feeding.entry(BEGIN, {"success": {0: 5}}))
    feeding.register([f"t{n}" for n in range(3000)])
    late = feeding.entry(BEGIN + 1.0, {"success": {1: 6, 6001: 8}})
    assert not fleet.knows(late[1])
    fleet.learn(feeding.names(2))
    assert fleet.knows(late[1])
    fleet.count(*late)
    fleet.tick(BEGIN + 10.0)
    good = fleet.tables.rings.window(6, slice(0, 6002))[0]
    assert (good[0], good[1], good[6001], int(good.sum())) == (5, 6, 8, 19)
