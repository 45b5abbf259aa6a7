"""A whole canary process against a fake store, name server and collector, over real sockets."""

import asyncio
import contextlib
import datetime as dt
import itertools
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from canary import process
from canary.config import CanaryConfig, SdkConfig
from canary.probes.config import AnyCheck
from collector.observation import Connection, Level, OperationClass, Outcome
from tests.canary.world import (
    ADDRESSES,
    Answer,
    FakeCollector,
    FakeDns,
    FakeStore,
    collector_server,
    config,
    dns_server,
    store_server,
)


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
            keys = lambda: {body["Item"]["pk"]["S"] for name, _, body in store.requests if name == "PutItem"}  # noqa: E731
            await collector.until(lambda: len(collector.readings()) > 10 and len(keys()) >= 3)
        assert {r.series.partition for r in collector.readings()} == {None}
        assert len(keys()) == 3


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


async def test_every_operation_is_asked_and_its_answer_judged() -> None:
    """Queries, batches, transactions and the control plane succeed against a store that is well, at a cadence of their own."""
    operations = ("write", "query", "transaction", "batch", "control")
    async with world() as (dns, store, collector):
        settings = config(
            dns,
            store,
            (collector.url,),
            free_ports(),
            partitions=2,
            operations=operations,
            operation_cadence_seconds={"control": 0.7},
        )
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            asked = {"Query", "TransactWriteItems", "TransactGetItems", "BatchGetItem", "DescribeTable", "ListTables"}
            await collector.until(lambda: asked <= {name for name, _, _ in store.requests})
            await collector.until(
                lambda: (
                    {r.series.operation for r in collector.readings() if r.counts.get(Outcome.SUCCESS)}
                    == {OperationClass(name) for name in operations}
                )
            )
        assert [f for r in collector.readings() for f in r.failures] == []
        several = [r for r in collector.readings() if r.series.operation in ("transaction", "batch", "control")]
        assert {(r.series.partition, r.series.node) for r in several} == {(None, None)}


async def test_a_torn_transaction_and_unprocessed_keys_are_named() -> None:
    """Half of a transaction is a wrong answer; what a batch leaves undone is the server's fault."""
    async with world() as (dns, store, collector):
        settings = config(
            dns,
            store,
            (collector.url,),
            free_ports(),
            partitions=2,
            operations=("transaction", "batch"),
            operation_cadence_seconds={},
        )
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            await collector.until(lambda: any(name == "TransactWriteItems" for name, _, _ in store.requests))

            def broken(target: str, body: dict[str, Any]) -> Answer | None:
                _, result = store.carry_out(target, body)
                if target == "TransactGetItems" and result["Responses"][0]:
                    result["Responses"][1] = {}
                if target == "BatchGetItem":
                    result = {"Responses": {}, "UnprocessedKeys": body["RequestItems"]}
                out = json.dumps(result).encode()
                return 200, store.headers("127.77.4.1", "", out), out

            store.hook = broken
            wanted = {"torn_transaction", "unprocessed_keys"}
            await collector.until(lambda: wanted <= {f.reason for r in collector.readings() for f in r.failures})
        outcomes = {f.reason: f.outcome for r in collector.readings() for f in r.failures}
        assert outcomes == {"torn_transaction": Outcome.WRONG_ANSWER, "unprocessed_keys": Outcome.SERVER_FAULT}


async def test_an_item_that_comes_back_after_its_delete_is_caught() -> None:
    """Deletes are part of the writes; a strong read that sees the deleted version is a resurrected delete."""
    async with world() as (dns, store, collector):
        settings = config(
            dns,
            store,
            (collector.url,),
            free_ports(),
            partitions=1,
            operations=("write", "strong_read"),
            cadence_seconds=0.2,
        )
        graves: dict[tuple[str, str], dict[str, Any]] = {}

        def undead(target: str, body: dict[str, Any]) -> Answer | None:
            """Deleted items are remembered, and read again."""
            if target == "DeleteItem":
                key = (body["Key"]["pk"]["S"], body["Key"]["sk"]["S"])
                if key in store.items:
                    graves[key] = store.items[key]
            if target == "GetItem":
                key = (body["Key"]["pk"]["S"], body["Key"]["sk"]["S"])
                if key in graves and key not in store.items:
                    out = json.dumps({"Item": graves[key]}).encode()
                    return 200, store.headers("127.77.4.1", key[0], out), out
            return None

        store.hook = undead
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            await collector.until(lambda: any(r.failures for r in collector.readings()))
        failures = [f for r in collector.readings() for f in r.failures]
        assert {f.reason for f in failures} == {"resurrected_delete"}
        assert {f.operation for f in failures} == {OperationClass.STRONG_READ}


async def test_another_zones_stale_answer_is_caught_across_zones() -> None:
    """az2 writes, az1 reads az2's items: once az1 has seen a newer version, an older one is a stale read, with its age."""
    async with world() as (dns, store, collector):
        settings = config(
            dns,
            store,
            (collector.url,),
            free_ports(),
            partitions=1,
            zones=("az1", "az2"),
            hosts_per_zone=1,
            connections=("pooled",),
            cadence_seconds=0.2,
        )
        first: dict[str, dict[str, Any]] = {}

        def back_in_time(target: str, body: dict[str, Any]) -> Answer | None:
            """az1's strong reads of az2's item answer with the first version, once it has seen a third."""
            if target == "PutItem":
                first.setdefault(body["Item"]["sk"]["S"], body["Item"])
                return None
            sk = body.get("Key", {}).get("sk", {}).get("S", "")
            if target == "GetItem" and sk == "az2-canary-1/standard/pooled/main" and old and sk in first:
                out = json.dumps({"Item": first[sk]}).encode()
                return 200, store.headers("127.77.4.1", "canary-0", out), out
            return None

        def read_across() -> bool:
            """az1 (told by its access key) has read az2's item after its third version was written."""
            names = [
                (name, "Credential=az1/" in headers["authorization"])
                for name, headers, body in store.requests
                if (body.get("Key") or body["Item"])["sk"]["S"] == "az2-canary-1/standard/pooled/main"
            ]
            puts = [i for i, (name, _) in enumerate(names) if name == "PutItem"]
            return len(puts) >= 3 and names[puts[2] :].count(("GetItem", True)) >= 2

        old = False
        store.hook = back_in_time
        reader = settings.model_copy(update={"access_key_id": "az1"})
        async with running(reader, "az1") as one, running(settings, "az2") as two:
            await asyncio.wait_for(one.wait(), 5)
            await asyncio.wait_for(two.wait(), 5)
            await collector.until(read_across)
            old = True
            await collector.until(
                lambda: any(f.reason == "stale_read" and b.host == "az1-canary-1" for b in collector.batches
                            for r in b.readings for f in r.failures)
            )  # fmt: skip
        seen = [f for b in collector.batches if b.host == "az1-canary-1" for r in b.readings for f in r.failures]
        assert {f.reason for f in seen} == {"stale_read"}
        assert all((f.detail or "").startswith("stale by ") for f in seen)


async def test_one_bad_router_of_three_behind_a_name_is_found() -> None:
    """Every address is asked in turn and recorded: all failures name the bad one, and the others have none."""
    async with world() as (dns, store, collector):
        answer = store.answer

        def one_is_bad(address: str, headers: dict[str, str], body: bytes) -> Answer:
            if address == ADDRESSES[1]:
                out = b'{"__type": "x#InternalServerError", "message": "bad router"}'
                return 500, {"x-router": "az2-router-1"}, out
            return answer(address, headers, body)

        settings = config(dns, store, (collector.url,), free_ports(), partitions=3, extra_probes_per_second=0)
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            store.answer = one_is_bad  # type: ignore[method-assign]
            await collector.until(lambda: sum(len(r.failures) for r in collector.readings()) >= 12)
        failures = [f for r in collector.readings() for f in r.failures]
        assert {(f.address, f.router) for f in failures} == {(f"{ADDRESSES[1]}:{store.port}", "az2-router-1")}
        assert {f.connection for f in failures} == {Connection.FRESH, Connection.POOLED}
        good = {r.series.router for r in collector.readings() if r.counts.get(Outcome.SUCCESS)}
        assert {"az1-router-1", "az3-router-1"} <= good


async def test_a_partition_that_fails_is_asked_more_often_within_the_budget_until_it_is_well() -> None:
    """One bad partition of three gets extra probes, the others none; they end when it has been well for a while."""
    async with world() as (dns, store, collector):
        store.partition_of = lambda pk: f"p{int(pk.rsplit('-', 1)[1]) % 3}"  # type: ignore[method-assign]
        settings = config(
            dns,
            store,
            (collector.url,),
            free_ports(),
            partitions=3,
            operations=("strong_read",),
            connections=("pooled",),
            cadence_seconds=1.0,
            hosts_per_zone=1,
            extra_probes_per_second=2.0,
        )

        def broken(target: str, body: dict[str, Any]) -> Answer | None:
            if body["Key"]["pk"]["S"] == "canary-1":
                return 500, {"x-partition": "p1"}, b'{"__type": "x#InternalServerError"}'
            return None

        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            store.hook = broken
            await collector.until(lambda: any(r.failures for r in collector.readings()))
            store.requests.clear()
            await asyncio.sleep(6.0)
            asked = [body["Key"]["pk"]["S"] for _, _, body in store.requests]
            page = (await call(settings.admin_ports["az1"], "/metrics"))[1]
        assert 9 <= asked.count("canary-1") <= 2 + 2 * 6 + 2  # the plan's two, two a second, the bucket
        assert asked.count("canary-0") <= 3
        assert b'canary_quarantined_places{host="az1-canary-1"} 1.0' in page


async def test_calls_with_retries_and_their_attempts_are_two_numbers() -> None:
    """Every second attempt fails: the calls succeed all the same, and the failures are kept as attempts."""
    async with world() as (dns, store, collector):
        turn = itertools.count()

        def flaky(target: str, body: dict[str, Any]) -> Answer | None:
            sk = (body.get("Key") or body.get("Item") or {}).get("sk", {}).get("S", "")
            if sk.endswith("/sdk") and next(turn) % 2 == 0:
                return 500, {}, b'{"__type": "x#InternalServerError"}'
            return None

        store.hook = flaky
        settings = config(dns, store, (collector.url,), free_ports(), sdk=SdkConfig(cadence_seconds=0.1))

        def counted(level: Level, outcome: Outcome) -> int:
            readings = [r for r in collector.readings() if r.series.level is level]
            return sum(r.counts.get(outcome, 0) for r in readings)

        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            await collector.until(lambda: counted(Level.CALL, Outcome.SUCCESS) >= 15)
            page = (await call(settings.admin_ports["az1"], "/metrics"))[1]
        assert counted(Level.CALL, Outcome.SERVER_FAULT) == 0
        assert counted(Level.ATTEMPT, Outcome.SERVER_FAULT) >= 15
        assert {r.series.host for r in collector.readings() if r.series.level is Level.CALL} == {"az1-canary-1"}
        assert b'canary_sdk_calls_total{endpoint="standard",operation="write",outcome="success"}' in page
        said = [headers["amz-sdk-request"] for _, headers, _ in store.requests]
        assert "attempt=2; max=4" in said


async def test_a_split_partition_gets_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a split there are more partitions than were configured, and every one is asked."""
    monkeypatch.setattr("canary.keys.RELEARN_GAP_SECONDS", 0.1)
    async with world() as (dns, store, collector):
        store.partition_of = lambda pk: f"p{int(pk.rsplit('-', 1)[1]) % 2}"  # type: ignore[method-assign]
        settings = config(dns, store, (collector.url,), free_ports(), partitions=2)
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            store.partition_of = lambda pk: f"q{int(pk.rsplit('-', 1)[1]) % 4}"  # type: ignore[method-assign]
            await collector.until(
                lambda: {"q0", "q1", "q2", "q3"} <= {r.series.partition for r in collector.readings()}
            )


async def test_checks_are_asked_beside_the_store_and_without_one(tmp_path: Path) -> None:
    """A check's series is operation check, its name the endpoint, its service the table; a failure has reason and phase."""
    async with world() as (dns, store, collector):
        checks = TypeAdapter(tuple[AnyCheck, ...]).validate_python(
            [
                {
                    "kind": "dns",
                    "name": "name",
                    "service": "shop",
                    "query": "dynamodb.local.test",
                    "cadence_seconds": 0.3,
                },
                {"kind": "tcp", "name": "port", "host": "127.0.0.1", "port": 9, "cadence_seconds": 0.3},
            ]
        )
        settings = config(dns, store, (collector.url,), free_ports(), checks=checks, endpoints=())
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 5)
            await collector.until(lambda: {r.series.endpoint for r in collector.readings()} == {"name", "port"})
        assert {r.series.operation for r in collector.readings()} == {OperationClass.CHECK}
        assert {(r.series.endpoint, r.series.table) for r in collector.readings()} == {
            ("name", "shop"),
            ("port", "port"),
        }
        failures = [f for r in collector.readings() for f in r.failures]
        assert {(f.endpoint, f.reason, f.address) for f in failures} == {("port", "connect_refused", "127.0.0.1:9")}
        assert store.requests == []


async def test_a_python_probe_that_is_not_installed_ends_the_process_at_once() -> None:
    """Not a check that silently never runs."""
    async with world() as (dns, store, collector):
        checks = TypeAdapter(tuple[AnyCheck, ...]).validate_python([{"kind": "python", "name": "q", "probe": "none"}])
        with pytest.raises(ValueError, match=r"fivenines\.probes"):
            await process.run(config(dns, store, (collector.url,), free_ports(), checks=checks), "az1")
