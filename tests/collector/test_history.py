"""The Parquet history: what was sealed is what is read, at any version, by anyone who reads Parquet."""

import random
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import columns
from collector.columns import RowKey
from collector.history import layout, manifest
from collector.history.manifest import ManifestError
from collector.history.reading import History
from collector.history.store import open_store
from collector.merge import Tally
from collector.observation import Outcome, Vantage
from collector.totals import Totals, merged
from tests.collector.history_samples import DAY, SERIES, Written, rows_of_interval, sealed


def expected(kind: str, known: dict[int, tuple[int, dict[RowKey, Tally]]]) -> dict[tuple[object, ...], tuple[int, ...]]:
    """By a plain loop: what a roll-up of the newest versions must say."""
    sums: dict[tuple[object, ...], list[int]] = {}
    for start, (_, rows) in known.items():
        for (number, flags), tally in rows.items():
            one = SERIES[number - 1]
            at_node = one.vantage is Vantage.SERVER and one.node is not None
            where = (None, None, one.table) if kind == "tables" else (one.zone, one.endpoint, None)
            key = (one.vantage, one.level, one.operation, *where, at_node, bool(flags & 1), bool(flags & 2), start)
            have = sums.setdefault(key, [0] * 7)
            sums[key] = [a + b for a, b in zip(have, tally[:7], strict=True)]
    return {key: tuple(value) for key, value in sums.items()}


def said(totals: Totals) -> dict[tuple[object, ...], tuple[int, ...]]:
    found = {}
    for key, start, counts in zip(totals.key, totals.start, totals.counts.T, strict=True):
        one = totals.keys[key]
        place = (one.vantage, one.level, one.operation, one.zone, one.endpoint, one.table)
        found[(*place, one.at_node, one.recused, one.excluded, int(start))] = tuple(counts.tolist())
    assert len(found) == len(totals.key)
    return found


def test_an_interval_comes_back_as_it_was_sealed(tmp_path: Path) -> None:
    """All dimensions, flags, counts and latency buckets, zone "" and endpoint None included."""
    written = Written(tmp_path)
    rows = rows_of_interval(random.Random(1), share=1)
    written.hour([sealed(DAY + 300, 1, rows)])
    history = History(open_store(str(tmp_path)))
    history.refresh()
    names, table = history.interval("abc123", DAY + 300, 1)
    found = {(names[index], flags): tally for (index, flags), tally in columns.rows_of(table).items()}
    assert found == {(SERIES[number - 1], flags): tally for (number, flags), tally in rows.items()}


def test_readers_take_the_newest_version_or_what_was_known_then(tmp_path: Path) -> None:
    """A late version is a file beside the old one; version 1 can still be asked for, in every roll-up."""
    dice = random.Random(2)
    written = Written(tmp_path)
    first = written.hours(range(DAY, DAY + 3600, 300), dice)
    late = rows_of_interval(dice, share=1)
    written.hour([sealed(DAY + 600, 2, late)])
    files = [path for path in written.store.list("intervals") if "zone=az1" in path]
    assert [path.rsplit("/", 1)[1] for path in files] == ["00-abc123-1.parquet", "00-abc123-2.parquet"]
    for kind in layout.ROLLUPS:
        then = {start: (1, rows) for start, rows in first.items()}
        now = {**then, DAY + 600: (2, late)}
        assert said(written.history.totals(kind, DAY, DAY + 3600)) == expected(kind, now)
        assert said(written.history.totals(kind, DAY, DAY + 3600, version=1)) == expected(kind, then)
        assert set(written.history.totals(kind, DAY + 600, DAY + 900).version.tolist()) == {2}


@pytest.mark.parametrize("kind", layout.ROLLUPS)
def test_a_days_roll_up_says_what_its_hours_say(tmp_path: Path, kind: str) -> None:
    """With and without it, before and after a late version, whole and cut, all tables or one."""
    dice = random.Random(3)
    written = Written(tmp_path)
    known = written.hours(range(DAY, DAY + 86400, 300), dice)
    before = said(written.history.totals(kind, DAY, DAY + 86400))
    assert written.history.known.day_is_due("abc123", DAY)
    written.day(DAY)
    assert not written.history.known.day_is_due("abc123", DAY)
    assert said(written.history.totals(kind, DAY, DAY + 86400)) == before
    late = rows_of_interval(dice)
    written.hour([sealed(DAY + 600, 2, late)])
    assert written.history.known.day_is_due("abc123", DAY)
    known[DAY + 600] = late
    now = expected(kind, {start: (1, rows) for start, rows in known.items()})
    assert said(written.history.totals(kind, DAY, DAY + 86400)) == now
    assert said(written.history.totals(kind, DAY, DAY + 86400, version=1)) == before
    written.day(DAY)
    assert said(written.history.totals(kind, DAY, DAY + 86400)) == now
    cut = said(written.history.totals(kind, DAY + 300, DAY + 7000))
    assert cut == {key: value for key, value in now.items() if DAY + 300 <= key[-1] < DAY + 7000}  # type: ignore[operator]
    if kind == "tables":
        one = said(written.history.totals(kind, DAY, DAY + 86400, where={"table": "a table"}))
        assert one == {key: value for key, value in now.items() if key[5] == "a table"}


def _example(language: str) -> str:
    """The example in docs/ledger.md."""
    text = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
    return text.split(f"```{language}\n", 1)[1].split("```", 1)[0]


def test_duckdb_and_pandas_read_it_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of docs/ledger.md give the ledger's sums: the newest version of each interval, by zone and table."""
    dice = random.Random(4)
    written = Written(tmp_path / "history")
    known = written.hours(range(DAY, DAY + 7200, 300), dice)
    late = rows_of_interval(dice)
    written.hour([sealed(DAY + 600, 2, late)])
    known[DAY + 600] = late
    sums: Counter[tuple[str, str, str]] = Counter()
    for rows in known.values():
        for (number, flags), tally in rows.items():
            one = SERIES[number - 1]
            if not flags and one.vantage is Vantage.CANARY:
                sums[one.zone, one.table, "good"] += tally[0]
                sums[one.zone, one.table, "bad"] += sum(tally[1:5])
    monkeypatch.chdir(tmp_path)
    places = sorted({(zone, table) for zone, table, _ in sums})
    wanted = [(*place, sums[*place, "good"], sums[*place, "bad"]) for place in places]
    with duckdb.connect() as database:
        assert database.sql(_example("sql")).fetchall() == wanted
    names: dict[str, pd.DataFrame] = {}
    exec(_example("python"), names)  # the documentation itself
    frame = names["frame"]
    assert {"date", "zone", "start", "version", "latency_le_5_ms"} <= set(frame.columns)
    assert frame["start"].min() == pd.Timestamp(DAY, unit="s", tz="UTC")
    canary = frame[frame["vantage"] == "canary"]
    assert canary["success"].sum() == sum(good for _, _, good, _ in wanted)


intervals = st.lists(st.integers(0, 23), min_size=1, max_size=8, unique=True)


@pytest.mark.proof
@settings(max_examples=15, deadline=None)
@given(intervals, st.integers(2, 4), st.integers(0, 2**32))
def test_n_collectors_histories_add_up_to_that_of_one(
    tmp_path_factory: pytest.TempPathFactory, slots: list[int], collectors: int, seed: int
) -> None:
    """Readings split over N collectors that share a root, each with late versions of its own: the sums are those of one collector."""
    root, dice = tmp_path_factory.mktemp("history"), random.Random(seed)
    starts = [DAY + 300 * slot for slot in slots]
    whole = Written(root / "one", "whole0")
    shards = [Written(root / "many", f"shard{n}") for n in range(collectors)]
    for start in starts:
        share = [rows_of_interval(dice) for _ in shards]
        for n, (shard, rows) in enumerate(zip(shards, share, strict=True)):
            shard.hour([sealed(start, 1, rows_of_interval(dice)), sealed(start, 2 + n, rows)])
        table = columns.total([columns.table_of(rows) for rows in dice.sample(share, len(share))])
        whole.hour([sealed(start, 1, columns.rows_of(table))])
    for kind in layout.ROLLUPS:
        one = whole.history.totals(kind, DAY, DAY + 7200)
        many = History(open_store(str(root / "many")))
        many.refresh()
        assert said(many.totals(kind, DAY, DAY + 7200)) == said(one)
        by_collector = [many.totals(kind, DAY, DAY + 7200, ledgers=[shard.ledger]) for shard in shards]
        assert said(merged(dice.sample(by_collector, len(by_collector)))) == said(one)
        nested = merged([merged(by_collector[:1]), merged(by_collector[1:])])
        assert said(nested) == said(one)


def test_totals_survive_the_wire(tmp_path: Path) -> None:
    """Encoded and decoded they are equal; what is damaged is refused."""
    written = Written(tmp_path)
    written.hours(range(DAY, DAY + 3600, 300), random.Random(5))
    totals = written.history.totals("cells", DAY, DAY + 3600)
    again = Totals.decode(totals.encode())
    assert (again.kind, again.keys) == (totals.kind, totals.keys)
    for name in ("key", "start", "version", "counts"):
        assert np.array_equal(getattr(again, name), getattr(totals, name))
    with pytest.raises(ValueError, match="not totals"):
        Totals.decode(totals.encode().replace(b'"success"', b'"succesS"'))
    assert merged([Totals.empty("cells")]).key.size == 0


def test_a_manifest_that_was_touched_is_not_believed(tmp_path: Path) -> None:
    """Any change of its content is seen."""
    written = Written(tmp_path)
    one = written.hour([sealed(DAY, 1, rows_of_interval(random.Random(6)))])
    data = one.encode()
    assert manifest.decode(data) == one
    for wrong in (data.replace(b'"rows": 1', b'"rows": 9', 1), data[:-20], b"{}"):
        with pytest.raises(ManifestError):
            manifest.decode(wrong)


def test_zones_have_a_folder_each_whatever_their_names() -> None:
    """A zone's name can be anything; the empty one is Hive's."""
    for zone in ("az1", "", "eu/west 1", "..", "az=1", "_none", "a_b"):
        path = layout.intervals(DAY, zone, "00-x-1")
        assert layout.zone_of(path) == zone
        assert path.count("/") == 3
    assert Outcome.SUCCESS.value == layout.OUTCOME_COLUMNS[0]
