"""Remote write, sample by sample: frames, answers, restarts, gaps."""

import asyncio
import base64
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collector.remote_write import position
from collector.remote_write.config import RemoteWriteConfig
from collector.remote_write.frames import Frame, Heard, plan
from collector.remote_write.verdict import Verdict, verdict, wait_seconds
from tests.collector.outage import (
    check_held,
    collector_config,
    feed,
    figure,
    page,
    receiver_config,
    send_batches,
    until_told,
)
from tests.collector.receivers import FakeReceiver, Held, Taken, fake
from tests.collector.samples import make_batch, running

ATTEMPTS = "canary_probe_attempts_total"


def attempts(held: Held) -> Held:
    return {labels: points for labels, points in held.items() if dict(labels)["__name__"] == ATTEMPTS}


async def test_a_request_is_what_the_protocol_asks_for(tmp_path: Path) -> None:
    """Headers, snappy blocks, sorted labels, times in order, a zero before the first value, buckets."""
    async with fake() as receiver:
        config = collector_config(tmp_path, receiver_config(receiver.url, labels={"region": "eu", "zone": "ignored"}))
        async with running(config) as client:
            await client.post(make_batch(1))
            await until_told(client)
    headers = receiver.seen[0].headers
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["Content-Encoding"] == "snappy"
    assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    told = {
        (dict(labels)["__name__"], dict(labels).get("outcome") or dict(labels).get("le")): (dict(labels), points)
        for labels, points in receiver.held().items()
    }
    labels, points = told[ATTEMPTS, "success"]
    assert [value for _, value in points] == [0, 2]
    assert points[1][0] - points[0][0] == 500
    assert labels["region"] == "eu"
    assert labels["zone"] == "az1"
    assert (labels["endpoint"], labels["operation"], labels["connection"]) == ("standard", "write", "fresh")
    assert (labels["vantage"], labels["table"], labels["recused"]) == ("canary", "canary", "false")
    assert told["canary_probe_duration_seconds_bucket", "0.001"][1][-1][1] == 0
    assert told["canary_probe_duration_seconds_bucket", "0.002"][1][-1][1] == 1
    assert told["canary_probe_duration_seconds_bucket", "+Inf"][1][-1][1] == 2


async def test_what_can_be_tried_again_is_and_nothing_is_lost(tmp_path: Path) -> None:
    """503, 429, 401 and 500 delay; every sample arrives once."""
    trouble = ((503, {}), (429, {}), (401, {}), (500, {}))
    async with fake(*trouble) as receiver:
        config = collector_config(tmp_path, receiver_config(receiver.url))
        async with running(config) as client:
            await send_batches(client, seconds=1.5)
            await until_told(client)
            assert receiver.statuses[:4] == [503, 429, 401, 500]
            check_held(attempts(receiver.held()), await feed(client))
            text = await page(client)
    assert figure(text, 'collector_remote_write_requests_total{receiver="peer",result="again"}') == 4
    assert figure(text, "collector_remote_write_samples_total") == sum(map(len, receiver.held().values()))


async def test_retry_after_is_honoured(tmp_path: Path) -> None:
    """A receiver that asks for a second's rest has it."""
    async with fake((429, {"Retry-After": "1"})) as receiver:
        config = collector_config(tmp_path, receiver_config(receiver.url, shards=1, first_wait_seconds=0.01))
        async with running(config) as client:
            await client.post(make_batch(1))
            await until_told(client)
    assert receiver.at[1] - receiver.at[0] >= 1.0


async def test_what_is_refused_for_good_is_dropped_and_counted_and_costs_nothing_else(tmp_path: Path) -> None:
    """400 on the samples of one time: tried time by time, those are dropped, all others are held."""
    async with fake() as receiver:
        refused_at: list[int] = []

        def decide(taken: Taken) -> int:
            times = {at for points in taken.series.values() for at, _ in points}
            if not refused_at and len(times) > 2:
                refused_at.append(max(times))
            return 400 if refused_at and refused_at[0] in times else 204

        receiver.decide = decide
        receiver.answers = []
        async with running(collector_config(tmp_path, receiver_config(receiver.url, step_seconds=0.2))) as client:
            receiver.decide = lambda _taken: 503
            await send_batches(client, seconds=1.2)
            receiver.decide = decide
            await until_told(client)
            text = await page(client)
    refused = figure(text, 'collector_remote_write_samples_total{receiver="peer",result="refused"}')
    assert refused > 0
    held = {at for points in receiver.held().values() for at, _ in points}
    assert refused_at[0] not in held
    assert len(held) >= 4
    assert figure(text, 'collector_remote_write_samples_total{receiver="peer",result="sent"}') == sum(
        map(len, receiver.held().values())
    )


async def test_a_collector_that_starts_again_goes_on_where_it_was(tmp_path: Path) -> None:
    """Stopped with the receiver away, started again: totals go on growing, no sample is lost, none comes twice."""
    async with fake() as receiver:
        receiver_there = receiver_config(receiver.url)
        async with running(collector_config(tmp_path, receiver_there)) as client:
            following = await send_batches(client, seconds=1)
            receiver.decide = lambda _taken: 503
            following = await send_batches(client, seconds=1, first=following)
        receiver.decide = None
        async with running(collector_config(tmp_path, receiver_there)) as client:
            await send_batches(client, seconds=1, first=following)
            await until_told(client)
            check_held(attempts(receiver.held()), await feed(client))


async def test_a_death_between_sending_and_noting_repeats_the_same_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intention is on disk before the sending: what is sent again is byte for byte what was sent."""
    async with fake() as receiver:
        config = receiver_config(receiver.url, samples_per_request=100_000)

        def dies(*_arguments: object) -> None:
            raise sqlite3.OperationalError("the machine has lost its power")

        with monkeypatch.context() as patched:
            patched.setattr(position.PositionFile, "told", dies)
            async with running(collector_config(tmp_path, config)) as client:
                following = await send_batches(client, seconds=1)
        seen = len(receiver.seen)
        assert seen >= 1
        first = receiver.seen[0].series
        assert all(taken.series == first for taken in receiver.seen)
        receiver.decide = _prometheus_like(receiver)
        async with running(collector_config(tmp_path, config)) as client:
            await send_batches(client, seconds=1, first=following)
            await until_told(client)
            text = await page(client)
            held = {labels: sorted(set(points)) for labels, points in attempts(receiver.held()).items()}
            check_held(held, await feed(client))
    assert receiver.seen[seen].series == first
    assert figure(text, 'collector_remote_write_samples_total{receiver="peer",result="refused"}') == 0
    assert figure(text, 'collector_remote_write_samples_total{receiver="peer",result="repeated"}') > 0


def _prometheus_like(receiver: FakeReceiver) -> Callable[[Taken], int]:
    """400 for a request with any sample older than the newest that is held, as Prometheus answers."""

    def decide(taken: Taken) -> int:
        held = receiver.held()
        late = any(points[0][0] < held[labels][-1][0] for labels, points in taken.series.items() if held.get(labels))
        return 400 if late else 204

    return decide


async def test_what_the_feed_has_forgotten_is_a_counted_gap(tmp_path: Path) -> None:
    """A receiver that was away longer than the feed is kept misses entries, is told so, and goes on."""
    async with fake() as receiver:
        config = collector_config(tmp_path, receiver_config(receiver.url))
        async with running(config) as client:
            await client.post(make_batch(1))
            await until_told(client)
        without = config.model_copy(update={"remote_write": ()})
        async with running(without) as client:
            for n in range(2, 6):
                await client.post(make_batch(n))
        with sqlite3.connect(tmp_path / "collector" / "ledger.db") as database:
            database.execute("DELETE FROM feed WHERE cursor < 5")
        async with running(config) as client:
            await client.post(make_batch(6))
            await until_told(client, newest=6)
            text = await page(client)
    assert figure(text, "collector_remote_write_gaps_total") == 1
    assert figure(text, "collector_remote_write_gap_entries_total") == 3
    (points,) = (p for labels, p in attempts(receiver.held()).items() if dict(labels)["outcome"] == "success")
    assert points[-1][1] == 2 * 3  # batches 1, 5 and 6


async def test_each_receiver_is_by_itself(tmp_path: Path) -> None:
    """One that never answers well does not delay the other."""
    async with fake() as well, fake() as ill:
        ill.decide = lambda _taken: 503
        receivers = (receiver_config(well.url), receiver_config(ill.url, name="ill"))
        async with running(collector_config(tmp_path, *receivers)) as client:
            await send_batches(client, seconds=1)
            async with asyncio.timeout(10):
                while 'behind_entries{receiver="peer"} 0.0' not in await page(client):
                    await asyncio.sleep(0.1)
            check_held(attempts(well.held()), await feed(client))
            assert 'behind_entries{receiver="ill"} 0.0' not in await page(client)


async def test_credentials_come_from_files_and_may_change(tmp_path: Path) -> None:
    """A bearer token is read anew for each request; user name and password are sent as Basic."""
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text("old\n")
    password.write_text("secret\n")
    async with fake() as one, fake() as other:
        receivers = (
            receiver_config(one.url, bearer_token_file=token),
            receiver_config(other.url, name="basic", username="u", password_file=password),
        )
        one.decide = lambda taken: 204 if taken.headers["Authorization"] == "Bearer new" else 401
        async with running(collector_config(tmp_path, *receivers)) as client:
            await client.post(make_batch(1))
            while not one.seen:
                await asyncio.sleep(0.05)
            token.write_text("new\n")
            await until_told(client)
    assert one.seen[0].headers["Authorization"] == "Bearer old"
    assert other.seen[0].headers["Authorization"] == "Basic " + base64.b64encode(b"u:secret").decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x/"},
        {"url": "http://u:p@x/"},
        {"name": "Not a name"},
        {"labels": {"__name__": "x"}},
        {"username": "u"},
        {"username": "u", "password_file": "p", "bearer_token_file": "t"},
        {"client_certificate_file": "c"},
    ],
)
def test_a_receiver_that_cannot_work_is_refused_when_the_configuration_is_read(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RemoteWriteConfig.model_validate({"name": "peer", "url": "http://x/", **wrong})


@given(
    gaps=st.lists(st.integers(0, 3000), max_size=60),
    step=st.sampled_from([200, 1000, 5000]),
    lag=st.integers(0, 6000),
    more=st.booleans(),
)
def test_frames_cover_the_feed_in_order_and_leave_only_what_is_not_over(
    gaps: list[int], step: int, lag: int, *, more: bool
) -> None:
    """Cursors and times grow, times are on the grid and not before their entries, nothing complete is left behind."""
    at, heard = 1_000_000, []
    for n, gap in enumerate(gaps, start=1):
        at += gap
        heard.append(Heard(n, at))
    before = Frame(0, 0)
    frames = plan(before, heard, now_ms=at + lag, step_ms=step, more=more)
    for one, following in zip((before, *frames), frames, strict=False):
        assert following.at_ms > one.at_ms
        assert following.at_ms % step == 0
        assert following.at_ms <= at + lag
    told = [max([one.received_ms for one in heard if one.cursor <= frame.cursor], default=0) for frame in frames]
    assert all(frame.at_ms >= newest for frame, newest in zip(frames, told, strict=True))
    left = [one for one in heard if one.cursor > (frames[-1].cursor if frames else 0)]
    if not more:
        assert all(-(-one.received_ms // step) * step > at + lag - step for one in left)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, Verdict.SENT), (204, Verdict.SENT), (400, Verdict.REFUSED), (413, Verdict.REFUSED), (422, Verdict.REFUSED),
        (302, Verdict.REFUSED), (401, Verdict.AGAIN), (404, Verdict.AGAIN), (429, Verdict.AGAIN), (500, Verdict.AGAIN),
        (503, Verdict.AGAIN), (None, Verdict.AGAIN),
    ],
)  # fmt: skip
def test_every_answer_has_one_meaning(status: int | None, meaning: Verdict) -> None:
    assert verdict(status) is meaning


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_waiting_grows_to_its_limit_and_is_spread(attempt: int, jitter: float) -> None:
    """Between half and all of the exponential step, never more than the longest, never less than the receiver asks."""
    waits = wait_seconds(attempt, first=0.1, longest=10.0, jitter=jitter)
    assert min(10.0, 0.1 * 2.0 ** min(attempt - 1, 30)) / 2 <= waits <= 10.0
    assert wait_seconds(attempt, first=0.1, longest=10.0, jitter=jitter, retry_after="20") == 20
    assert wait_seconds(attempt, first=0.1, longest=10.0, jitter=jitter, retry_after="999999") == 300
    date = "Thu, 01 Jan 1970 00:01:00 GMT"
    assert wait_seconds(attempt, first=0.1, longest=10.0, jitter=jitter, retry_after=date, at=30.0) == 30
    assert wait_seconds(1, first=0.1, longest=10.0, jitter=jitter, retry_after="soon") <= 0.1
