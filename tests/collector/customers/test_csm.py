"""SDK client-side monitoring: an unmodified boto3 program is a customer, counted exactly."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from collector.config import CollectorConfig
from collector.customers import csm
from collector.customers.config import CustomerConfig, CustomersConfig
from collector.customers.csm import Ignored, IgnoredError
from collector.observation import Level, OperationClass, Outcome
from tests.collector.customers.endpoint import failing
from tests.collector.customers.programs import PLAN, free_udp_port, ledger_of, run_program
from tests.collector.samples import running

SERVICES = frozenset({"DynamoDB"})


@pytest.mark.parametrize(("mode", "calls"), [("legacy", 150), ("standard", 24)])
async def test_a_boto3_loop_is_counted_as_it_counts_itself(
    config_of: Callable[..., CollectorConfig], mode: str, calls: int
) -> None:
    """In both of the SDK's retry modes, per table, attempts are what the failing endpoint did and calls are what the programs counted, exactly."""
    port = free_udp_port()
    known = (CustomerConfig(name="checkout", ids=("checkout-prod-7",), table="sessions", zone="az2"),)
    config = config_of(customers=CustomersConfig(csm_port=port, known=known))
    monitoring = {"AWS_CSM_ENABLED": "true", "AWS_CSM_PORT": str(port), "AWS_RETRY_MODE": mode}
    async with running(config) as client:
        with failing(*PLAN) as endpoint:
            orders, sessions = await asyncio.gather(
                run_program(endpoint.port, "orders", calls, AWS_CSM_CLIENT_ID="orders-service/orders", **monitoring),
                run_program(endpoint.port, "sessions", calls // 2, AWS_CSM_CLIENT_ID="checkout-prod-7", **monitoring),
            )
        attempts = {table: dict(counts) for table, counts in endpoint.attempts.items()}
        sent = sum(sum(counts.values()) for counts in (orders, sessions, *attempts.values()))
        found = await ledger_of(client, at_least=sent)
        customers = {(row.series.host, row.series.zone) for row in await client.rows(vantage="customer")}
        _, metrics = await client.get("/metrics")
        _, failures = await client.get(f"/v1/failures?start={time.time() - 600}&end={time.time() + 60}&limit=1000")
    assert found["orders", "attempt"] == attempts["orders"]
    assert found["orders", "call"] == orders
    assert found["sessions", "attempt"] == attempts["sessions"]
    assert found["sessions", "call"] == sessions
    assert sum(orders.values()) == calls
    assert mode == "standard" or set(attempts["orders"]) == {outcome.value for outcome in Outcome} - {"wrong_answer"}
    assert customers == {("orders-service", ""), ("checkout", "az2")}
    assert "collector_customers_csm_dropped_total 0.0" in metrics
    by_id = {failure["observation"]["request_id"] for failure in failures}
    assert any(word and word.startswith("r-") for word in by_id)


def event(**changes: Any) -> bytes:
    known = {
        "Version": 1,
        "ClientId": "shop",
        "Type": "ApiCallAttempt",
        "Service": "DynamoDB",
        "Api": "PutItem",
        "Timestamp": 1_000_000_000_000,
        "AttemptLatency": 4,
        "Fqdn": "localhost:8000",
        "HttpStatusCode": 200,
        "AccessKey": "AKIA",
    }
    return json.dumps({name: value for name, value in {**known, **changes}.items() if value is not None}).encode()


def read(datagram: bytes) -> csm.Event:
    return csm.read(datagram, at=1_000_000_000.0, services=SERVICES)


def test_an_attempt_becomes_its_outcome() -> None:
    """Operation, outcome, latency and request id of an attempt are understood; keys are not read."""
    found = read(event(XAmznRequestId="R1"))
    assert (found.operation, found.outcome, found.bucket) == (OperationClass.WRITE, Outcome.SUCCESS, 2)
    assert found.request_id == "R1"
    assert "AKIA" not in repr(found)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"HttpStatusCode": 500, "AwsException": "InternalServerError"}, Outcome.SERVER_FAULT),
        ({"HttpStatusCode": 400, "AwsException": "ThrottlingException"}, Outcome.THROTTLED),
        ({"HttpStatusCode": 400, "AwsException": "ValidationException"}, Outcome.CUSTOMER_FAULT),
        ({"HttpStatusCode": None, "SdkException": "ConnectTimeoutError"}, Outcome.TIMEOUT),
        ({"HttpStatusCode": None, "SdkException": "EndpointConnectionError"}, Outcome.UNREACHABLE),
        ({"HttpStatusCode": None, "SdkException": "ChecksumError"}, Outcome.WRONG_ANSWER),
        ({"HttpStatusCode": None, "SdkException": "NoCredentialsError"}, Outcome.CUSTOMER_FAULT),
    ],
)
def test_what_came_back_decides_the_outcome(changes: dict[str, Any], outcome: Outcome) -> None:
    """Each kind of failure is told from the others."""
    assert read(event(**changes)).outcome is outcome


def test_a_call_is_another_level() -> None:
    """A call is its last attempt's outcome, at the level of calls."""
    found = read(event(Type="ApiCall", FinalHttpStatusCode=200, Latency=70, AttemptCount=3, HttpStatusCode=None))
    assert (found.level, found.outcome, found.latency_ms) == (Level.CALL, Outcome.SUCCESS, 70)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"{", Ignored.MALFORMED),
        (b"\xff\xfe", Ignored.MALFORMED),
        (b"[" * 8000, Ignored.MALFORMED),
        (b'{"Version": 1, "Type": 7}', Ignored.MALFORMED),
        (b" " * 9000, Ignored.OVERSIZED),
        (event(Version=2), Ignored.VERSION),
        (event(Type="Heartbeat"), Ignored.OTHER_TYPE),
        (event(Service="S3"), Ignored.OTHER_SERVICE),
        (event(Timestamp=1_000_000_900_000), Ignored.FROM_THE_FUTURE),
        (event(Timestamp=1), Ignored.TOO_OLD),
        (event(Timestamp=1e300), Ignored.FROM_THE_FUTURE),
    ],
)
def test_what_does_not_count_has_a_reason(datagram: bytes, reason: Ignored) -> None:
    """Malformed, foreign and untimely events are ignored, each for its reason."""
    with pytest.raises(IgnoredError) as caught:
        read(datagram)
    assert caught.value.reason is reason
