"""OTLP metrics: the real OpenTelemetry SDK is a customer's program, in both temporalities and both encodings."""

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from collector.config import CollectorConfig
from collector.customers import otlp_protobuf, payloads
from collector.customers.config import CustomersConfig
from collector.customers.payloads import JSON, PROTOBUF, NotTakenError
from tests.collector.customers.programs import ledger_of
from tests.collector.samples import Client, running

DYNAMODB = {"rpc.system": "aws-api", "rpc.service": "DynamoDB"}


@pytest.fixture(params=[AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA], ids=["cumulative", "delta"])
def temporality(request: pytest.FixtureRequest) -> AggregationTemporality:
    found: AggregationTemporality = request.param
    return found


class Program:
    """A program that is instrumented with the OpenTelemetry SDK; it exports when it is told to."""

    def __init__(self, client: Client, temporality: AggregationTemporality, compression: Compression) -> None:
        exporter = OTLPMetricExporter(
            endpoint=f"{client.base}/v1/otlp/v1/metrics",
            compression=compression,
            preferred_temporality={Counter: temporality, Histogram: temporality},
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        resource = Resource.create({"service.name": "orders-service", "cloud.availability_zone": "az2"})
        self.provider = MeterProvider([reader], resource=resource)
        meter = self.provider.get_meter("test")
        self.attempts = meter.create_counter("fivenines.customer.attempts")
        self.calls = meter.create_histogram("rpc.client.duration", unit="ms")
        self.requests = meter.create_histogram("http.client.request.duration", unit="s")

    async def export(self) -> None:
        """Send what was recorded so far."""
        assert await asyncio.to_thread(self.provider.force_flush)


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_the_sdks_metrics_are_counted_once(
    config_of: Callable[..., CollectorConfig], temporality: AggregationTemporality, compression: Compression
) -> None:
    """Counters and durations of three exports add up to what the program recorded, at their levels."""
    async with running(config_of()) as client:
        program = Program(client, temporality, compression)
        for _ in range(3):
            said = {"table": "orders", "operation": "write"}
            program.attempts.add(5, {**said, "outcome": "success"})
            program.attempts.add(1, {**said, "outcome": "server_fault"})
            asked = {**DYNAMODB, "rpc.method": "GetItem", "aws.dynamodb.table_names": ["sessions"]}
            for duration in (4.0, 40.0, 400.0):
                program.calls.record(duration, asked)
            program.calls.record(9.0, {**asked, "error.type": "ProvisionedThroughputExceededException"})
            program.calls.record(2000.0, {**asked, "error.type": "botocore.exceptions.ReadTimeoutError"})
            program.requests.record(0.004, {"server.address": "elsewhere.example", "http.response.status_code": 500})
            await program.export()
            await asyncio.sleep(0.01)
        await asyncio.to_thread(program.provider.shutdown)
        found = await ledger_of(client, at_least=33)
        rows = await client.rows(vantage="customer")
        _, metrics = await client.get("/metrics")
    assert found == {
        ("orders", "attempt"): {"success": 15, "server_fault": 3},
        ("sessions", "call"): {"success": 9, "throttled": 3, "timeout": 3},
    }
    assert {(row.series.host, row.series.zone) for row in rows} == {("orders-service", "az2")}
    latency = [sum(places) for places in zip(*(row.latency for row in rows if row.latency), strict=True)]
    assert sum(latency) == 9
    assert latency[:2] == [0, 0]  # nothing is faster than it was
    assert 'collector_customers_points_total{protocol="otlp",result="other_service"}' in metrics


def a_request(value: int, *, start: float, at: float, delta: bool = False, **resource: str) -> bytes:
    """A counter of one point, in OTLP's JSON."""
    words = {"table": "orders", "operation": "PutItem", "outcome": "success"}
    point = {
        "attributes": [{"key": key, "value": {"stringValue": word}} for key, word in words.items()],
        "startTimeUnixNano": str(int(start * 1e9)),
        "timeUnixNano": str(int(at * 1e9)),
        "asInt": str(value),
    }
    counter = {"dataPoints": [point], "aggregationTemporality": 1 if delta else 2, "isMonotonic": True}
    metric = {"name": "fivenines.customer.attempts", "sum": counter}
    named = [{"key": key, "value": {"stringValue": word}} for key, word in resource.items()]
    return json.dumps(
        {"resourceMetrics": [{"resource": {"attributes": named}, "scopeMetrics": [{"metrics": [metric]}]}]}
    ).encode()


async def post(client: Client, body: bytes, kind: str = JSON, **headers: str) -> tuple[int, bytes]:
    url = f"{client.base}/v1/otlp/v1/metrics"
    async with client.session.post(url, data=body, headers={"Content-Type": kind, **headers}) as answer:
        return answer.status, await answer.read()


async def test_repeats_resets_and_restarts(config_of: Callable[..., CollectorConfig]) -> None:
    """A point that is sent again counts once; after a restart of the program its counter counts from nought."""
    now = time.time()
    async with running(config_of()) as client:
        bodies = [
            a_request(10, start=now - 900, at=now - 60),  # began before the collector: a baseline
            a_request(14, start=now - 900, at=now - 50),  # + 4
            a_request(14, start=now - 900, at=now - 50),  # again
            a_request(3, start=now - 45, at=now - 40),  # a new life: + 3
            a_request(8, start=now - 45, at=now - 30),  # + 5
            a_request(2, start=now - 20, at=now - 20, delta=True, **{"service.name": "other-program"}),  # + 2
            a_request(2, start=now - 20, at=now - 20, delta=True, **{"service.name": "other-program"}),  # again
            a_request(1, start=now - 20, at=now - 10, delta=True, **{"service.name": "other-program"}),  # + 1
        ]
        for body in bodies:
            status, answer = await post(client, body)
            assert (status, json.loads(answer)) == (200, {})
        found = await ledger_of(client, at_least=15)
        hosts = {row.series.host for row in await client.rows(vantage="customer")}
    assert found == {("orders", "attempt"): {"success": 15}}
    assert hosts == {"unnamed", "other-program"}


async def test_a_collector_that_starts_again_counts_from_where_its_ledger_ends(
    config_of: Callable[..., CollectorConfig],
) -> None:
    """What grew while the collector was away is counted once; what was counted before is a repeat, deltas among it."""
    now, config = time.time(), config_of()
    began = {"service.name": "old-program"}  # before the collector: its first point counts nothing
    delta = {"service.name": "other-program"}
    async with running(config) as client:
        await post(client, a_request(100, start=now - 900, at=now - 60, **began))
        await post(client, a_request(10, start=now + 1, at=now + 2))
        await post(client, a_request(2, start=now - 20, at=now - 20, delta=True, **delta))
    async with running(config) as client:
        bodies = [
            a_request(104, start=now - 900, at=now - 10, **began),  # + 4
            a_request(10, start=now + 1, at=now + 2),  # again
            a_request(17, start=now + 1, at=now + 9),  # + 7
            a_request(2, start=now - 20, at=now - 20, delta=True, **delta),  # again
        ]
        for body in bodies:
            assert (await post(client, body))[0] == 200
        found = await ledger_of(client, at_least=23)
        _, metrics = await client.get("/metrics")
    assert found == {("orders", "attempt"): {"success": 4 + 17 + 2}}
    assert 'collector_customers_points_total{protocol="otlp",result="repeated"} 2.0' in metrics


async def test_what_is_not_taken_is_said(config_of: Callable[..., CollectorConfig]) -> None:
    """Malformed, inflated and foreign requests get a status and a reason; untimely points are a partial success."""
    bomb = gzip.compress(b"\0" * (40 * 1024 * 1024))
    async with running(config_of()) as client:
        assert (await post(client, b"{"))[0] == 400
        assert (await post(client, b"\xff\xff\xff", PROTOBUF))[0] == 400
        assert (await post(client, b"x", "text/plain"))[0] == 415
        assert (await post(client, b"x", PROTOBUF, **{"Content-Encoding": "br"}))[0] == 415
        assert (await post(client, bomb, PROTOBUF, **{"Content-Encoding": "gzip"}))[0] == 413
        assert (await post(client, gzip.compress(b"abc")[:-4], PROTOBUF, **{"Content-Encoding": "gzip"}))[0] == 400
        huge = a_request(2**63, start=time.time() - 1, at=time.time(), delta=True)
        assert b'"rejectedDataPoints": "1"' in (await post(client, huge))[1]
        late = a_request(1, start=1.0, at=time.time() + 4000)
        status, answer = await post(client, late)
        assert status == 200
        assert json.loads(answer)["partialSuccess"]["rejectedDataPoints"] == "1"
        _, metrics = await client.get("/metrics")
    assert 'collector_customers_points_total{protocol="otlp",result="count_too_large"} 1.0' in metrics
    assert 'collector_customers_points_total{protocol="otlp",result="from_the_future"} 1.0' in metrics
    assert 'collector_customers_refused_total{protocol="otlp",reason="malformed"} 3.0' in metrics


async def test_without_the_token_nobody_writes(config_of: Callable[..., CollectorConfig], tmp_path: Any) -> None:
    """The metric doors are behind the collector's token."""
    (tmp_path / "token").write_text("secret")
    async with running(config_of(token_file=tmp_path / "token")) as client:
        assert (await post(client, b"{}"))[0] == 401
        assert (await post(client, b"{}", Authorization="Bearer secret"))[0] == 200


@given(st.binary(max_size=300))
def test_any_bytes_are_metrics_or_refused(body: bytes) -> None:
    """No body makes the decoders fail in another way than they say."""
    for read in (
        lambda: payloads.read_otlp(body, PROTOBUF, "identity"),
        lambda: payloads.read_otlp(body, JSON, "identity"),
        lambda: payloads.read_otlp(body, PROTOBUF, "gzip"),
        lambda: payloads.read_series(body),
    ):
        with contextlib.suppress(NotTakenError):
            read()


def _damaged() -> Iterator[bytes]:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add()
    metric.name = "http.client.request.duration"
    metric.histogram.aggregation_temporality = 2
    point = metric.histogram.data_points.add(count=3, bucket_counts=[1, 2], explicit_bounds=[0.5])
    point.attributes.add(key="error.type").value.string_value = "500"
    whole = request.SerializeToString()
    for at in range(len(whole)):
        yield whole[:at]
        for bit in (0x01, 0x80, 0xFF):
            yield whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]


def test_a_damaged_request_is_refused_or_read() -> None:
    """Every cut and every flipped byte of a real request gives metrics or a refusal."""
    for body in _damaged():
        with contextlib.suppress(NotTakenError):
            payloads.read_otlp(body, PROTOBUF, "identity")


def test_the_partial_success_is_what_the_protocol_says() -> None:
    """Our answer is read by the official message as we meant it."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

    answer = ExportMetricsServiceResponse.FromString(otlp_protobuf.answer(300, "why"))
    assert (answer.partial_success.rejected_data_points, answer.partial_success.error_message) == (300, "why")
    assert otlp_protobuf.answer(0, "") == b""


def test_streams_are_bounded() -> None:
    """A stream beyond the bound is refused, not remembered."""
    from collector.customers.streams import Point, Streams

    streams = Streams(2, born_ns=0)
    results = [streams.grown(Point(stream=n, source=0, at_ns=10, values=(1,), start_ns=5)) for n in range(3)]
    assert results == [(1,), (1,), "too_many_streams"]
    assert len(streams) == 2
    assert CustomersConfig().streams_max > 2
