"""The columnar lane over a real socket: refusals with their reasons and counts, a feed in arrays, sealing beside it."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from collector.bulk import lane
from collector.bulk.books import OPEN_INTERVALS_MAX
from collector.bulk.refusals import BulkRefusal, BulkRefusedError
from collector.column_batch import MAX_BODY_BYTES, Counts, Increments, Names, decode, decode_told, encode, sections_of
from collector.config import CollectorConfig
from collector.interval import interval_of
from collector.ledger_file import LedgerError
from tests.collector.bulk.frames import counts, expected, names, totals
from tests.collector.samples import Client, running

Configure = Callable[..., CollectorConfig]
HOST = "az1-a"


async def post(client: Client, body: bytes, **options: Any) -> tuple[int, Any]:
    async with client.session.post(f"{client.base}/v1/counters", data=body, **options) as answer:
        return answer.status, await answer.json()


async def frames(client: Client, path: str) -> tuple[int, bytes]:
    async with client.session.get(f"{client.base}{path}") as answer:
        return answer.status, await answer.read()


async def metric(client: Client, name: str) -> float:
    _, text = await client.get("/metrics")
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


def now() -> int:
    return int(time.time())


async def test_counters_go_in_once_and_come_out_of_feed_and_intervals(client: Client) -> None:
    """Unknown, registered, accepted, duplicate; then feed, dictionary, intervals and senders: one story."""
    at = now()
    body = counts(HOST, 1, at, {"success": {0: 5, 3: 7}, "timeout": {3: 1}})
    status, told = await post(client, body)
    assert (status, told["error"], told["unknown"], told["ranges"]) == (409, "unknown_series", 2, [[0, 0], [3, 3]])
    assert await post(client, names(HOST, range(4))) == (200, {"status": "registered", "added": 4})
    assert await post(client, names(HOST, range(4))) == (200, {"status": "registered", "added": 0})
    assert await post(client, body) == (200, {"status": "accepted"})
    assert await post(client, body) == (200, {"status": "duplicate"})
    _, data = await frames(client, "/v1/counters/feed?after=0")
    ((entry, increments),) = decode_told(data)
    assert (entry.cursor, entry.host, entry.sequence, entry.at) == (1, HOST, 1, at)
    assert [(i.place, i.numbers.tolist(), i.values.tolist()) for i in increments] == [
        ("success", [0, 3], [5, 7]),
        ("timeout", [3], [1]),
    ]
    _, page = await frames(client, "/v1/counters/series?first=2")
    frame = decode(page)
    assert isinstance(frame.header, Names)
    assert (frame.numbers.tolist(), frame.columns[0].texts) == ([2, 3], ("orders-1",))
    _, rows = await client.get(f"/v1/counters/intervals?start={at - 300}&end={at + 1}&table=orders-1")
    assert [(row["series"]["operation"], row["counts"]) for row in rows] == [
        ("strong_read", {"success": 7, "timeout": 1})
    ]
    _, senders = await client.get("/v1/counters/senders")
    assert [(s["host"], s["newest"], s["missing"]) for s in senders] == [(HOST, 1, 0)]


def _wide(value: int) -> bytes:
    increments = [Increments("success", np.array([1], np.uint32), np.array([value], np.uint64))]
    sections, arrays = sections_of(increments)
    at = now()
    return encode(Counts(host=HOST, zone="az1", boot="b1", sequence=9, sent_at=at, at=at, sections=sections), arrays)


def _unordered() -> bytes:
    increments = [Increments("success", np.array([2, 1], np.uint32), np.array([1, 1], np.uint8))]
    sections, arrays = sections_of(increments)
    at = now()
    return encode(Counts(host=HOST, zone="az1", boot="b1", sequence=9, sent_at=at, at=at, sections=sections), arrays)


REFUSALS: dict[BulkRefusal, tuple[int, Callable[[], bytes]]] = {
    BulkRefusal.MALFORMED: (400, lambda: counts(HOST, 9, now(), {"success": {1: 1}})[:-8]),
    BulkRefusal.UNKNOWN_SERIES: (409, lambda: counts(HOST, 9, now(), {"success": {77: 1}})),
    BulkRefusal.COUNT_TOO_LARGE: (422, lambda: _wide(2**64 - 1)),
    BulkRefusal.NOT_ASCENDING: (422, _unordered),
    BulkRefusal.SEQUENCE_NOT_POSITIVE: (422, lambda: counts(HOST, 0, now(), {"success": {1: 1}})),
    BulkRefusal.FROM_THE_FUTURE: (422, lambda: counts(HOST, 9, now() + 1000, {"success": {1: 1}})),
    BulkRefusal.TOO_OLD: (422, lambda: counts(HOST, 9, now() - 8 * 86400, {"success": {1: 1}})),
    BulkRefusal.SERIES_CONFLICT: (422, lambda: names(HOST, [1], shift=5)),
    BulkRefusal.UNKNOWN_DIMENSION: (422, lambda: names(HOST, [9], colour="red")),
    BulkRefusal.TEXT_LENGTH: (422, lambda: names(HOST, [9], endpoint="x" * 300)),
    BulkRefusal.NOT_PRINTABLE: (422, lambda: names(HOST, [9], endpoint="x\n")),
    BulkRefusal.TOO_MANY_SERIES: (422, lambda: names(HOST, range(100, 200))),
}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_each_refusal_has_a_reason_a_count_and_no_effect(config_of: Configure, reason: BulkRefusal) -> None:
    """What is not taken is answered with its reason, counted under it, and changes nothing."""
    status, body = REFUSALS[reason]
    async with running(config_of(counters_series_max=50)) as client:
        await post(client, names(HOST, range(4)))
        await post(client, counts(HOST, 1, now(), {"success": {0: 1}}))
        got, told = await post(client, body())
        assert (got, told["error"]) == (status, reason.value)
        assert await metric(client, f'collector_counters_refused_total{{reason="{reason.value}"}}') == 1
        assert await metric(client, "collector_counters_series") == 4
        assert await metric(client, "collector_counters_samples_total") == 1


async def test_a_body_too_large_is_refused_before_it_is_read(client: Client) -> None:
    """413, counted, by its announced length."""
    status, told = await post(client, bytes(MAX_BODY_BYTES + 1))
    assert (status, told["error"]) == (413, "oversized")
    assert await metric(client, 'collector_counters_refused_total{reason="oversized"}') == 1


async def test_nobody_without_the_token_writes_or_reads(config_of: Configure, tmp_path: Path) -> None:
    """401 for counters, feed and intervals; with the token all is well."""
    (tmp_path / "token").write_text("secret")
    async with running(config_of(token_file=tmp_path / "token")) as client:
        assert (await post(client, names(HOST, range(4))))[0] == 401
        for page in ("feed", "series", "intervals?start=0&end=1&table=x", "senders"):
            assert (await client.get(f"/v1/counters/{page}"))[0] == 401
        shown = {"Authorization": "Bearer secret"}
        assert (await post(client, names(HOST, range(4)), headers=shown))[0] == 200


async def test_unknown_numbers_are_told_in_pieces(client: Client) -> None:
    """However many there are, an answer names a hundred ranges: the next answer names the next."""
    status, told = await post(client, counts(HOST, 1, now(), {"success": dict.fromkeys(range(0, 20_000, 2), 1)}))
    assert (status, told["unknown"], len(told["ranges"]), told["ranges"][-1]) == (409, 10_000, 100, [198, 198])


async def test_what_cannot_be_asked_is_said(client: Client) -> None:
    """No table, more than a day, an unknown parameter: 400 with the parameter's name."""
    for query, name in (
        ("start=0&end=1", "table"),
        ("start=0&end=90000&table=x", "end"),
        ("start=0&end=1&table=x&by=z", "by"),
    ):
        status, told = await client.get(f"/v1/counters/intervals?{query}")
        assert (status, told["error"], told["detail"].split(":")[0]) == (400, "bad_query", name)


async def test_a_hole_in_the_numbers_is_shown(client: Client) -> None:
    """A batch that never came, and increments that its sender gave up, are told by the sender's page and the metrics."""
    await post(client, names(HOST, range(4)))
    await post(client, counts(HOST, 1, now(), {"success": {0: 1}}))
    await post(client, counts(HOST, 3, now(), {"success": {0: 1}}, dropped=17))
    _, (sender,) = await client.get("/v1/counters/senders")
    assert (sender["missing"], sender["seen"], sender["dropped"]) == (1, [[1, 1], [3, 3]], 17)
    assert await metric(client, "collector_counters_missing_batches") == 1


async def test_a_waiting_reader_is_woken_and_a_foreign_cursor_is_gone(client: Client) -> None:
    """The feed waits for the next entry; a cursor that was never reached is 410 with the oldest that can be had."""
    await post(client, names(HOST, range(4)))
    waiting = asyncio.create_task(frames(client, "/v1/counters/feed?after=0&wait=10"))
    await asyncio.sleep(0.05)
    await post(client, counts(HOST, 1, now(), {"success": {0: 1}}))
    async with asyncio.timeout(5):
        _, data = await waiting
    assert [entry.cursor for entry, _ in decode_told(data)] == [1]
    assert await frames(client, "/v1/counters/feed?after=1") == (204, b"")
    status, told = await client.get("/v1/counters/feed?after=99")
    assert (status, told["oldest"]) == (410, 1)


async def test_an_interval_that_is_over_is_sealed_beside_the_requests(
    config_of: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed within seconds as version 1, then late counts as version 2; a restart tells the same."""
    monkeypatch.setattr(lane, "RESEAL_SECONDS", 0.0)
    config = config_of(seal_after_seconds=0)
    start = interval_of(time.time()) - 600
    path = f"/v1/counters/intervals?start={start}&end={start + 1}&table=orders-0"

    async def version(client: Client, wanted: int) -> Any:
        async with asyncio.timeout(20):
            while True:
                _, rows = await client.get(path)
                if rows[0]["version"] == wanted:
                    return rows[0]["counts"]
                await asyncio.sleep(0.1)

    async with running(config) as client:
        await post(client, names(HOST, range(4)))
        await post(client, counts(HOST, 1, start + 7, {"success": {0: 5}}))
        assert await version(client, 1) == {"success": 5}
    async with running(config) as client:
        assert (await post(client, counts(HOST, 1, start + 7, {"success": {0: 5}})))[1] == {"status": "duplicate"}
        await post(client, counts(HOST, 2, start + 8, {"success": {0: 1}}))
        assert await version(client, 2) == {"success": 6}
        _, data = await frames(client, "/v1/counters/feed?after=0")
        assert [entry.cursor for entry, _ in decode_told(data)] == [1, 2]


async def test_a_full_disk_is_told_and_nothing_of_it_counts(client: Client) -> None:
    """503 while the disk is full, with a metric; the same batch is taken afterwards, once."""
    await post(client, names(HOST, range(4)))
    body = counts(HOST, 1, now(), {"success": {0: 5}})
    with patch("collector.bulk.log.os.fdatasync", side_effect=OSError(28, "no space")):
        for _ in range(2):
            status, told = await post(client, body)
            assert (status, told["error"]) == (503, "storage_unavailable")
        assert await metric(client, "collector_counters_writable") == 0
    assert await post(client, body) == (200, {"status": "accepted"})
    assert await post(client, body) == (200, {"status": "duplicate"})
    assert await metric(client, "collector_counters_writable") == 1
    _, rows = await client.get(f"/v1/counters/intervals?start={now() - 600}&end={now() + 1}&table=orders-0")
    assert [row["counts"] for row in rows] == [{"success": 5}]


async def test_what_could_not_be_sealed_stays_open_and_is_sealed_later(config_of: Configure) -> None:
    """Sealing fails, more counts come, sealing works: one version with everything."""
    settings = lane.LaneSettings(seal_after_seconds=0)
    one = await lane.Lane.open(config_of().data_dir, settings)
    at = now()
    start = interval_of(at)
    await one.submit(names(HOST, range(4)))
    await one.submit(counts(HOST, 1, at, {"success": {0: 5}}))
    with (
        patch.object(one.store.sealed, "write", side_effect=OSError(28, "no space")),
        pytest.raises(OSError, match="no"),
    ):
        await one.round(start + 301)
    await one.submit(counts(HOST, 2, at, {"success": {0: 1}}))
    await one.round(start + 310)
    sealed = one.store.sealed.newest[start]
    assert (sealed.version, sealed.through) == (1, 2)
    assert totals(one.store) == expected(HOST, at, {"success": {0: 6}})
    await one.close()


async def test_late_counts_of_many_old_intervals_wait_for_room(config_of: Configure) -> None:
    """Only so many intervals are open at a time: more are answered 503 until a round has sealed some."""
    one = await lane.Lane.open(config_of().data_dir, lane.LaneSettings(seal_after_seconds=0))
    at = interval_of(now())
    await one.submit(names(HOST, range(4)))
    for n in range(OPEN_INTERVALS_MAX):
        await one.submit(counts(HOST, n + 1, at - 300 * n, {"success": {0: 1}}))
    late = counts(HOST, 99, at - 300 * 50, {"success": {0: 1}})
    with pytest.raises(BulkRefusedError, match="too_many_intervals"):
        await one.submit(late)
    await one.round(at + 10)
    await one.submit(late)
    assert sum(totals(one.store).values()) == OPEN_INTERVALS_MAX + 1
    await one.close()


async def test_counters_that_are_damaged_stop_the_start_with_their_file(config_of: Configure) -> None:
    """A collector does not start as if its counters were whole."""
    config = config_of()
    folder = config.data_dir / "counters"
    folder.mkdir(parents=True)
    (folder / "state-0000000001.bin").write_bytes(b"nonsense")
    with pytest.raises(LedgerError, match=r"state-0000000001\.bin"):
        async with running(config):
            pass


async def test_a_collector_without_counters_makes_no_folder(config_of: Configure) -> None:
    """Who sends no counters pays nothing for them."""
    config = config_of()
    async with running(config) as client:
        await client.get("/metrics")
    assert not (config.data_dir / "counters").exists()
