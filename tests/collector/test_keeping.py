"""From the open file into the history and back: nothing is lost, nothing counts twice, whoever crashes when."""

import asyncio
import io
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from collector.config import CollectorConfig, HistoryConfig
from collector.exclusion import Exclusion
from collector.history import bookkeeping, keeping
from collector.history.footers import Footers
from collector.history.keeping import Keeper, open_history
from collector.history.reading import History
from collector.history.store import HistoryUnavailable, open_store
from collector.housekeeping import forget
from collector.ledger import Ledger
from collector.ledger_file import database_of
from collector.metrics import Metrics
from collector.observation import Outcome
from collector.reading import Reader
from collector.series import Reading
from collector.totals import merged
from collector.wire import IntervalRow
from collector.writer import Writer
from tests.collector.history_samples import DAY, SERIES
from tests.collector.samples import make_batch


class World:
    """A collector's ledger, writer, history and reader, without its network; time is an argument."""

    def __init__(self, folder: Path, **history: Any) -> None:
        self.config = CollectorConfig(data_dir=folder, history=HistoryConfig(**history))
        self.ledger = Ledger(folder)
        self.writer = Writer(self.ledger)
        found = open_history(self.config)
        assert found is not None
        self.history = found
        self.reader = Reader(folder, self.history)
        self.metrics = Metrics(CollectorRegistry())
        self.keeper = Keeper(self.config, self.history, self.writer, self.metrics)
        self.sequence = int(self.ledger.newest)

    async def close(self) -> None:
        """Stop as a collector does."""
        await self.writer.close()
        await self.keeper.close()
        await asyncio.to_thread(self.reader.close)
        self.ledger.close()

    async def hear(self, readings: list[Reading]) -> None:
        """One batch."""
        self.sequence += 1
        await self.writer.submit(make_batch(self.sequence, at=DAY, readings=tuple(readings)))

    async def seal(self, at: float) -> None:
        """All that is due, and the gaps."""
        await self.writer.work(lambda ledger: ledger.seal(at=at, after_seconds=600, reopened=True, most=1000))
        await self.writer.work(lambda ledger: ledger.fill_gaps(since=0, at=at))

    async def keep(self, at: float) -> None:
        """All that the keeper finds to do."""
        while await self.keeper.round(at):
            pass

    async def rows(self, **asked: Any) -> list[IntervalRow]:
        """All intervals there are."""
        known = {"vantage": None, "by": None, "version": None, **asked}
        lists = self.reader.intervals(0, DAY + 900_000, **known)
        return sorted((row for rows in [one async for one in lists] for row in rows), key=_order)


def _order(row: IntervalRow) -> tuple[int, str, bool]:
    return row.start, str(row.series), row.excluded


@pytest.fixture
async def worlds(tmp_path: Path) -> AsyncIterator[Callable[..., World]]:
    opened: list[World] = []

    def make(**history: Any) -> World:
        opened.append(World(tmp_path / "collector", **history))
        return opened[-1]

    yield make
    await opened[-1].close()


def count(database: Path, query: str) -> int:
    with sqlite3.connect(database) as one:
        (number,) = one.execute(query).fetchone()
    return int(number)


async def fill(world: World, hours: int) -> None:
    dice = random.Random(1)
    await world.hear(
        [
            Reading(
                series=dice.choice(SERIES),
                at=start + dice.randint(0, 299),
                counts={Outcome.SUCCESS: dice.randint(1, 9), Outcome.SERVER_FAULT: 1},
            )
            for start in range(DAY, DAY + hours * 3600, 300)
            for _ in range(3)
        ]
    )


async def test_what_moved_to_the_history_reads_as_before(worlds: Callable[..., World]) -> None:
    """Every answer is the same whether the rows are in SQLite, in both places, or in Parquet only."""
    world = worlds()
    await fill(world, 25)
    await world.seal(DAY + 100_000)
    questions: list[dict[str, Any]] = [{}, {"by": ("zone", "table")}, {"by": ("host",)}, {"version": 1}]
    before = [await world.rows(**one) for one in questions]
    sums = [await world.reader.totals(kind, 0, DAY + 900_000) for kind in ("tables", "cells")]
    await world.keep(DAY + 100_000)
    assert count(database_of(world.config.data_dir), "SELECT count(*) FROM sealed") == 300
    assert [await world.rows(**one) for one in questions] == before
    await world.keep(DAY + 30 * 86400)
    assert count(database_of(world.config.data_dir), "SELECT count(*) FROM sealed") == 0
    assert [await world.rows(**one) for one in questions] == before
    for kind, old in zip(("tables", "cells"), sums, strict=True):
        new = await world.reader.totals(kind, 0, DAY + 900_000)
        assert (new.keys, new.key.tolist(), new.counts.tolist()) == (old.keys, old.key.tolist(), old.counts.tolist())


async def test_an_hour_waits_until_it_is_sealed(worlds: Callable[..., World]) -> None:
    """The running hour, and one with an interval that is not sealed, stay in SQLite."""
    world = worlds()
    await fill(world, 2)
    await world.seal(DAY + 3600 + 300)
    await world.keep(DAY + 3600 + 300)
    assert world.history.known.manifests == {}
    await world.keep(DAY + 3600 + 900)
    assert world.history.known.manifests == {}, "its last intervals are not sealed yet"
    await world.seal(DAY + 3600 + 900)
    await world.keep(DAY + 3600 + 900)
    assert len(world.history.known.manifests) == 1


async def test_late_data_and_exclusions_reach_what_is_in_parquet_only(worlds: Callable[..., World]) -> None:
    """The version is brought back, the next one made from it and written beside it; each stays to be read."""
    world = worlds()
    await fill(world, 1)
    await world.seal(DAY + 5000)
    await world.keep(DAY + 30 * 86400)
    first = await world.rows()
    statement = Exclusion(start=DAY, end=DAY + 1, reason="works", who="ann", made_at=DAY + 5000.0)
    number = await world.writer.work(lambda ledger: ledger.exclude(statement))
    await world.seal(DAY + 30 * 86400)
    assert await world.rows() == first, "not before it was brought back"
    await world.keep(DAY + 30 * 86400)
    await world.seal(DAY + 30 * 86400)
    await world.keep(DAY + 40 * 86400)
    assert count(database_of(world.config.data_dir), "SELECT count(*) FROM sealed") == 0
    now = await world.rows()
    assert [(row.series, row.counts) for row in now] == [(row.series, row.counts) for row in first]
    assert {(row.start, row.version, row.excluded) for row in now if row.excluded} == {(DAY, 2, True)}
    assert not any(row.excluded for row in now if row.start != DAY)
    assert await world.rows(version=1) == first
    totals = await world.reader.totals("tables", DAY, DAY + 300)
    assert all(key.excluded for key in totals.keys)
    undoing = Exclusion(start=DAY, end=DAY + 1, reason="not ours", who="bob", made_at=DAY + 6000.0, undoes=number)
    await world.writer.work(lambda ledger: ledger.exclude(undoing))
    await world.keep(DAY + 40 * 86400)
    await world.seal(DAY + 40 * 86400)
    assert {row.version for row in await world.rows() if row.start == DAY} == {3}
    assert [row.counts for row in await world.rows()] == [row.counts for row in first]


async def test_a_crash_between_file_and_note_is_made_good(
    worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that were written are adopted: no second file, no double count."""
    world = worlds()
    await fill(world, 1)
    await world.seal(DAY + 5000)
    before = await world.rows()
    with monkeypatch.context() as patch:
        patch.setattr(keeping.Keeper, "_record", lambda *_: asyncio.sleep(0))
        await world.keeper.round(DAY + 5000)
    files = world.history.store.list("intervals")
    assert files
    await world.close()
    again = worlds()
    await again.keep(DAY + 30 * 86400)
    assert again.history.store.list("intervals") == files
    assert await again.rows() == before
    assert count(database_of(again.config.data_dir), "SELECT count(*) FROM sealed") == 0


async def test_a_history_that_cannot_be_written_keeps_nobody_waiting(
    worlds: Callable[..., World], tmp_path: Path
) -> None:
    """It is counted and tried again; the rows stay in SQLite meanwhile."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    world = worlds(url=str(blocked))
    await fill(world, 1)
    await world.seal(DAY + 5000)
    assert not await world.keeper.round(DAY + 30 * 86400)
    assert world.metrics.history_problems._value.get() == 1
    assert count(database_of(world.config.data_dir), "SELECT count(*) FROM sealed") == 12
    blocked.unlink()
    await world.keep(DAY + 30 * 86400)
    assert count(database_of(world.config.data_dir), "SELECT count(*) FROM sealed") == 0
    assert len(await world.rows()) > 0


async def test_retention_takes_the_files_and_leaves_word_of_it(worlds: Callable[..., World]) -> None:
    """The manifest stays and says what was there; nothing of it is read any more."""
    world = worlds()
    await fill(world, 24)
    await world.seal(DAY + 100_000)
    await world.keep(DAY + 100_000)
    await world.keep(DAY + 401 * 86400)
    assert world.history.store.list("intervals") == world.history.store.list("daily") == []
    assert len([path for path in world.history.store.list("manifests") if path.endswith(".removed.json")]) == 25
    assert len([path for path in world.history.store.list("manifests") if ".removed" not in path]) == 25
    await world.writer.work(partial(forget, config=world.config, at=DAY + 401 * 86400))
    assert await world.rows() == []
    assert count(database_of(world.config.data_dir), "SELECT count(*) FROM exports") == 0
    with world.ledger.transaction() as database:
        assert bookkeeping.place(database).serial == 26


@pytest.mark.parametrize("seed", range(3))
async def test_n_collectors_equal_one(tmp_path: Path, seed: int) -> None:
    """Readings split over collectors anyhow, early or late, sealed and kept by each on its own: one root holds what one would hold."""
    dice = random.Random(seed)
    readings = [
        Reading(
            series=dice.choice(SERIES),
            at=DAY + dice.randrange(7200),
            counts={outcome: dice.randint(0, 9) for outcome in dice.sample(list(Outcome), 3)},
            latency=tuple(dice.randint(0, 5) for _ in range(13)),
        )
        for _ in range(200)
    ]
    one = World(tmp_path / "one")
    many = [World(tmp_path / f"c{number}", url=str(tmp_path / "shared")) for number in range(3)]
    try:
        for at in (DAY + 8200, DAY + 9000, DAY + 10_000):
            piece = readings if at == DAY + 10_000 else dice.sample(readings, len(readings) // 3)
            readings = [reading for reading in readings if reading not in piece]
            await one.hear(piece)
            owners = [dice.randrange(len(many)) for _ in piece]
            for number, world in enumerate(many):
                await world.hear([reading for reading, owner in zip(piece, owners, strict=True) if owner == number])
            for world in (one, *many):
                await world.seal(at)
                await world.keep(at + 700)
        shared = History(open_store(str(tmp_path / "shared")))
        shared.refresh()
        assert len(shared.known.ledgers()) == 3
        for kind in ("tables", "cells"):
            wanted = await one.reader.totals(kind, DAY, DAY + 7200)
            own = [await world.reader.totals(kind, DAY, DAY + 7200) for world in many]
            for found in (shared.totals(kind, DAY, DAY + 7200), merged(own), merged(own[::-1])):
                assert (found.keys, found.key.tolist(), found.start.tolist()) == (
                    wanted.keys,
                    wanted.key.tolist(),
                    wanted.start.tolist(),
                )
                assert found.counts.tolist() == wanted.counts.tolist()
    finally:
        for world in (one, *many):
            await world.close()


async def test_the_first_question_after_a_start_has_what_only_the_history_has(worlds: Callable[..., World]) -> None:
    """A reader whose keeper has not read the manifests yet reads them itself, and does not answer without them."""
    world = worlds()
    await fill(world, 3)
    await world.seal(DAY + 20_000)
    await world.keep(DAY + 30 * 86400)
    before = await world.reader.totals("tables", DAY, DAY + 86400)
    assert before.counts.sum() > 0
    reader = Reader(world.config.data_dir, open_history(world.config))
    found = await reader.totals("tables", DAY, DAY + 86400)
    assert found.counts.tolist() == before.counts.tolist()
    await asyncio.to_thread(reader.close)


async def test_a_history_that_cannot_be_read_is_said_only_where_it_is_needed(
    worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A span that SQLite has is answered; for another one there is an error instead of a sum that lacks half of it."""
    world = worlds()
    await fill(world, 1)
    await world.seal(DAY + 20_000)
    await world.keep(DAY + 30 * 86400)
    history = open_history(world.config)
    assert history is not None

    def refuse(_folder: str = "") -> list[str]:
        raise HistoryUnavailable("the bucket does not answer")

    monkeypatch.setattr(history.store, "list", refuse)
    reader = Reader(world.config.data_dir, history)
    with pytest.raises(HistoryUnavailable, match="does not answer"):
        await reader.totals("tables", DAY, DAY + 3600)
    assert (await reader.totals("tables", DAY + 86400, DAY + 90_000)).counts.size == 0
    await asyncio.to_thread(reader.close)


async def test_footers_are_read_beforehand_newest_first_and_only_so_many(worlds: Callable[..., World]) -> None:
    """After a start nothing of the last month is left to be looked up, unless there is no room."""
    world = worlds()
    await fill(world, 25)
    await world.seal(DAY + 100_000)
    await world.keep(DAY + 100_000)
    history = open_history(world.config)
    assert history is not None
    assert history.warm() == 4  # the day's two roll-ups, and the one hour's of the next day
    assert history.warm() == 0
    little, whole = (
        Footers(bytes_max=1),
        history.known.rollups(history.known.ledgers()[0], DAY, DAY + 86400, None, frozenset()),
    )
    for path in ("a", "b"):
        little.of(path, io.BytesIO(history.store.read(whole[0].manifest.parts[0].path)))
    assert (len(little), "b" in little, little.has_room) == (1, True, False)
    history.close()


async def test_a_report_keeps_no_small_question_waiting(
    worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One table is answered while all tables' files are still being read."""
    world = worlds()
    await fill(world, 2)
    await world.seal(DAY + 20_000)
    await world.keep(DAY + 20_000)
    go_on, read = threading.Event(), world.history._read

    def slowly(path: str, columns: Any, where: Any, wanted: Any) -> Any:
        if not where:
            assert go_on.wait(30)
        return read(path, columns, where, wanted)

    monkeypatch.setattr(world.history, "_read", slowly)
    report = asyncio.ensure_future(world.reader.totals("tables", DAY, DAY + 86400))
    small = await world.reader.totals("tables", DAY, DAY + 86400, where={"table": "orders"})
    assert not report.done()
    go_on.set()
    assert 0 < small.counts.sum() < (await report).counts.sum()
