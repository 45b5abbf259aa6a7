"""The software version travels in the feed and is no dimension of the ledger."""

from dataclasses import replace
from pathlib import Path

import msgspec

from collector.config import ScrapeTarget
from collector.counters import has_restarted, series_of
from collector.exposition import read
from collector.ledger import Ledger
from collector.merge import collect
from collector.series import FeedEntry, Reading, Series
from tests.collector.samples import make_batch, make_series

ROUTER = ScrapeTarget(name="az1-router-1", zone="az1", role="router", url="http://127.0.0.1:1/metrics")
SAMPLE = 'store_requests_total{table="t",operation="write",endpoint="standard",outcome="success"}'


def page(version: str, start: float) -> str:
    """What a router shows."""
    return f'store_build_info{{version="{version}"}} 1\nprocess_start_time_seconds {start}\n{SAMPLE} 7\n'


def test_versions_of_a_series_are_one_row_of_the_ledger(tmp_path: Path) -> None:
    """Counts of two versions are added up at rest; the feed keeps them apart."""
    old, new = (
        Reading(series=replace(make_series(), software_version=v), at=1_764_000_000, counts={"success": n})  # type: ignore[dict-item]
        for v, n in (("2.0.0", 3), ("2.1.0", 4))
    )
    rows = collect((old, new), recused=False)
    assert [key.series for key in rows] == [make_series()]
    assert [tally[0] for tally in rows.values()] == [7]
    ledger = Ledger(tmp_path)
    ledger.apply([make_batch(readings=(old, new))], at=1_764_000_001.0)
    assert [series for _, series in ledger.names.all()] == [make_series()]
    ledger.close()


def test_what_was_written_before_there_were_versions_is_read() -> None:
    """Series and entries without the new fields have none."""
    told = msgspec.json.encode({"vantage": "canary", "host": "h", "zone": "az1", "operation": "write", "table": "t"})
    assert msgspec.json.decode(told, type=Series).software_version is None
    entry = msgspec.json.encode({"cursor": 1, "received_at": 1.0, "host": "h", "zone": "az1", "vantage": "canary"})
    assert msgspec.json.decode(entry, type=FeedEntry).fates == ()


def test_a_routers_page_says_what_it_runs_and_another_version_is_no_restart() -> None:
    """The start time tells a restart; a build that changes under the same start has lost no counter."""
    before, after = (read(page(version, 5.0), "store_requests_total") for version in ("2.0.0", "2.1.0"))
    assert (before.version, after.version) == ("2.0.0", "2.1.0")
    assert not has_restarted(before, after)
    assert has_restarted(before, read(page("2.1.0", 6.0), "store_requests_total"))
    meaning = series_of(SAMPLE, ROUTER, after.version)
    assert meaning is not None
    assert meaning[0].software_version == "2.1.0"
