"""Batches sent while a receiver of remote write is away, and the comparison of what it holds with the feed and the ledger."""

import asyncio
import time
from collections import defaultdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from collector.config import CollectorConfig
from collector.observation import Outcome
from collector.remote_write.config import RemoteWriteConfig
from collector.series import FeedEntry, Reading
from tests.collector.receivers import Held, RealReceiver
from tests.collector.samples import Client, free_port, make_batch, make_failure, make_series, running

STEP_SECONDS = 0.5
ATTEMPTS = 'canary_probe_attempts_total{vantage="canary"}'


def collector_config(folder: Path, *receivers: RemoteWriteConfig, port: int | None = None) -> CollectorConfig:
    return CollectorConfig(port=port or free_port(), data_dir=folder / "collector", remote_write=receivers)


def receiver_config(url: str, **changes: Any) -> RemoteWriteConfig:
    return RemoteWriteConfig.model_validate(
        {"name": "peer", "url": url, "step_seconds": STEP_SECONDS, "longest_wait_seconds": 1.0, **changes}
    )


async def send_batches(client: Client, *, seconds: float, first: int = 1) -> int:
    """Two hosts, a batch each ten times a second; the next free sequence number."""
    ends, sequence = time.monotonic() + seconds, first
    while time.monotonic() < ends:
        for host in ("az1-canary-1", "az2-canary-1"):
            now = time.time()
            bad = int(sequence % 3 == 0)
            reading = Reading(
                series=make_series(host, partition=f"p-{sequence % 5}"),
                at=int(now),
                counts={Outcome.SUCCESS: sequence % 7, **({Outcome.TIMEOUT: 1} if bad else {})},
                latency=(sequence % 7, *(0,) * 12),
                failures=(make_failure(now, outcome=Outcome.TIMEOUT, reason="deadline"),) * bad,
            )
            status, _ = await client.post(make_batch(sequence, host=host, readings=(reading,)))
            assert status == 200
        sequence += 1
        await asyncio.sleep(0.1)
    return sequence


async def until_told(client: Client, *, seconds: float = 30, newest: int | None = None) -> None:
    """Until the receiver has taken all that is in the feed now."""
    newest = newest or (await feed(client))[-1].cursor
    async with asyncio.timeout(seconds):
        while True:
            text = await page(client)
            known = figure(text, "collector_feed_newest_cursor") >= newest  # an answer may be a moment ahead of it
            if known and figure(text, "collector_remote_write_behind_entries") == 0:
                return
            await asyncio.sleep(0.1)


async def page(client: Client) -> str:
    _, text = await client.get("/metrics")
    return str(text)


def figure(text: str, name: str) -> float:
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


async def feed(client: Client) -> list[FeedEntry]:
    found: list[FeedEntry] = []
    while True:
        after = found[-1].cursor if found else 0
        async with client.session.get(f"{client.base}/v1/feed?after={after}&limit=5000") as answer:
            entries = msgspec.json.decode(await answer.read(), type=list[FeedEntry])
        if not entries:
            return found
        found += entries


def check_held(held: Held, entries: list[FeedEntry]) -> int:
    """Every sample that there should be is there, once, with the right value; how many there are."""
    grown: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for entry in entries:
        for reading in entry.readings:
            for outcome, count in reading.counts.items():
                if count:
                    grown[reading.series.zone, outcome.value].append((entry.received_at, count))
    named = {(dict(labels)["zone"], dict(labels)["outcome"]): points for labels, points in held.items()}
    assert set(named) == set(grown)
    for key, points in named.items():
        _check_series(points, grown[key])
    return sum(map(len, named.values()))


def _check_series(points: list[tuple[int, float]], grown: list[tuple[float, int]]) -> None:
    sums = [0, *accumulate(count for _, count in grown)]
    step = round(STEP_SECONDS * 1000)
    times = [at for at, _ in points]
    assert len(set(times)) == len(times), "no sample twice"
    assert points[0][1] == 0, "a series begins with a zero"
    assert points[-1][1] == sums[-1], f"the end is what the feed adds up to: {points[-4:]}, {grown[-8:]}, {sums[-8:]}"
    told = [value for _, value in points]
    assert told == sorted(told)
    due = set[int]()
    for at_ms, value in points:
        assert at_ms % step == 0
        assert value in sums
        before = sum(count for at, count in grown if at * 1000 <= at_ms - step)
        until = sum(count for at, count in grown if at * 1000 <= at_ms)
        assert before <= value <= until, f"{value} at {at_ms}: the feed says {before} to {until}"
    for at, _ in grown:
        due.add(int(-(-at * 1000 // step) * step))
    held = set(times)
    missing = [at for at in due if at not in held and at + step not in held]
    assert missing == [], "no step without its sample"


async def outage(receiver: RealReceiver, folder: Path, *, before: float, away: float, after: float) -> int:
    """Send, kill the receiver, go on sending, start it again; how many samples it holds at the end, all of them checked."""
    config = collector_config(folder, receiver_config(receiver.url, labels={"region": "local"}))
    async with running(config) as client:
        following = await send_batches(client, seconds=before)
        await receiver.stop()
        following = await send_batches(client, seconds=away, first=following)
        assert figure(await page(client), "collector_remote_write_behind_entries") > 0
        await receiver.start()
        await send_batches(client, seconds=after, first=following)
        await until_told(client)
        entries = await feed(client)
        text = await page(client)
        assert figure(text, 'collector_remote_write_samples_total{receiver="peer",result="refused"}') == 0
        samples = check_held(await receiver.held(ATTEMPTS, round(before + away + after) + 60), entries)
        await _is_the_ledger(client, await receiver.held(ATTEMPTS, 3600))
    return samples


async def _is_the_ledger(client: Client, held: Held) -> None:
    """The last values are the ledger's counts."""
    counts: dict[tuple[str, str], float] = defaultdict(float)
    for row in await client.rows():
        for outcome, count in row.counts.items():
            if count:
                counts[row.series.zone, outcome.value] += count
    last = {(dict(labels)["zone"], dict(labels)["outcome"]): points[-1][1] for labels, points in held.items()}
    assert last == counts
