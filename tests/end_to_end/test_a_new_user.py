"""The whole loop on one machine, as a new user meets it."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.end_to_end
ENDPOINTS = ("standard", "fips", "dualstack", "account")


def get(url: str, headers: dict[str, str] | None = None, data: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of a request."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_it_is_ready_within_thirty_seconds_and_says_what_to_do_next(stack: Any) -> None:
    """Ready means that every cell has answered; the greeting names the console and the next command."""
    assert stack.ready_seconds <= 30.0
    assert "http://127.0.0.1:8080" in stack.greeting
    assert "fivenines drill run zone-power-off" in stack.greeting
    assert get("http://127.0.0.1:8080/api/health")[0] == 200


def test_every_cell_of_the_matrix_has_answered(stack: Any) -> None:
    """3 zones × 4 endpoints × 3 operations × 2 connections; of the operations that are asked now and then, some; none of them bad."""
    status = stack.json("status", "--json")
    cells = {(c["zone"], c["endpoint"], c["operation"], c["connection"]): c for c in status["matrix"]}
    assert sum(cell[2] in ("write", "strong_read", "eventual_read") for cell in cells) == 72
    assert {cell[2] for cell in cells} <= {"write", "strong_read", "eventual_read", "query", "batch", "control"}
    assert all(cell["good"] > 0 and cell["bad"] == 0 for cell in cells.values())


def test_a_second_stack_says_what_is_in_the_way(stack: Any, tmp_path: Path) -> None:
    """In the same folder it names the running one; in another folder the taken addresses."""
    same = stack.command("up", "--quiet")
    assert same.returncode == 2
    assert f"already up here: process {stack.process.pid}" in same.stderr
    other = subprocess.run(
        [str(Path(sys.executable).parent / "fivenines"), "up", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert other.returncode == 2
    assert "127.0.0.1:8080  needed by console" in other.stderr


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_boto3_creates_writes_reads_and_queries_through_each_endpoint(stack: Any, endpoint: str) -> None:
    """An unmodified boto3 works through each of the four endpoints."""
    listed = stack.endpoints()
    url = next(e["url"] for e in listed["endpoints"] if e["name"] == endpoint)
    client = stack.client(url)
    table = f"boto-{endpoint}"
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "user", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "user", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
    )
    client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    for n in (10, 2, -1):
        client.put_item(TableName=table, Item={"user": {"S": "ada"}, "n": {"N": str(n)}, "v": {"S": f"v{n}"}})
    read = client.get_item(TableName=table, Key={"user": {"S": "ada"}, "n": {"N": "2"}}, ConsistentRead=True)
    assert read["Item"]["v"] == {"S": "v2"}
    queried = client.query(
        TableName=table,
        KeyConditionExpression="#u = :u AND n >= :zero",
        ExpressionAttributeNames={"#u": "user"},
        ExpressionAttributeValues={":u": {"S": "ada"}, ":zero": {"N": "0"}},
        ConsistentRead=True,
    )
    assert [item["n"]["N"] for item in queried["Items"]] == ["2", "10"]
    client.delete_table(TableName=table)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_aws_cli_creates_writes_reads_and_queries_through_each_endpoint(stack: Any, endpoint: str) -> None:
    """`aws dynamodb … --endpoint-url` works through each of the four endpoints."""
    listed = stack.endpoints()
    url = next(e["url"] for e in listed["endpoints"] if e["name"] == endpoint)
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": listed["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": listed["secret_access_key"],
        "AWS_DEFAULT_REGION": listed["region"],
        "AWS_CONFIG_FILE": "/nonexistent",
    }

    def aws(*arguments: str) -> Any:
        command = [
            str(Path(sys.executable).parent / "aws"),
            "dynamodb",
            *arguments,
            "--endpoint-url",
            url,
            "--output",
            "json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    table = f"cli-{endpoint}"
    aws("create-table", "--table-name", table, "--attribute-definitions", "AttributeName=id,AttributeType=S", "--key-schema",
        "AttributeName=id,KeyType=HASH", "--billing-mode", "PAY_PER_REQUEST")  # fmt: skip
    aws("put-item", "--table-name", table, "--item", '{"id": {"S": "a"}, "n": {"N": "1"}}')
    assert aws("get-item", "--table-name", table, "--key", '{"id": {"S": "a"}}', "--consistent-read")["Item"]["n"] == {
        "N": "1"
    }
    found = aws(
        "query",
        "--table-name",
        table,
        "--key-condition-expression",
        "id = :a",
        "--expression-attribute-values",
        '{":a": {"S": "a"}}',
    )
    assert found["Count"] == 1
    aws("delete-table", "--table-name", table)


def test_every_router_and_node_has_metrics(stack: Any) -> None:
    """Fifteen servers answer /metrics with their request counters."""
    resolved = json.loads((stack.folder / ".fivenines" / "resolved.json").read_text())
    for target in resolved["collector"]["scrape"]:
        status, body = get(target["url"])
        assert status == 200, target
        wanted = b"store_requests_total" if target["role"] == "router" else b"store_replica_requests_total"
        assert wanted in body, target


def refused(url: str) -> dict[str, float]:
    """Refusals by reason on a router's /metrics."""
    found = {}
    for line in get(f"{url}/metrics")[1].decode().splitlines():
        if line.startswith("store_refused_total{"):
            found[line.split('"')[1]] = float(line.rsplit(" ", 1)[1])
    return found


def test_an_unsigned_request_and_a_huge_body_get_a_4xx_and_a_count(stack: Any) -> None:
    """The store refuses politely, counts, and goes on."""
    url = stack.endpoints()["endpoints"][0]["url"]
    headers = {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Content-Type": "application/x-amz-json-1.0"}
    before = refused(url)
    assert get(url, headers, b"{}")[0] == 400
    assert 400 <= get(url, headers, b"{" + b" " * 10_000_000 + b"}")[0] < 500
    after = refused(url)
    assert sum(after.values()) >= sum(before.values()) + 2


def test_a_malformed_observation_and_a_huge_one_are_refused_and_counted(stack: Any) -> None:
    """The collector says what is wrong with which field, counts it, and loses nothing."""
    token = (stack.folder / ".fivenines" / "secrets" / "collector_token").read_text()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = "http://127.0.0.1:8081/v1/batches"
    status, body = get(url, headers, b'{"host": "x", "zone": 5}')
    assert status == 400
    assert "zone" in body.decode()
    assert get(url, headers, b"x" * 10_000_000)[0] == 413
    assert get(url, {"Content-Type": "application/json"}, b"{}")[0] == 401
    metrics = get("http://127.0.0.1:8081/metrics", headers)[1].decode()
    assert "malformed" in metrics


def test_the_weekly_report_comes_from_the_ledger(stack: Any) -> None:
    """`fivenines report` writes HTML and CSV of the running week."""
    import datetime as dt

    year, week, _ = dt.datetime.now(dt.UTC).isocalendar()
    done = stack.command("report", "--week", f"{year}-W{week:02}", "--format", "html,csv", "--out", "out")
    assert done.returncode == 0, done.stderr
    written = [stack.folder / line for line in done.stdout.split()]
    assert {".html", ".csv"} <= {path.suffix for path in written}
    texts = {path.name: path.read_text(encoding="utf-8") for path in written}
    assert all(texts.values())
    figures = next(text for name, text in texts.items() if name.endswith("figures.csv"))
    assert figures.startswith(
        "vantage,scope_kind,scope,"
    )  # rows come with the first finished interval, minutes from now
    page = next(text for name, text in texts.items() if name.endswith(".html"))
    assert f"{year}-W{week:02}" in page
