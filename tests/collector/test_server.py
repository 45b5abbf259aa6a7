"""The collector over HTTP: durable answers, polite refusals, a feed that wakes its readers."""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collector import housekeeping, schema, wire
from collector.config import CollectorConfig
from collector.ledger_file import LedgerError
from collector.observation import Outcome
from tests.collector.samples import Client, free_port, make_batch, make_health, running

Configure = Callable[..., CollectorConfig]


def metric(text: str, name: str) -> float:
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


async def test_a_batch_goes_in_once_and_comes_out_of_feed_and_ledger(client: Client) -> None:
    """POST, repeat, feed, intervals, failures: one story."""
    batch = make_batch(1, health=make_health(time.time()))
    assert await client.post(batch) == (200, {"status": "accepted"})
    assert await client.post(batch) == (200, {"status": "duplicate"})
    async with client.session.get(f"{client.base}/v1/feed?after=0") as answer:
        (entry,) = wire.decode_feed(await answer.read())
    assert (entry.cursor, entry.host, entry.readings, entry.health) == (1, batch.host, batch.readings, (batch.health,))
    (row,) = await client.rows()
    assert (row.version, row.counts, row.recused) == (0, {Outcome.SUCCESS: 2, Outcome.UNREACHABLE: 1}, False)
    _, failures = await client.get(f"/v1/failures?start=0&end={time.time() + 5}&limit=5")
    assert failures[0]["observation"]["reason"] == "connect_refused"
    assert (await client.get("/ready")) == (200, {"ready": True})


async def test_what_was_acknowledged_survives_a_restart(config_of: Configure) -> None:
    """A second life knows the first one's batches, cursors and counts."""
    config = config_of()
    async with running(config) as client:
        await client.post(make_batch(1))
    async with running(config) as client:
        assert (await client.post(make_batch(1)))[1] == {"status": "duplicate"}
        assert (await client.post(make_batch(2)))[1] == {"status": "accepted"}
        _, entries = await client.get("/v1/feed?after=1")
        assert [e["cursor"] for e in entries] == [2]
        assert sum(r.counts[Outcome.SUCCESS] for r in await client.rows()) == 4


async def test_a_waiting_reader_is_woken_at_once(client: Client) -> None:
    """From POST to the reader that waits it takes less than 20 ms, fsync included."""
    await client.post(make_batch(1))
    seconds = []
    for n in range(2, 23):
        waiting = asyncio.create_task(client.get(f"/v1/feed?after={n - 1}&wait=5"))
        await asyncio.sleep(0.01)
        begin = time.perf_counter()
        posted = asyncio.create_task(client.post(make_batch(n)))
        _, entries = await waiting
        seconds.append(time.perf_counter() - begin)
        assert [e["cursor"] for e in entries] == [n]
        await posted
    assert sorted(seconds)[len(seconds) // 4] < 0.02  # the quarter that other work on this machine disturbed least


async def test_the_feed_can_be_read_in_pieces(client: Client) -> None:
    """``limit`` bounds an answer, ``after`` goes on, an empty feed answers at the end of the wait."""
    for n in range(1, 6):
        await client.post(make_batch(n))
    assert [e["cursor"] for e in (await client.get("/v1/feed?after=0&limit=2"))[1]] == [1, 2]
    assert [e["cursor"] for e in (await client.get("/v1/feed?after=2&limit=9"))[1]] == [3, 4, 5]
    assert await client.get("/v1/feed?after=5&wait=0.05") == (200, [])


async def test_a_reader_from_another_ledger_is_told(client: Client) -> None:
    """A cursor that this feed has not reached is gone, with the oldest that can be had."""
    await client.post(make_batch(1))
    status, answer = await client.get("/v1/feed?after=99")
    assert (status, answer["error"], answer["oldest"]) == (410, "gone", 1)


async def test_a_reader_that_was_away_too_long_is_told(config_of: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries past their retention are gone: 410 names the oldest that is kept, and reading goes on from there."""
    monkeypatch.setattr(housekeeping, "ROUND_SECONDS", 0.05)
    async with running(config_of(feed_retention_seconds=0.1)) as client:
        for n in (1, 2, 3):
            await client.post(make_batch(n))
        async with asyncio.timeout(5):
            while (await client.get("/v1/feed?after=0"))[0] != 410:
                await asyncio.sleep(0.02)
        await client.post(make_batch(4))
        _, answer = await client.get("/v1/feed?after=0")
        status, entries = await client.get(f"/v1/feed?after={answer['oldest'] - 1}")
        assert (status, entries[-1]["cursor"]) == (200, 4)


async def test_refusals_are_typed_and_counted(client: Client) -> None:
    """Each refusal has its status, its word, a text that names the field, and a count; nothing enters the ledger."""
    good = wire.encode(make_batch(1))
    cases: list[tuple[bytes, int, str, str]] = [
        (b"{", 400, "malformed", "body"),
        (good.replace(b'"boot"', b'"boots"'), 400, "unknown_field", "boots"),
        (good.replace(b'"success":2', b'"success":-2'), 422, "negative_count", "counts"),
        (wire.encode(make_batch(1, at=time.time() + 400)), 422, "from_the_future", "$.sent_at"),
        (wire.encode(make_batch(1, at=time.time() - 8 * 86400)), 422, "too_old", "$.sent_at"),
    ]
    for body, status, word, named in cases:
        got, answer = await client.post(body)
        assert (got, answer["error"]) == (status, word)
        assert named in answer["detail"]
    _, text = await client.get("/metrics")
    assert metric(text, 'collector_refused_total{reason="too_old"}') == 1
    assert metric(text, 'collector_batches_total{result="refused"}') == len(cases)
    assert await client.rows() == []


async def test_ten_megabytes_are_refused_without_being_read(client: Client) -> None:
    """413 comes when the length is told, and in a stream as soon as the limit is passed; the next batch is welcome."""
    status, answer = await client.post(b" " * 10_000_000)
    assert (status, answer["error"]) == (413, "oversized")

    async def endless() -> Any:
        for _ in range(200):
            yield b" " * 65536

    async with client.session.post(f"{client.base}/v1/batches", data=endless()) as streamed:
        assert streamed.status == 413
    assert (await client.post(make_batch(1)))[0] == 200


async def test_a_large_upload_that_expects_to_continue_is_not_invited(client: Client) -> None:
    """The refusal comes before the body is sent."""
    reader, writer = await asyncio.open_connection(client.config.host, client.config.port)
    writer.write(b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\nExpect: 100-continue\r\n\r\n")
    line = await asyncio.wait_for(reader.readline(), 2)
    assert b" 413 " in line
    writer.close()


async def test_compressed_bodies_are_refused(client: Client) -> None:
    """Nothing is inflated on a stranger's word."""
    status, answer = await client.post(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert (status, answer["error"]) == (415, "unsupported_encoding")


async def test_a_body_that_does_not_come_is_given_up(config_of: Configure) -> None:
    """A sender that stops in the middle gets 408 and does not hold a connection for ever."""
    async with running(config_of(request_seconds=0.2)) as client:
        reader, writer = await asyncio.open_connection(client.config.host, client.config.port)
        writer.write(b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 2)
        writer.close()


async def test_half_a_request_does_not_hold_a_connection(config_of: Configure) -> None:
    """Who connects and does not get through its headers in time is disconnected."""
    async with running(config_of(request_seconds=0.1)) as client:
        reader, writer = await asyncio.open_connection(client.config.host, client.config.port)
        writer.write(b"GET /ready HTTP/1.1\r\nHost:")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert metric((await client.get("/metrics"))[1], 'collector_connections_refused_total{reason="idle"}') == 1


async def test_one_connection_too_many_is_turned_away(config_of: Configure) -> None:
    """The limit holds, with 503, and lets others in again when there is room."""
    async with running(config_of(connections_max=2)) as client:
        held = [await asyncio.open_connection(client.config.host, client.config.port) for _ in range(2)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection(client.config.host, client.config.port)
        answer = await asyncio.wait_for(reader.read(), 2)
        assert b" 503 " in answer
        assert len(answer.split(b"\r\n\r\n")[1]) == 69
        for _, one in [*held, (reader, writer)]:
            one.close()
        await asyncio.sleep(0.05)
        assert (await client.get("/ready"))[0] == 200


async def test_the_token_is_needed_where_one_is_configured(config_of: Configure, tmp_path: Path) -> None:
    """Readers and writers show it; readiness and metrics need none."""
    (tmp_path / "token").write_text("s3cret\n")
    async with running(config_of(token_file=tmp_path / "token")) as client:
        assert (await client.post(make_batch(1)))[0] == 401
        assert (await client.post(make_batch(1), headers={"Authorization": "Bearer wrong"}))[0] == 401
        assert (await client.get("/v1/feed"))[0] == 401
        assert (await client.post(make_batch(1), headers={"Authorization": "Bearer s3cret"}))[0] == 200
        assert (await client.get("/ready"))[0] == 200
        assert metric((await client.get("/metrics"))[1], 'collector_refused_total{reason="unauthorized"}') == 2


async def test_unknown_pages_and_wrong_parameters_are_named(client: Client) -> None:
    """Errors are JSON with a word and a text."""
    for path, status, word in [
        ("/nowhere", 404, "not_found"),
        ("/v1/batches", 405, "method_not_allowed"),
        ("/v1/feed?after=x", 400, "bad_query"),
        ("/v1/intervals?start=1", 400, "bad_query"),
    ]:
        got, answer = await client.get(path)
        assert (got, answer["error"]) == (status, word)
        assert answer["detail"]


async def test_many_senders_at_once_share_commits(client: Client) -> None:
    """Two hundred concurrent batches are all accepted once, in far fewer transactions."""
    batches = [make_batch(n, host=f"az{z}-canary-1") for z in (1, 2, 3, 4) for n in range(1, 51)]
    answers = await asyncio.gather(*(client.post(b) for b in batches))
    assert {a[1]["status"] for a in answers} == {"accepted"}
    _, text = await client.get("/metrics")
    assert metric(text, "collector_commit_batches_sum") == 200
    assert metric(text, "collector_commit_batches_count") < 100
    _, entries = await client.get("/v1/feed?after=0&limit=1000")
    assert [e["cursor"] for e in entries] == list(range(1, 201))
    times = [e["received_at"] for e in entries]
    assert times == sorted(times)


async def test_a_full_disk_is_told_and_recovered_from(
    config_of: Configure, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """503 while nothing can be kept, one line in the log, and service again by itself when there is room."""
    monkeypatch.setattr(housekeeping, "ROUND_SECONDS", 0.05)
    config = config_of()
    async with running(config):
        pass
    with monkeypatch.context() as full:
        full.setattr(schema, "PRAGMAS", (*schema.PRAGMAS, "PRAGMA max_page_count = 25"))
        async with running(config) as client:
            big = make_batch(1, readings=make_batch().readings * 400)
            status, answer = await client.post(big)
            assert (status, answer["error"]) == (503, "storage_unavailable")
            await client.post(big)
            assert (await client.get("/ready"))[0] == 503
            full.setattr(schema, "PRAGMAS", schema.PRAGMAS[:-1])
            for _ in range(100):
                if (await client.get("/ready"))[0] == 200:
                    break
                await asyncio.sleep(0.02)
            assert await client.post(big) == (200, {"status": "accepted"})
            assert len((await client.get("/v1/feed"))[1]) == 1
    assert caplog.text.count("ledger not writable") == 1


async def test_a_taken_address_or_folder_is_an_error_at_once(config_of: Configure) -> None:
    """A second collector does not start half."""
    config = config_of()
    async with running(config):
        with pytest.raises(LedgerError):
            async with running(config):
                pass
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        with pytest.raises(OSError, match="address already in use"):
            async with running(config_of(port=taken.getsockname()[1])):
                pass


async def test_a_reader_that_hangs_up_frees_its_connection(client: Client) -> None:
    """A long poll ends with its reader, and stopping the collector does not wait for one."""
    with pytest.raises(TimeoutError):
        await client.get("/v1/feed?after=0&wait=50", timeout=aiohttp.ClientTimeout(total=0.1))
    waiting = asyncio.create_task(client.get("/v1/feed?after=0&wait=50"))
    await asyncio.sleep(0.05)
    waiting.cancel()
