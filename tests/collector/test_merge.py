"""Merging is addition: any order, any grouping, one ledger."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import columns, merge, rollup
from collector.interval import interval_of
from collector.merge import EMPTY, WIDTH, Key, Tally
from collector.observation import Outcome
from collector.series import Reading
from tests.collector.samples import make_series

counts = st.integers(0, 10**9)
tallies: st.SearchStrategy[Tally] = st.tuples(*[counts] * WIDTH)
readings = st.builds(
    Reading,
    series=st.builds(
        make_series, host=st.sampled_from(["az1-canary-1", "az2-canary-1"]), partition=st.sampled_from(["p-1", None])
    ),
    at=st.integers(1_764_000_000, 1_764_000_900),
    counts=st.dictionaries(st.sampled_from(Outcome), counts, max_size=7),
    latency=st.one_of(st.just(()), st.tuples(*[counts] * merge.BUCKETS)),
)
rows = st.dictionaries(st.tuples(st.integers(1, 50), st.integers(0, 1)), tallies, max_size=30)


@given(tallies, tallies, tallies)
def test_merge_is_associative_and_commutative_with_a_neutral_element(a: Tally, b: Tally, c: Tally) -> None:
    """The three laws that let collectors shard and combine."""
    assert merge.merge(merge.merge(a, b), c) == merge.merge(a, merge.merge(b, c))
    assert merge.merge(a, b) == merge.merge(b, a)
    assert merge.merge(a, EMPTY) == a


@given(st.lists(readings, max_size=20), st.randoms(use_true_random=False))
def test_order_and_grouping_of_readings_do_not_matter(given_readings: list[Reading], dice: random.Random) -> None:
    """Readings shuffled and cut into batches anywhere give the ledger of one batch."""
    whole = merge.collect(given_readings, recused=False)
    shuffled = dice.sample(given_readings, len(given_readings))
    cut = dice.randint(0, len(shuffled))
    pieces: dict[Key, Tally] = {}
    for piece in (shuffled[:cut], shuffled[cut:]):
        for key, tally in merge.collect(piece, recused=False).items():
            pieces[key] = merge.merge(pieces.get(key, EMPTY), tally)
    assert pieces == whole


@given(readings)
def test_a_tally_gives_back_the_readings_counts(reading: Reading) -> None:
    """Nothing is lost between a reading and its row but zeros."""
    ((key, tally),) = merge.collect([reading], recused=True).items()
    assert key == Key(interval_of(reading.at), reading.series, recused=True)
    assert merge.counts_of(tally) == {outcome: n for outcome, n in reading.counts.items() if n}
    assert merge.latency_of(tally) == (reading.latency if any(reading.latency) else ())


@given(rows)
def test_packed_columns_give_the_rows_back(given_rows: dict[columns.RowKey, Tally]) -> None:
    """A sealed interval is what was sealed, and equal rows are equal bytes."""
    body = columns.pack(given_rows)
    assert columns.unpack(body) == given_rows
    assert columns.pack(dict(reversed(given_rows.items()))) == body


@given(rows, rows)
def test_late_rows_are_added_to_the_sealed_ones(
    sealed: dict[columns.RowKey, Tally], late: dict[columns.RowKey, Tally]
) -> None:
    """The next version is the sum of the last one and what came late."""
    together = columns.rows_of(columns.total([columns.table_of(late), columns.table_of(sealed)]))
    for key in sealed.keys() | late.keys():
        assert together[key] == merge.merge(sealed.get(key, EMPTY), late.get(key, EMPTY))


@given(rows)
def test_rolling_up_is_adding_up(given_rows: dict[columns.RowKey, Tally]) -> None:
    """The arrays' sums are those of a plain loop, and a group that is learnt later changes nothing."""
    names = {
        number: make_series(host=f"az{number % 3 + 1}-canary-{number}", partition=f"p-{number}")
        for number in range(1, 51)
    }
    expected: dict[tuple[str, int], Tally] = {}
    for (number, recused), tally in given_rows.items():
        key = (names[number].zone, recused)
        expected[key] = merge.merge(expected.get(key, EMPTY), tally)
    grouping = rollup.Grouping(("zone",))
    grouping.learn({number: names[number] for number in range(1, 20)})
    grouping.learn(names)
    rolled = grouping.roll_up(columns.unpack_table(columns.pack(given_rows)))
    assert {(grouping.names[group].zone, recused): tally for (group, recused), tally in rolled.items()} == expected


def test_damaged_columns_are_noticed() -> None:
    """A torn body is an error, not other numbers."""
    with pytest.raises(ValueError, match="damaged"):
        columns.unpack(columns.pack({(1, 0): EMPTY})[:-3])
