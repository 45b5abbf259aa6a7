"""Exclusions and their undoing are further versions: both figures stay visible, nothing is erased."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import columns, schema
from collector.exclusion import Exclusion, apply, in_force
from collector.ledger import Ledger
from collector.ledger_file import database_of
from collector.merge import WIDTH
from collector.observation import Outcome
from collector.reading import Reader
from collector.series import Reading
from collector.wire import IntervalRow
from tests.collector.samples import make_batch, make_series

NOW = 1_764_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


@pytest.fixture
async def reader(tmp_path: Path, ledger: Ledger) -> AsyncIterator[Reader]:
    one = Reader(tmp_path)
    yield one
    one.close()


async def rows_of(reader: Reader, version: int | None = None) -> list[IntervalRow]:
    lists = reader.intervals(0, NOW + 90_000, vantage=None, by=("zone",), version=version)
    return [row async for rows in lists for row in rows]


def exclusion(start: float = NOW, end: float = NOW + 300, **changes: object) -> Exclusion:
    known: dict[str, object] = {"reason": "power works", "who": "ann", "made_at": NOW + 5000.0}
    return Exclusion(start=start, end=end, **{**known, **changes})  # type: ignore[arg-type]


def heard(ledger: Ledger, sequence: int, at: int, host: str = "az1-canary-1", count: int = 3) -> None:
    reading = Reading(series=make_series(host), at=at, counts={Outcome.UNREACHABLE: count})
    ledger.apply([make_batch(sequence, at=at, host=host, readings=(reading,))], at=at)


def seal_all(ledger: Ledger) -> list[tuple[int, int]]:
    return ledger.seal(at=NOW + 90_000, after_seconds=600, reopened=True, most=1000)


async def test_an_exclusion_moves_counts_aside_in_a_new_version(ledger: Ledger, reader: Reader) -> None:
    """The matching zone's counts are under the flag in version 2, and as they were in version 1."""
    heard(ledger, 1, NOW)
    heard(ledger, 1, NOW, host="az2-canary-1")
    assert seal_all(ledger) == [(NOW, 1)]
    ledger.exclude(exclusion(where=(("zone", "az1"),)))
    assert seal_all(ledger) == [(NOW, 2)]
    assert {(row.series.zone, row.excluded, row.version): row.counts for row in await rows_of(reader)} == {
        ("az1", True, 2): {Outcome.UNREACHABLE: 3},
        ("az2", False, 2): {Outcome.UNREACHABLE: 3},
    }
    assert {(row.series.zone, row.excluded) for row in await rows_of(reader, version=1)} == {
        ("az1", False),
        ("az2", False),
    }


async def test_undoing_is_a_further_version(ledger: Ledger, reader: Reader) -> None:
    """Three versions, each as it was; the statements say who and why."""
    heard(ledger, 1, NOW)
    seal_all(ledger)
    number = ledger.exclude(exclusion())
    seal_all(ledger)
    ledger.exclude(exclusion(undoes=number, reason="the works were elsewhere", who="bob"))
    assert seal_all(ledger) == [(NOW, 3)]
    assert [(row.version, row.excluded) for row in await rows_of(reader)] == [(3, False)]
    assert [(row.version, row.excluded) for row in await rows_of(reader, version=2)] == [(2, True)]
    with pytest.raises(ValueError, match="no exclusion"):
        ledger.exclude(exclusion(undoes=number))


async def test_what_comes_late_into_an_excluded_interval_is_excluded(ledger: Ledger, reader: Reader) -> None:
    """Also when the interval was not sealed when the exclusion was said."""
    ledger.exclude(exclusion())
    heard(ledger, 1, NOW)
    assert seal_all(ledger) == [(NOW, 1)]
    heard(ledger, 2, NOW + 1)
    assert seal_all(ledger) == [(NOW, 2)]
    assert [(row.excluded, row.counts) for row in await rows_of(reader)] == [(True, {Outcome.UNREACHABLE: 6})]


def test_an_exclusion_touches_whole_intervals(ledger: Ledger) -> None:
    """A span's border inside an interval takes all of it; its end on a border takes nothing more."""
    assert exclusion(NOW + 10, NOW + 300).touches(NOW)
    assert not exclusion(NOW + 10, NOW + 300).touches(NOW + 300)
    for number, at in enumerate((NOW, NOW + 300, NOW + 600), start=1):
        heard(ledger, number, at)
    seal_all(ledger)
    ledger.exclude(exclusion(NOW + 299, NOW + 301))
    assert seal_all(ledger) == [(NOW, 2), (NOW + 300, 2)]


def test_an_exclusion_says_who_and_why() -> None:
    """Nothing is taken out without a name and a reason, nor by a dimension that is not there."""
    for wrong in ({"reason": " "}, {"who": ""}, {"where": (("colour", "red"),)}, {"end": NOW - 1}):
        with pytest.raises(ValueError, match="exclusion"):
            exclusion(**wrong)  # type: ignore[arg-type]
    assert in_force([exclusion(id=1), exclusion(id=2, undoes=1)]) == []


tables = st.dictionaries(
    st.tuples(st.integers(1, 9), st.integers(0, 3)), st.tuples(*[st.integers(0, 9)] * WIDTH), max_size=20
)


@given(tables, st.lists(st.integers(1, 9)), st.lists(st.integers(1, 9)))
def test_exclusion_loses_nothing_and_depends_on_nothing_before(
    rows: dict[columns.RowKey, tuple[int, ...]], ids: list[int], earlier: list[int]
) -> None:
    """Sums stay, and what was excluded before does not matter."""
    table = columns.table_of(rows)
    moved = apply(table, ids)
    assert moved[2:].sum() == table[2:].sum()
    assert np.array_equal(apply(apply(table, earlier), ids), moved)
    assert {number for number, flags in columns.rows_of(moved) if flags & columns.EXCLUDED} <= set(ids)


def test_nothing_heard_is_sealed_as_empty(ledger: Ledger, tmp_path: Path) -> None:
    """A collector that was off seals what it missed as empty, so that no interval is silently missing; late data is version 2."""
    heard(ledger, 1, NOW)
    heard(ledger, 2, NOW + 1500)
    seal_all(ledger)
    assert ledger.fill_gaps(since=0, at=NOW + 9000) == 4
    assert ledger.fill_gaps(since=NOW + 1500, at=NOW + 9000) == 0
    heard(ledger, 3, NOW + 600)
    assert seal_all(ledger) == [(NOW + 600, 2)]
    with sqlite3.connect(database_of(tmp_path)) as database:
        causes = database.execute("SELECT start, version, cause FROM sealed ORDER BY 1, 2").fetchall()
    assert causes == [
        (NOW, 1, "first"),
        (NOW + 300, 1, "empty"),
        (NOW + 600, 1, "empty"),
        (NOW + 600, 2, "late"),
        (NOW + 900, 1, "empty"),
        (NOW + 1200, 1, "empty"),
        (NOW + 1500, 1, "first"),
    ]


def test_a_ledger_of_the_first_schema_is_read_on(tmp_path: Path) -> None:
    """A version 1 file (series without a level, no history) gets all that is new, and keeps its series and versions."""
    old = [
        t
        for t in schema.TABLES
        if not t.startswith(("CREATE TABLE series", "CREATE TABLE sealed"))
        and t not in {*schema.SINCE_3, *schema.SINCE_4, *schema.SINCE_5}
    ]
    columns_of_1 = ", ".join(f"[{name}] TEXT" for name in schema.SERIES_COLUMNS if name != "level")
    with sqlite3.connect(database_of(tmp_path)) as database:
        database.execute(f"CREATE TABLE series (id INTEGER PRIMARY KEY, {columns_of_1})")
        database.execute(
            "CREATE TABLE sealed (start INTEGER, version INTEGER, sealed_at REAL NOT NULL, summary BLOB NOT NULL,"
            " body BLOB NOT NULL, PRIMARY KEY (start, version))"
        )
        for statement in old:
            database.execute(statement)
        known = [getattr(make_series(), name) for name in schema.SERIES_COLUMNS if name != "level"]
        database.execute(f"INSERT INTO series VALUES (1, {', '.join('?' * len(known))})", known)
        body = columns.pack({(1, 0): (5, *[0] * (WIDTH - 1))})
        database.execute("INSERT INTO sealed VALUES (?, 1, ?, ?, ?)", (NOW, NOW + 900.0, body, body))
        database.execute("PRAGMA user_version = 1")
    database.close()
    ledger = Ledger(tmp_path)
    heard(ledger, 1, NOW)
    assert seal_all(ledger) == [(NOW, 2)]
    assert dict(ledger.names.all())[1] == make_series()
    ledger.close()
    with sqlite3.connect(database_of(tmp_path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        rows = columns.unpack(database.execute("SELECT body FROM sealed WHERE version = 2").fetchone()[0])
        assert len(database.execute("SELECT name FROM identity").fetchone()[0]) == 12
    assert rows[1, 0][0] == 5
    assert rows[1, 0][3] == 3
