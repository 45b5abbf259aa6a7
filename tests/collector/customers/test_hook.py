"""The botocore hook: exact counts by table and consistency, and no trouble for the program."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from collector.config import CollectorConfig
from collector.customers.botocore_hook import table_in, watch
from collector.customers.recorder import CELLS_MAX, Key, Recorder
from collector.observation import Level, OperationClass, Outcome
from tests.collector.customers.endpoint import failing
from tests.collector.customers.programs import PLAN, ledger_of, run_program
from tests.collector.samples import free_port, running

ORDERS = Key(OperationClass.WRITE, "orders", Level.ATTEMPT)


async def test_the_hook_counts_what_the_program_and_the_endpoint_count(
    config_of: Callable[..., CollectorConfig],
) -> None:
    """Attempts, calls, table and consistency of a program with the hook are exact, at the program's end too."""
    async with running(config_of()) as client:
        with failing(*PLAN) as endpoint:
            calls = await run_program(endpoint.port, "orders", 150, client.base)
        attempts = dict(endpoint.attempts["orders"])
        found = await ledger_of(client, at_least=150 + sum(attempts.values()))
        rows = await client.rows(vantage="customer")
    assert found["orders", "attempt"] == attempts
    assert found["orders", "call"] == calls
    assert {(row.series.host, row.series.zone) for row in rows} == {("orders-service", "az1")}
    assert {row.series.operation for row in rows} == {OperationClass.WRITE, OperationClass.STRONG_READ}


def a_client(port: int) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}),
    )


async def test_counts_wait_for_a_collector_that_comes_late(config_of: Callable[..., CollectorConfig]) -> None:
    """Nothing is lost, and nothing counted twice, when the collector is not there at first."""
    port = free_port()
    with failing("success") as endpoint:
        client = a_client(endpoint.port)
        recorder = watch(client, customer="early", collector=f"http://127.0.0.1:{port}")
        for _ in range(20):
            await asyncio.to_thread(client.list_tables)
        await asyncio.sleep(1.2)  # the first post has failed
        async with running(config_of(port=port)) as collector:
            for _ in range(5):
                await asyncio.to_thread(client.list_tables)
            await asyncio.to_thread(recorder.close, 10)
            found = await ledger_of(collector, at_least=50)
    assert found == {("", "attempt"): {"success": 25}, ("", "call"): {"success": 25}}


def test_a_program_without_a_collector_notices_nothing() -> None:
    """Calls answer and raise as without the hook, and the end of the program does not wait long."""
    with failing("success", "fault") as endpoint:
        client = a_client(endpoint.port)
        recorder = watch(client, customer="alone", collector="http://127.0.0.1:1")
        assert client.get_item(TableName="orders", Key={"pk": {"S": "1"}})["ResponseMetadata"]["HTTPStatusCode"] == 200
        with pytest.raises(ClientError):
            client.get_item(TableName="orders", Key={"pk": {"S": "1"}})
        with pytest.raises(BotoCoreError):
            client.get_item(TableName=7)
        begin = time.monotonic()
        recorder.close(0.5)
        assert time.monotonic() - begin < 2


def test_what_waits_is_bounded_and_what_is_beyond_is_told() -> None:
    """More seconds than can wait are lost, counted, and told as unobserved with the next batch."""
    recorder = Recorder("hoarder", "http://127.0.0.1:1", seconds=3600)
    for second in range(CELLS_MAX + 7):
        recorder.count(ORDERS, 1_000_000 + second, Outcome.SUCCESS)
    body = recorder._pack()
    assert body is not None
    assert b'"count":7,"reason":"hook_overflow"' in body


@pytest.mark.parametrize(
    ("params", "table"),
    [
        ({"TableName": "orders"}, "orders"),
        ({"TableName": "arn:aws:dynamodb:eu-west-1:1:table/orders/index/by-day"}, "orders"),
        ({"RequestItems": {"orders": []}}, "orders"),
        ({"RequestItems": {"orders": [], "sessions": []}}, ""),
        ({"TransactItems": [{"Put": {"TableName": "orders"}}, {"Update": {"TableName": "orders"}}]}, "orders"),
        ({"TransactItems": [{"Put": {"TableName": "orders"}}, {"Get": {"TableName": "sessions"}}]}, ""),
        ({}, ""),
    ],
)
def test_the_table_is_read_from_the_parameters(params: dict[str, Any], table: str) -> None:
    """One table has a name; none or several are unknown."""
    assert table_in(params) == table
