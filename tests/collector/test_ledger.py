"""The ledger on disk: one transaction, versions, retention, and files that are not ours."""

import contextlib
import sqlite3
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector import columns, wire
from collector.config import CollectorConfig
from collector.customers.streams import LastPoint
from collector.housekeeping import forget
from collector.ingest import Duplicate
from collector.ledger import Ledger
from collector.ledger_file import LedgerError, database_of
from collector.observation import Connection, OperationClass, Outcome, Vantage
from collector.reading import Reader
from collector.series import Reading, Unobserved
from collector.submission import Counted, Scraped, Stored
from collector.wire import Batch
from tests.collector.samples import make_batch, make_health, make_series

NOW = 1_764_000_000.0
"""The start of an interval."""


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    one = Reader(tmp_path)
    yield one
    one.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


async def rows_of(
    reader: Reader, version: int | None = None, by: tuple[str, ...] | None = None
) -> list[wire.IntervalRow]:
    lists = reader.intervals(0, NOW + 9000, vantage=None, by=by, version=version)
    return [row async for rows in lists for row in rows]


def success(sequence: int, count: int, at: float = NOW) -> Batch:
    reading = Reading(series=make_series(), at=int(at), counts={Outcome.SUCCESS: count})
    return make_batch(sequence, at=at, readings=(reading,))


def test_a_batch_is_stored_once(ledger: Ledger) -> None:
    """The second arrival is a duplicate, also within the same transaction, and after a restart."""
    assert ledger.apply([make_batch(1, at=NOW), make_batch(1, at=NOW)], at=NOW) == [Stored(1), Duplicate()]
    ledger.recover()
    assert ledger.apply([make_batch(1, at=NOW), make_batch(3, at=NOW), make_batch(2, at=NOW)], at=NOW) == [
        Duplicate(),
        Stored(2),
        Stored(3),
    ]


def test_another_boot_is_another_sender(ledger: Ledger) -> None:
    """Numbers begin anew with each life of the host."""
    answers = ledger.apply([make_batch(1, at=NOW), make_batch(1, at=NOW, boot="b2")], at=NOW)
    assert answers == [Stored(1), Stored(2)]


async def test_an_interval_is_sealed_and_late_data_makes_the_next_version(ledger: Ledger, reader: Reader) -> None:
    """Open is version 0; sealed is 1; what comes later is 2, and version 1 can still be read."""
    ledger.apply([success(1, 10)], at=NOW)
    assert [(r.version, r.counts) for r in await rows_of(reader)] == [(0, {Outcome.SUCCESS: 10})]
    assert ledger.seal(at=NOW + 899, after_seconds=600, reopened=True) == []
    assert ledger.seal(at=NOW + 900, after_seconds=600, reopened=True) == [(int(NOW), 1)]
    ledger.apply([success(2, 5)], at=NOW + 1000)
    assert [(r.version, r.counts) for r in await rows_of(reader)] == [(1, {Outcome.SUCCESS: 10})]
    assert ledger.seal(at=NOW + 1000, after_seconds=600, reopened=False) == []
    assert ledger.seal(at=NOW + 1060, after_seconds=600, reopened=True) == [(int(NOW), 2)]
    assert [(r.version, r.counts) for r in await rows_of(reader)] == [(2, {Outcome.SUCCESS: 15})]
    assert [(r.version, r.counts) for r in await rows_of(reader, version=1)] == [(1, {Outcome.SUCCESS: 10})]
    assert await rows_of(reader, version=0) == []


async def test_rolled_up_rows_add_up_the_same_before_and_after_sealing(ledger: Ledger, reader: Reader) -> None:
    """``by`` adds what differs elsewhere, and sealing changes no figure."""
    batches = [make_batch(1, at=NOW, host=h) for h in ("az1-canary-1", "az1-canary-2", "az2-canary-1")]
    ledger.apply(batches, at=NOW)
    before = {(r.series.zone, r.counts[Outcome.SUCCESS]) for r in await rows_of(reader, by=("zone",))}
    ledger.seal(at=NOW + 900, after_seconds=600, reopened=True)
    after = {(r.series.zone, r.counts[Outcome.SUCCESS]) for r in await rows_of(reader, by=("zone",))}
    assert before == after == {("az1", 4), ("az2", 2)}


async def test_the_summary_gives_the_figures_of_the_whole(ledger: Ledger, reader: Reader) -> None:
    """What is read from the short form equals what is added up from every series, for clients and for servers."""
    nodes = [
        make_series(host=f"az{z}-canary-1", node=f"n-{n}", endpoint=e)
        for z in (1, 2)
        for n in (1, 2)
        for e in ("fips", "standard")
    ]
    nodes += [
        make_series(host="az1-node-1", vantage=Vantage.SERVER, node="az1-node-1", partition=f"p-{n}") for n in range(3)
    ]
    readings = tuple(Reading(series=s, at=int(NOW), counts={Outcome.SUCCESS: i + 1}) for i, s in enumerate(nodes))
    ledger.apply([Scraped(zone="", readings=readings)], at=NOW)
    ledger.seal(at=NOW + 900, after_seconds=600, reopened=True)
    short = {
        (r.series.vantage, r.series.endpoint): r.counts[Outcome.SUCCESS]
        for r in await rows_of(reader, by=("endpoint",))
    }
    whole: dict[tuple[Vantage, str | None], int] = {}
    for row in await rows_of(reader):
        key = (row.series.vantage, row.series.endpoint)
        whole[key] = whole.get(key, 0) + row.counts[Outcome.SUCCESS]
    assert short == whole
    assert {r.series.host for r in await rows_of(reader, by=("host",))} == {s.host for s in nodes}


async def test_a_recused_host_is_counted_apart(ledger: Ledger, reader: Reader) -> None:
    """Its batches, and those that follow without a word within a minute, carry the flag; its recovery takes it off."""
    ledger.apply([make_batch(1, at=NOW, health=make_health(NOW, recused=True, reasons=("clock",)))], at=NOW)
    ledger.apply([make_batch(2, at=NOW + 30)], at=NOW + 30)
    ledger.apply([make_batch(3, at=NOW + 60, health=make_health(NOW + 60))], at=NOW + 60)
    assert {r.recused: r.counts[Outcome.SUCCESS] for r in await rows_of(reader)} == {True: 4, False: 2}
    assert [(s.recused, s.reasons) for s in await reader.health_spans(0, NOW + 100)] == [
        (True, ("clock",)),
        (False, ()),
    ]
    assert {f.recused for f in await reader.failures(0, NOW + 100, 10)} == {True, False}


async def test_unobserved_probes_are_added_up_by_interval(ledger: Ledger, reader: Reader) -> None:
    """What was not asked is in the ledger too, by cell and reason."""
    missing = Unobserved(
        endpoint="fips",
        connection=Connection.POOLED,
        operation=OperationClass.WRITE,
        at=int(NOW) + 7,
        count=3,
        reason="late",
    )
    ledger.apply([make_batch(n, at=NOW, unobserved=(missing, missing)) for n in (1, 2)], at=NOW)
    (row,) = await reader.unobserved(NOW, NOW + 300)
    assert (row.start, row.count, row.reason, row.host) == (int(NOW), 12, "late", "az1-canary-1")


async def test_received_at_never_goes_back(ledger: Ledger, reader: Reader) -> None:
    """Not when the clock does, and not over a restart."""
    ledger.apply([make_batch(1, at=NOW)], at=NOW + 50)
    ledger.apply([make_batch(2, at=NOW)], at=NOW)
    ledger.recover()
    ledger.apply([make_batch(3, at=NOW)], at=NOW + 10)
    _, entries = await reader.feed(0, 10)
    times = [wire.decode_feed(b"[" + e + b"]")[0].received_at for e in entries]
    assert times == [NOW + 50] * 3


async def test_the_feed_forgets_in_bites_but_keeps_its_newest_entry(
    ledger: Ledger, reader: Reader, tmp_path: Path
) -> None:
    """Old entries go, the last one stays, and a cursor is never used twice."""
    ledger.apply([make_batch(n, at=NOW) for n in range(1, 701)], at=NOW)
    config = CollectorConfig(data_dir=tmp_path, feed_retention_seconds=100)
    assert forget(ledger, config=config, at=NOW + 99) == 0
    assert forget(ledger, config=config, at=NOW + 101) == 500
    assert forget(ledger, config=config, at=NOW + 101) == 199
    assert (await reader.feed(0, 10))[0] == 700
    ledger.recover()
    assert ledger.apply([make_batch(701, at=NOW)], at=NOW) == [Stored(701)]


async def test_failures_are_forgotten_after_their_retention_and_counts_stay(
    ledger: Ledger, reader: Reader, tmp_path: Path
) -> None:
    """Thirty days of whole failures, more than a year of counts."""
    ledger.apply([make_batch(1, at=NOW)], at=NOW)
    ledger.seal(at=NOW + 900, after_seconds=600, reopened=True)
    forget(ledger, config=CollectorConfig(data_dir=tmp_path), at=NOW + 31 * 86400)
    assert await reader.failures(0, NOW + 10, 10) == []
    assert len(await rows_of(reader)) == 1
    forget(ledger, config=CollectorConfig(data_dir=tmp_path), at=NOW + 401 * 86400)
    assert await rows_of(reader) == []


def test_a_group_is_all_or_nothing(ledger: Ledger) -> None:
    """When storage fails in the middle nothing of the group is kept, and the ledger goes on afterwards."""
    with ledger.transaction() as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
    ledger._database.execute(f"PRAGMA max_page_count = {pages + 2}")
    big = [make_batch(n, at=NOW, readings=make_batch(at=NOW).readings * 50) for n in range(1, 50)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        ledger.apply(big, at=NOW)
    ledger.recover()
    assert ledger.newest == 0
    assert ledger.apply(big[:1], at=NOW) == [Stored(1)]


def test_two_collectors_cannot_share_a_folder(ledger: Ledger, tmp_path: Path) -> None:
    """The second one is told so."""
    with pytest.raises(LedgerError, match="in use by another collector"):
        Ledger(tmp_path)


def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    """An older program does not write into a newer file; the text says what to do."""
    database = sqlite3.connect(database_of(tmp_path))
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(LedgerError, match=r"schema 99.*newer version"):
        Ledger(tmp_path)


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """Someone else's bytes are not overwritten."""
    database_of(tmp_path).write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError, match="not a ledger"):
        Ledger(tmp_path)
    assert database_of(tmp_path).read_bytes().startswith(b"not a database")


def test_a_five_minute_interval_of_ten_thousand_series_is_small(ledger: Ledger, tmp_path: Path) -> None:
    """One sealed row of well under 100 kB, so that a year fits on a small disk."""
    readings = tuple(
        Reading(
            series=make_series(partition=f"p-{i % 97}", node=f"n-{i // 97}"), at=int(NOW), counts={Outcome.SUCCESS: 1 + i % 3},
            latency=(*(0,) * (i % 5), 1 + i % 3, *(0,) * (12 - i % 5)),
        )
        for i in range(10_000)
    )  # fmt: skip
    ledger.apply([make_batch(1, at=NOW, readings=readings)], at=NOW)
    ledger.seal(at=NOW + 900, after_seconds=600, reopened=True)
    with ledger.transaction() as database:
        (body,) = database.execute("SELECT body FROM sealed").fetchone()
        assert database.execute("SELECT count(*) FROM running").fetchone() == (0,)
    assert len(columns.unpack(body)) == 10_000
    assert len(body) < 100_000


async def test_scrapes_enter_the_same_feed(ledger: Ledger, reader: Reader) -> None:
    """Server readings are entries of the host "collector", ordered with all others."""
    ledger.apply([make_batch(1, at=NOW), Scraped(zone="az1", readings=make_batch(at=NOW).readings)], at=NOW)
    _, entries = await reader.feed(1, 10)
    (entry,) = wire.decode_feed(b"[" + b",".join(entries) + b"]")
    assert (entry.cursor, entry.host, entry.vantage) == (2, "collector", "server")


def test_the_feed_is_stored_compressed(ledger: Ledger) -> None:
    """An entry costs a fraction of its JSON."""
    ledger.apply([make_batch(1, at=NOW)], at=NOW)
    with ledger.transaction() as database:
        (body,) = database.execute("SELECT body FROM feed").fetchone()
    assert len(body) < len(zlib.decompress(body)) / 2


def test_a_backlog_is_sealed_one_interval_at_a_time(ledger: Ledger) -> None:
    """A week that arrives late does not keep the writer away from new batches."""
    ledger.apply([success(n, 1, at=NOW + 300 * n) for n in range(1, 5)], at=NOW)
    sealed = []
    while one := ledger.seal(at=NOW + 9000, after_seconds=600, reopened=True):
        assert len(one) == 1
        sealed += one
    assert sealed == [(int(NOW) + 300 * n, 1) for n in range(1, 5)]


def test_the_last_point_of_a_metric_stream_is_durable_with_its_counts_or_not_at_all(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A repeated batch changes no point, an older point replaces no newer one, and a silent stream is forgotten after a day."""
    old, new = LastPoint(b"a" * 16, 10**9, 0, (4,)), LastPoint(b"a" * 16, 2 * 10**9, 1, (9, 2**62))
    assert ledger.apply([Counted(make_batch(1, at=NOW), (new,))], at=NOW) == [Stored(1)]
    assert ledger.apply([Counted(make_batch(1, at=NOW), (LastPoint(b"b" * 16, 1, 0, (1,)),))], at=NOW) == [Duplicate()]
    ledger.keep_points([old])
    with contextlib.suppress(RuntimeError), ledger.transaction():
        ledger._take(Counted(make_batch(2, at=NOW), (LastPoint(b"c" * 16, 3 * 10**9, 0, (5,)),)), NOW)
        raise RuntimeError
    ledger.recover()
    ledger.close()
    again = Ledger(tmp_path)
    assert again.last_points(10) == [new]
    forget(again, config=CollectorConfig(data_dir=tmp_path), at=NOW)
    assert again.last_points(10) == []
    again.close()
