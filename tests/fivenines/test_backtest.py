"""The command: today's policy and another one over a ledger's folder, with nothing running."""

import json
import sqlite3
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cfa.config import CfaConfig
from cfa.feed import CollectorClient
from cfa.judgement import Judgement
from cfa.state import Commit, StateStore
from collector.config import CollectorConfig
from collector.ledger import Ledger
from collector.ledger_file import database_of
from collector.observation import Vantage
from collector.submission import Scraped
from collector.wire import Batch
from fivenines.backtest_policy import policy_of
from fivenines.backtest_sources import HttpSource, merged
from fivenines.cli import app
from tests.cfa.test_backtest import OUTAGE, SECONDS, refused
from tests.cfa.world import START, World
from tests.collector.samples import free_port, make_batch, running

SPAN = ["--from", "2025-11-24T16:00:00Z", "--to", "2025-11-24T16:05:00Z"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a collector and a judgement that have lived through an outage."""
    folder = tmp_path_factory.mktemp("backtest")
    paths = {"collector": {"data_dir": str(folder / "collector")}, "cfa": {"data_dir": str(folder / "cfa")}}
    (folder / "fivenines.yaml").write_text(yaml.safe_dump({"state_dir": str(folder / "none"), **paths}))
    world = World(seed=3)
    world.during(OUTAGE, 20.0, refused)
    judge, events = Judgement(CfaConfig()), []
    ledger = Ledger(folder / "collector")
    with ledger.transaction():
        for entry in world.run(SECONDS):
            events += judge.step(entry)
            one = (
                Scraped(zone=entry.zone, readings=entry.readings, targets=entry.targets)
                if entry.vantage is Vantage.SERVER
                else Batch(
                    host=entry.host, zone=entry.zone, boot="b", sequence=entry.cursor, sent_at=entry.received_at,
                    readings=entry.readings,
                )
            )  # fmt: skip
            ledger._take(one, entry.received_at)
    ledger.seal(at=START + 9000, after_seconds=600, reopened=True, most=100)
    ledger.close()
    with StateStore(folder / "cfa" / "cfa.sqlite") as store:
        store.apply(Commit(cursor=1, received_at=START, incidents=tuple((e.at, e.incident) for e in events)), START)
    return folder


def run(stack: Path, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["backtest", "--offline", "--config", str(stack / "fivenines.yaml"), *more])
    return done.exit_code, done.stdout


def test_both_policies_stand_side_by_side(stack: Path) -> None:
    """Today's policy keeps the recorded page; a lax one misses it, which is a finding."""
    (stack / "new.yaml").write_text("false_pages_per_year: 1.0e-250\n")
    status, out = run(stack, *SPAN, "--policy", str(stack / "new.yaml"))
    assert status == 1
    assert "99% of them kept whole" in out  # what came before the first entry is asked of the intervals
    assert "MISSED" in out
    assert "current: 1 pages, 0 missed, 0 false" in out
    assert "new: 0 pages, 1 missed, 0 false" in out


def test_json_and_the_ledger_beyond_the_feed(stack: Path, tmp_path: Path) -> None:
    """Without the feed the intervals answer, and it is said that nothing was kept whole; the page is still there: exit status 0."""
    with sqlite3.connect(database_of(stack / "collector")) as database:
        rows = database.execute("SELECT * FROM feed").fetchall()
        database.execute("DELETE FROM feed")
    try:
        status, out = run(stack, *SPAN, "--json")
    finally:
        with sqlite3.connect(database_of(stack / "collector")) as database:
            database.executemany("INSERT INTO feed VALUES (?, ?, ?)", rows)
    found = json.loads(out)
    assert (status, found["share_of_entries_kept_whole"]) == (0, 0.0)
    (current,) = found["policies"]
    assert (len(current["pages"]), current["missed"], current["false_pages"]) == (1, [], [])


def test_wrong_use_is_said(stack: Path, tmp_path: Path) -> None:
    """No data, a time that is none, a key that is unknown: exit status 2."""
    assert run(stack, "--from", "2h")[0] == 2
    assert run(stack, "--from", "yesterday")[0] == 2
    assert run(stack, "--from", "1h", "--to", "2h")[0] == 2
    (stack / "bad.yaml").write_text("objektives: {}\n")
    assert run(stack, *SPAN, "--policy", str(stack / "bad.yaml"))[0] == 2


def test_a_policy_file_changes_only_what_it_says() -> None:
    """Keys are merged into the configuration of today, with or without the section's name."""
    today = CfaConfig.model_validate({"objectives": {"default": 0.999, "tables": {"orders": 0.9999}}, "region": "eu"})
    for text in ("objectives: {tables: {orders: 0.99}}", "cfa: {objectives: {tables: {orders: 0.99}}}"):
        found = policy_of(today, text)
        assert (found.region, found.objectives.default, found.objectives.tables) == ("eu", 0.999, {"orders": 0.99})
    with pytest.raises(ValueError, match="mapping"):
        policy_of(today, "- 1")
    with pytest.raises(ValueError, match="not YAML"):
        policy_of(today, "{")


async def test_entries_over_http_are_those_of_the_collector(tmp_path: Path) -> None:
    """Of a running collector: what the feed has comes whole, what lies before it comes out of the intervals, all in order."""
    now = time.time()
    config = CollectorConfig(port=free_port(), data_dir=tmp_path)
    async with running(config) as client:
        await client.post(make_batch(1, at=now - 1500))
        await client.post(make_batch(2, at=now))
        cfa = CfaConfig(collector=client.base)
        reader = CollectorClient(client.base)
        source = HttpSource(client.base, cfa, client.session, reader)
        found = [one async for one in merged([source], now - 3600, now + 60)]
        await reader.close()
    kept = [entry for entry, is_whole in found if is_whole]
    assert [entry.readings[0].counts for entry in kept] == [make_batch(n, at=now).readings[0].counts for n in (1, 2)]
    made = [
        reading for entry, is_whole in found if not is_whole for reading in entry.readings if reading.at < now - 1100
    ]
    assert sum(sum(reading.counts.values()) for reading in made) == 2  # its failure came late: the feed has it, whole
    assert [entry.received_at for entry, _ in found] == sorted(entry.received_at for entry, _ in found)
