"""A whole canary process against a fake store, name server and collector, over real sockets."""

import asyncio
import contextlib
import datetime as dt
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary import process
from canary.config import CanaryConfig
from collector.observation import Connection, OperationClass, Outcome
from tests.canary.world import FakeCollector, FakeDns, FakeStore, collector_server, config, dns_server, store_server


def free_ports(zones: tuple[str, ...] = ("az1", "az2", "az3")) -> dict[str, int]:
    sockets = [socket.socket() for _ in zones]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = {zone: sock.getsockname()[1] for zone, sock in zip(zones, sockets, strict=True)}
    for sock in sockets:
        sock.close()
    return ports


@contextlib.asynccontextmanager
async def running(settings: CanaryConfig, zone: str = "az1") -> AsyncIterator[asyncio.Event]:
    """The process of one zone."""
    ready = asyncio.Event()
    task = asyncio.create_task(process.run(settings, zone, ready))
    try:
        yield ready
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[tuple[FakeDns, FakeStore, FakeCollector]]:
    async with dns_server() as dns, store_server() as store, collector_server() as collector:
        yield dns, store, collector


async def call(
    port: int, path: str, body: object = None, method: str | None = None, token: str | None = None
) -> tuple[int, bytes]:
    def ask() -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return await asyncio.to_thread(ask)


async def test_every_cell_of_every_host_succeeds_and_is_reported() -> None:
    """Two hosts write and read every partition on fresh and pooled connections, and the collector hears all of it."""
    async with world() as (dns, store, collector):
        settings = config(dns, store, (collector.url,), free_ports())
        async with running(settings) as ready:
            async with asyncio.timeout(5):
                await ready.wait()
            seen: set[tuple[object, ...]] = set()

            def complete() -> bool:
                seen.update(
                    (r.series.host, r.series.operation, r.series.connection)
                    for r in collector.readings()
                    if r.counts.get(Outcome.SUCCESS)
                )
                return len(seen) == 2 * 3 * 2

            await collector.until(complete)
            status, page = await call(settings.admin_ports["az1"], "/metrics")
            assert status == 200
            assert b'canary_probe_attempts_total{connection="fresh"' in page
            assert (await call(settings.admin_ports["az1"], "/ready"))[0] == 200
        assert not [f for r in collector.readings() for f in r.failures]
        reading = collector.readings()[0]
        assert reading.series.router_zone == reading.series.node_zone
        assert {r.series.partition for r in collector.readings()} <= {f"p{i}" for i in range(9)}
        for host in ("az1-canary-1", "az1-canary-2"):
            numbers = [b.sequence for b in collector.batches if b.host == host]
            assert numbers == list(range(1, len(numbers) + 1))


async def test_a_failure_is_sent_at_once_with_its_phase_and_path() -> None:
    """When the store answers 500, the whole observation arrives before the second is over."""
    async with world() as (dns, store, collector):
        async with running(config(dns, store, (collector.url,), free_ports())) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            store.mode = "http_500"
            began = asyncio.get_running_loop().time()
            await collector.until(lambda: any(r.failures for r in collector.readings()))
            assert asyncio.get_running_loop().time() - began < 0.5
        failure = next(f for r in collector.readings() for f in r.failures)
        assert (failure.outcome, failure.reason, failure.status) == (Outcome.SERVER_FAULT, "http_500", 500)
        assert failure.request_id == "R" * 52
        assert failure.router_zone is not None


async def test_an_empty_dns_answer_fails_fresh_probes_and_spares_pooled_ones() -> None:
    """Pooled connections survive a name service that forgets the endpoint; fresh probes say dns_empty."""
    async with world() as (dns, store, collector):
        async with running(config(dns, store, (collector.url,), free_ports())) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            dns.mode = "empty"
            await asyncio.sleep(0.1)
            start = len(collector.batches)
            await collector.until(lambda: sum(len(r.failures) for r in collector.readings()) >= 6)
        readings = [r for b in collector.batches[start:] for r in b.readings]
        failures = [f for r in readings for f in r.failures]
        assert {f.reason for f in failures} == {"dns_empty"}
        assert {f.connection for f in failures} == {Connection.FRESH}
        assert any(r.series.connection is Connection.POOLED and r.counts.get(Outcome.SUCCESS) for r in readings)


async def test_a_process_waits_for_a_target_that_is_not_up_yet() -> None:
    """Without a target the process is not ready but lives, and becomes ready when the target comes."""
    async with world() as (dns, store, collector):
        dns.mode = "nxdomain"
        settings = config(dns, store, (collector.url,), free_ports())
        async with running(settings) as ready:
            await collector.until(lambda: len(collector.batches) >= 2)
            status, text = await call(settings.admin_ports["az1"], "/ready")
            assert status == 503
            assert b"no keys" in text
            assert not ready.is_set()
            dns.mode = "ok"
            await asyncio.wait_for(ready.wait(), 5)


@pytest.mark.parametrize("operation", [OperationClass.STRONG_READ])
async def test_a_store_that_forgets_an_acknowledged_write_is_caught(operation: OperationClass) -> None:
    """A strong read that finds nothing where a write was acknowledged is a wrong answer: lost_write."""
    async with world() as (dns, store, collector):
        settings = config(dns, store, (collector.url,), free_ports(), partitions=1)
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            await collector.until(lambda: any(r.series.operation is operation for r in collector.readings()))
            await asyncio.sleep(1.0)
            store.hook = lambda target, body: (
                (200, store.headers("127.77.4.1", body["Key"]["pk"]["S"], b"{}"), b"{}")
                if target == "GetItem"
                else None
            )
            await collector.until(lambda: any(r.failures for r in collector.readings()))
        failures = [f for r in collector.readings() for f in r.failures]
        assert {f.reason for f in failures} == {"lost_write"}
        assert {f.operation for f in failures} == {operation}
        assert {f.outcome for f in failures} == {Outcome.WRONG_ANSWER}


async def test_a_sick_host_recuses_itself_and_the_other_does_not() -> None:
    """A broken network on one host is told at once as that host's own verdict; its neighbour stays believed."""
    async with world() as (dns, store, collector):
        settings = config(dns, store, (collector.url,), free_ports())
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            began = asyncio.get_running_loop().time()
            fault = {"kind": "canary_sick", "canary": "az1-canary-1", "zone": None, "one_way": False}
            status, text = await call(settings.admin_ports["az1"], "/faults", {"id": "f1", "fault": fault})
            assert status == 200, text
            await collector.until(lambda: any(b.health and b.health.recused for b in collector.batches))
            assert asyncio.get_running_loop().time() - began < 2.5
            assert (await call(settings.admin_ports["az1"], "/faults/f1", method="DELETE"))[0] == 200
            assert json.loads((await call(settings.admin_ports["az1"], "/faults"))[1]) == {"faults": []}
            start = len(collector.batches)
            await collector.until(
                lambda: any(
                    b.host == "az1-canary-1" and b.health and not b.health.recused for b in collector.batches[start:]
                )
            )
        recused = {b.host for b in collector.batches if b.health and b.health.recused}
        assert recused == {"az1-canary-1"}


async def test_a_host_with_a_wrong_clock_recuses_itself_and_signs_with_that_clock() -> None:
    """Twenty minutes of skew show in the signatures and in the host's own verdict; the neighbour is unmoved."""
    async with world() as (dns, store, collector):
        settings = config(dns, store, (collector.url,), free_ports(), zones=("az1",))
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            fault = {"kind": "skew", "canary": "az1-canary-2", "seconds": 1200}
            await call(settings.admin_ports["az1"], "/faults", {"id": "f", "fault": fault})
            await collector.until(lambda: any(b.health and b.health.recused for b in collector.batches))
        verdicts = {(b.host, b.health.reasons) for b in collector.batches if b.health and b.health.recused}
        assert verdicts == {("az1-canary-2", ("clock_offset",))}
        skewed = [b for b in collector.batches if b.health and b.health.recused][-1]
        assert 1_190_000 < (skewed.health.clock_offset_ms or 0) < 1_210_000  # type: ignore[union-attr]
        dates = {dt.datetime.fromisoformat(headers["x-amz-date"]) for _, headers, _ in store.requests}
        assert max(dates) - min(dates) > dt.timedelta(minutes=19)


async def test_a_host_whose_neighbour_zones_never_came_up_believes_itself() -> None:
    """az2 and az3 have no canary process at all: refused echoes prove that the network works."""
    async with world() as (dns, store, collector):
        async with running(config(dns, store, (collector.url,), free_ports())) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            await collector.until(lambda: sum(b.health is not None for b in collector.batches) >= 8)
        assert not [b for b in collector.batches if b.health and b.health.recused]


async def test_a_stalled_process_counts_its_missed_probes_and_blames_nobody() -> None:
    """Over a second without the processor: unobserved as late or host_lag, recused for lag, not one failure."""
    async with world() as (dns, store, collector):
        async with running(config(dns, store, (collector.url,), free_ports())) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            time.sleep(1.3)  # noqa: ASYNC251 - the stall is the point
            await collector.until(
                lambda: (
                    any(b.unobserved for b in collector.batches)
                    and any(b.health and b.health.recused for b in collector.batches)
                )
            )
        reasons = {u.reason for b in collector.batches for u in b.unobserved}
        assert "late" in reasons
        assert reasons <= {"late", "host_lag"}
        assert not [f for r in collector.readings() for f in r.failures]
        health = [b.health for b in collector.batches if b.health and b.health.recused]
        assert health[0].reasons == ("loop_lag",)


async def test_a_key_that_moved_is_learned_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """When answers contradict the plan, keys are looked for again and every partition is covered."""
    monkeypatch.setattr("canary.keys.RELEARN_GAP_SECONDS", 0.1)
    async with world() as (dns, store, collector):
        settings = config(dns, store, (collector.url,), free_ports(), partitions=2)
        store.partition_of = lambda pk: f"p{int(pk[-1]) % 2}"  # type: ignore[method-assign]
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            store.partition_of = lambda pk: f"q{int(pk[-1]) // 2 % 2}"  # type: ignore[method-assign]
            await collector.until(lambda: {"q0", "q1"} <= {r.series.partition for r in collector.readings()})
            assert {"canary-2"} <= {body["Key"]["pk"]["S"] for name, _, body in store.requests if name == "GetItem"}


async def test_a_target_that_does_not_name_partitions_gets_fixed_keys() -> None:
    """Any DynamoDB-compatible store can be asked: as many keys as partitions, partition unknown."""
    async with world() as (dns, store, collector):
        store.says_partition = False
        async with running(config(dns, store, (collector.url,), free_ports(), partitions=3)) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            await collector.until(lambda: len(collector.readings()) > 10)
        assert {r.series.partition for r in collector.readings()} == {None}
        assert len({body["Item"]["pk"]["S"] for name, _, body in store.requests if name == "PutItem"}) == 3


async def test_bad_faults_and_strangers_are_refused_with_a_reason(tmp_path: Path) -> None:
    """No token is 401, an unknown kind or a too large body 4xx, another zone's host 422, a wrong path 404."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    async with world() as (dns, store, collector):
        settings = config(dns, store, (collector.url,), free_ports(), admin_token_file=token)
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            port, sick = settings.admin_ports["az1"], {"kind": "canary_sick", "canary": "az2-canary-1"}
            assert (await call(port, "/faults", {"id": "f", "fault": sick}))[0] == 401
            assert (await call(port, "/faults"))[0] == 401
            assert (await call(port, "/faults", {"id": "f", "fault": sick}, token="secret"))[0] == 422
            assert (await call(port, "/faults", {"id": "f", "fault": {"kind": "power_off"}}, token="secret"))[0] == 400
            assert (await call(port, "/faults", {"id": "f" * 100_000}, token="secret"))[0] == 413
            assert (await call(port, "/faults/none", method="DELETE", token="secret"))[0] == 404
            assert (await call(port, "/nothing"))[0] == 404
            page = (await call(port, "/metrics"))[1]
            assert b'canary_admin_refused_total{reason="no_token"} 2.0' in page
            assert "at" in json.loads((await call(port, "/echo"))[1])
