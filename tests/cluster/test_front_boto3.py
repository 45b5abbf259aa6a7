"""boto3 finds in every endpoint of a router what it would find at DynamoDB."""

import importlib.metadata
import socket
from decimal import Decimal
from zlib import crc32

import boto3
import pytest
from botocore.exceptions import ClientError

from cluster.api.attributes import MAX_DEPTH
from cluster.ports import ErrorKind, StoreError, Via
from tests.cluster.front_world import create, serving


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("front")) as served:
        create(served.client(), "orders")
        yield served


@pytest.fixture
def client(world):
    world.store.items["orders"].clear()
    world.store.failing = None
    world.store.failing_keys = set()
    return world.client()


def item(pk, sk="", **others):
    return {"pk": {"S": pk}, "sk": {"S": sk or "x"}, **others}


def refusal(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response


def message(call, **parameters):
    error = refusal(call, **parameters)["Error"]
    assert error["Code"] == "ValidationException", error
    return error["Message"]


@pytest.mark.parametrize("endpoint", ["standard", "fips", "dualstack", "account"])
def test_every_endpoint_over_http(world, endpoint):
    """A put through one endpoint's port is counted there and read back."""
    client = world.client(endpoint)
    labels = {"table": "orders", "operation": "write", "endpoint": endpoint, "outcome": "success"}
    before = world.count("store_requests_total", **labels)
    client.put_item(TableName="orders", Item=item(endpoint, n={"N": "1"}))
    got = client.get_item(TableName="orders", Key=item(endpoint), ConsistentRead=True)
    assert got["Item"] == item(endpoint, n={"N": "1"})
    assert world.count("store_requests_total", **labels) == before + 1
    assert world.store.asked[-1] == ("read", "orders", True)


@pytest.mark.parametrize("endpoint", ["standard", "fips", "dualstack", "account"])
def test_every_endpoint_over_https(world, endpoint, monkeypatch):
    """Each endpoint's DNS name shows its own certificate at the one HTTPS address, and is what is counted."""
    host, address = world.topology.endpoint_hosts[endpoint], world.router.https
    resolve = socket.getaddrinfo

    def local(name, port, *rest, **more):
        return resolve(address.host if name == host else name, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    client = world.client(url=f"https://{host}:{address.port}")
    labels = {"table": "orders", "operation": "eventual_read", "endpoint": endpoint, "outcome": "success"}
    before = world.count("store_requests_total", **labels)
    assert "Item" not in client.get_item(TableName="orders", Key=item("nobody"))
    assert world.count("store_requests_total", **labels) == before + 1


def test_headers_name_the_path_and_the_checksum(client, world):
    """An answer says which router, version, replica and partition it came by, and its body's CRC-32."""
    seen = {}
    client.meta.events.register("before-parse.dynamodb.GetItem", lambda response_dict, **_: seen.update(response_dict))
    client.put_item(TableName="orders", Item=item("a"))
    headers = client.get_item(TableName="orders", Key=item("a"))["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-router"], headers["x-replica"], headers["x-partition"]) == ("az1-router-1", "az1-node-1", "p0")
    assert headers["x-fivenines-version"] == importlib.metadata.version("fivenines")
    assert len(headers["x-amzn-requestid"]) == 52
    assert int(headers["x-amz-crc32"]) == crc32(seen["body"])
    error = refusal(client.get_item, TableName="missing", Key=item("a"))
    assert error["ResponseMetadata"]["HTTPHeaders"]["x-router"] == "az1-router-1"


def test_the_life_of_a_table(client):
    """A table is created, described, listed, refused a second time, deleted, and then gone."""
    create(client, "life", sort="N")
    table = client.describe_table(TableName="life")["Table"]
    assert table["TableStatus"] == "ACTIVE"
    assert table["TableArn"] == "arn:aws:dynamodb:local:000000000001:table/life"
    assert table["BillingModeSummary"] == {"BillingMode": "PAY_PER_REQUEST"}
    assert [k["AttributeName"] for k in table["KeySchema"]] == ["pk", "sk"]
    client.get_waiter("table_exists").wait(TableName="life")
    error = refusal(create, client=client, name="life")["Error"]
    assert (error["Code"], error["Message"]) == ("ResourceInUseException", "Table already exists: life")
    first = client.list_tables(Limit=1)
    rest = client.list_tables(ExclusiveStartTableName=first["LastEvaluatedTableName"])
    assert first["TableNames"] + rest["TableNames"] == ["life", "orders"]
    assert client.delete_table(TableName="life")["TableDescription"]["TableStatus"] == "DELETING"
    error = refusal(client.describe_table, TableName="life")["Error"]
    expected = "Requested resource not found: Table: life not found"
    assert (error["Code"], error["Message"]) == ("ResourceNotFoundException", expected)
    client.get_waiter("table_not_exists").wait(TableName="life")


def test_what_a_table_cannot_have_is_refused(client):
    """Indexes and streams are refused in words, not ignored."""
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
    definitions = [{"AttributeName": "pk", "AttributeType": "S"}]
    index = {"IndexName": "byN", "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}}
    base = {
        "TableName": "odd",
        "KeySchema": keys,
        "AttributeDefinitions": definitions,
        "BillingMode": "PAY_PER_REQUEST",
    }
    call = client.create_table
    assert "no global secondary indexes" in message(call, **base, GlobalSecondaryIndexes=[index])
    assert "no local secondary indexes" in message(call, **base, LocalSecondaryIndexes=[index])
    streams = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    assert "no streams" in message(call, **base, StreamSpecification=streams)
    extra = [*definitions, {"AttributeName": "n", "AttributeType": "N"}]
    assert "Number of attributes in KeySchema" in message(call, **base | {"AttributeDefinitions": extra})
    assert "must both be specified" in message(call, **base | {"BillingMode": "PROVISIONED"})
    error = refusal(
        client.update_time_to_live, TableName="orders", TimeToLiveSpecification={"Enabled": True, "AttributeName": "t"}
    )
    assert error["Error"]["Code"] == "UnknownOperationException"


def test_conditional_writes(client):
    """A false condition refuses the write, and shows the item if it was asked to."""
    put = client.put_item
    put(TableName="orders", Item=item("a", v={"N": "1"}), ConditionExpression="attribute_not_exists(pk)")
    again = {"TableName": "orders", "Item": item("a", v={"N": "2"}), "ConditionExpression": "attribute_not_exists(pk)"}
    error = refusal(put, **again)
    assert error["Error"] == {"Code": "ConditionalCheckFailedException", "Message": "The conditional request failed"}
    assert "Item" not in error
    error = refusal(put, **again, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert error["Item"] == item("a", v={"N": "1"})
    values = {":one": {"N": "1.0"}}
    old = client.delete_item(
        TableName="orders",
        Key=item("a"),
        ConditionExpression="v = :one",
        ExpressionAttributeValues=values,
        ReturnValues="ALL_OLD",
    )
    assert old["Attributes"] == item("a", v={"N": "1"})
    assert "Attributes" not in client.delete_item(TableName="orders", Key=item("a"), ReturnValues="ALL_OLD")


def test_update_returns_what_is_asked_for(client):
    """NONE, ALL and UPDATED, OLD and NEW."""
    client.put_item(TableName="orders", Item=item("a", n={"N": "1"}, m={"M": {"x": {"N": "1"}, "y": {"N": "2"}}}))

    def update(returned):
        return client.update_item(
            TableName="orders",
            Key=item("a"),
            UpdateExpression="SET n = n + :one, m.x = if_not_exists(m.z, :one) ADD c :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues=returned,
        ).get("Attributes")

    assert update("NONE") is None
    assert update("UPDATED_OLD") == {"n": {"N": "2"}, "m": {"M": {"x": {"N": "1"}}}, "c": {"N": "1"}}
    assert update("UPDATED_NEW") == {"n": {"N": "4"}, "m": {"M": {"x": {"N": "1"}}}, "c": {"N": "3"}}
    whole = update("ALL_OLD")
    assert whole["n"] == {"N": "4"}
    assert whole["m"]["M"]["y"] == {"N": "2"}
    assert update("ALL_NEW")["n"] == {"N": "6"}
    created = client.update_item(TableName="orders", Key=item("new"), ReturnValues="ALL_NEW")
    assert created["Attributes"] == item("new")


def test_query_pages_ranges_and_filters(client):
    """Query goes through a partition key's items in order, both ways, by pages, within bounds, filtered and counted."""
    for number in range(10):
        client.put_item(TableName="orders", Item=item("p", f"s{number}", n={"N": str(number)}))
    client.put_item(TableName="orders", Item=item("q", "s0"))
    base = {"TableName": "orders", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "p"}}}
    pages = list(client.get_paginator("query").paginate(**base, PaginationConfig={"PageSize": 4}))
    assert [len(page["Items"]) for page in pages] == [4, 4, 2]
    assert [i["sk"]["S"] for page in pages for i in page["Items"]] == [f"s{n}" for n in range(10)]
    back = client.query(**base, ScanIndexForward=False, Limit=3)
    assert [i["sk"]["S"] for i in back["Items"]] == ["s9", "s8", "s7"]
    more = client.query(**base, ScanIndexForward=False, ExclusiveStartKey=back["LastEvaluatedKey"], Limit=2)
    assert [i["sk"]["S"] for i in more["Items"]] == ["s6", "s5"]

    def keys(condition, **values):
        given = {":p": {"S": "p"}} | {f":{k}": {"S": v} for k, v in values.items()}
        asked = base | {"KeyConditionExpression": f"pk = :p AND {condition}", "ExpressionAttributeValues": given}
        return [i["sk"]["S"] for i in client.query(**asked)["Items"]]

    assert keys("sk BETWEEN :a AND :b", a="s3", b="s5") == ["s3", "s4", "s5"]
    assert keys("sk > :a", a="s7") == ["s8", "s9"]
    assert keys(":a >= sk", a="s1") == ["s0", "s1"]
    assert keys("begins_with(sk, :a)", a="s") == [f"s{n}" for n in range(10)]
    assert keys("sk = :a", a="s4") == ["s4"]
    filtered = client.query(
        **base | {"ExpressionAttributeValues": {":p": {"S": "p"}, ":n": {"N": "6.0"}}, "FilterExpression": "n >= :n"},
        Select="COUNT",
        ReturnConsumedCapacity="TOTAL",
    )
    assert (filtered["Count"], filtered["ScannedCount"], "Items" in filtered) == (4, 10, False)
    assert filtered["ConsumedCapacity"] == {"TableName": "orders", "CapacityUnits": 0.5}


def test_numeric_and_binary_sort_keys_are_in_their_own_order(client):
    """Numbers sort as numbers and binary as bytes."""
    create(client, "numbers", sort="N")
    for text in ("10", "9", "-1.5", "-20", "0", "1e-3"):
        client.put_item(TableName="numbers", Item={"pk": {"S": "a"}, "sk": {"N": text}})
    asked = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}
    found = client.query(TableName="numbers", **asked)["Items"]
    assert [i["sk"]["N"] for i in found] == ["-20", "-1.5", "0", "0.001", "9", "10"]
    create(client, "bytes", sort="B", hash_type="B")
    for raw in (b"\xff", b"\x00\x01", b"\x00"):
        client.put_item(TableName="bytes", Item={"pk": {"B": b"k"}, "sk": {"B": raw}})
    found = client.query(TableName="bytes", **asked | {"ExpressionAttributeValues": {":p": {"B": b"k"}}})["Items"]
    assert [i["sk"]["B"] for i in found] == [b"\x00", b"\x00\x01", b"\xff"]
    client.delete_table(TableName="numbers")
    client.delete_table(TableName="bytes")


def test_scan_finds_everything_once(client):
    """A paged scan and a parallel scan see every item exactly once."""
    expected = {f"p{n}" for n in range(30)}
    for name in expected:
        client.put_item(TableName="orders", Item=item(name))

    def scanned(**parameters):
        pages = client.get_paginator("scan").paginate(
            TableName="orders", PaginationConfig={"PageSize": 7}, **parameters
        )
        return [i["pk"]["S"] for page in pages for i in page["Items"]]

    assert sorted(scanned()) == sorted(expected)
    parts = [scanned(TotalSegments=3, Segment=n) for n in range(3)]
    assert sorted(name for part in parts for name in part) == sorted(expected)
    shown = client.scan(TableName="orders", ProjectionExpression="pk", Limit=1)
    assert len(shown["Items"]) == 1
    assert shown["Items"][0].keys() == {"pk"}


def test_batches(client, world):
    """Batches write and read several tables; what the store refuses is unprocessed; all refused is an error."""
    writes = [{"PutRequest": {"Item": item(f"b{n}")}} for n in range(25)]
    answer = client.batch_write_item(RequestItems={"orders": writes}, ReturnConsumedCapacity="TOTAL")
    assert answer["UnprocessedItems"] == {}
    assert answer["ConsumedCapacity"] == [{"TableName": "orders", "CapacityUnits": 25.0}]
    wanted = {"orders": {"Keys": [item(f"b{n}") for n in range(40)], "ProjectionExpression": "pk"}}
    found = client.batch_get_item(RequestItems=wanted)
    assert len(found["Responses"]["orders"]) == 25
    throttled = StoreError(ErrorKind.THROTTLED, via=Via(node="az2-node-1", partition="p0"))
    world.store.failing, world.store.failing_keys = throttled, {b"b3"}
    found = client.batch_get_item(RequestItems=wanted)
    assert found["UnprocessedKeys"] == {"orders": {"Keys": [item("b3")], "ProjectionExpression": "pk"}}
    left = client.batch_write_item(RequestItems={"orders": writes[:5]})["UnprocessedItems"]
    assert left == {"orders": [writes[3]]}
    world.store.failing_keys = set()
    error = refusal(client.batch_get_item, RequestItems=wanted)
    assert error["Error"]["Code"] == "ProvisionedThroughputExceededException"
    assert error["ThrottlingReasons"][0]["reason"] == "TableReadKeyRangeThroughputExceeded"
    world.store.failing = None
    assert "duplicates" in message(client.batch_write_item, RequestItems={"orders": writes[:1] * 2})
    error = refusal(client.batch_write_item, RequestItems={"orders": writes + writes[:1]})["Error"]
    assert error["Message"] == "Too many items requested for the BatchWriteItem call"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ErrorKind.NO_LEADER, (500, "InternalServerError", "server_fault")),
        (ErrorKind.TIMEOUT, (500, "InternalServerError", "server_fault")),
        (ErrorKind.UNAVAILABLE, (503, "ServiceUnavailable", "server_fault")),
        (ErrorKind.THROTTLED, (400, "ProvisionedThroughputExceededException", "throttled")),
        (ErrorKind.NO_SUCH_TABLE, (400, "ResourceNotFoundException", "customer_fault")),
    ],
)
def test_the_backs_refusals(client, world, kind, expected):
    """Each refusal of the back has its status, its name and its outcome, and names the node that was asked."""
    status, code, outcome = expected
    world.store.failing = StoreError(kind, via=Via(node="az3-node-2", partition="p7"))
    labels = {"table": "orders", "operation": "strong_read", "endpoint": "standard", "outcome": outcome}
    before = world.count("store_requests_total", **labels)
    error = refusal(client.get_item, TableName="orders", Key=item("a"), ConsistentRead=True)
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status
    assert error["Error"]["Code"] == code
    assert error["ResponseMetadata"]["HTTPHeaders"]["x-replica"] == "az3-node-2"
    assert world.count("store_requests_total", **labels) == before + 1


def test_a_bug_is_an_internal_error(client, world):
    """An unexpected exception is told as a 500 without its text."""
    world.store.failing = RuntimeError("the details")
    error = refusal(client.get_item, TableName="orders", Key=item("a"))
    assert (error["Error"]["Code"], error["Error"]["Message"]) == ("InternalServerError", "Internal server error")


def test_injected_errors_and_unknown_tables(client, world):
    """An installed error is answered instead of serving; an unknown table never becomes a label."""
    world.faults.status = 503
    assert refusal(client.put_item, TableName="orders", Item=item("a"))["Error"]["Code"] == "ServiceUnavailable"
    assert world.faults.asked[-1] == ("az1-router-1", "standard", "write", "orders")
    world.faults.status = None
    assert refusal(client.get_item, TableName="no-such", Key=item("a"))["Error"]["Code"] == "ResourceNotFoundException"
    labels = {"table": "no-such", "operation": "eventual_read", "endpoint": "standard", "outcome": "customer_fault"}
    assert world.count("store_requests_total", **labels) == 0
    assert world.count("store_requests_total", **labels | {"table": ""}) >= 1


def test_validation(client):
    """Mistakes are told in DynamoDB's words."""
    put, get = client.put_item, client.get_item
    assert message(put, TableName="orders", Item={"sk": {"S": "x"}}) == (
        "One or more parameter values were invalid: Missing the key pk in the item"
    )
    assert message(put, TableName="orders", Item=item("a") | {"sk": {"N": "1"}}) == (
        "One or more parameter values were invalid: Type mismatch for key sk expected: S actual: N"
    )
    assert "empty string value. Key: pk" in message(put, TableName="orders", Item=item(""))
    assert (
        message(get, TableName="orders", Key={"pk": {"S": "a"}}) == "The provided key element does not match the schema"
    )
    assert "cannot be converted to a numeric value: x" in message(put, TableName="orders", Item=item("a", n={"N": "x"}))
    assert "contains duplicates" in message(put, TableName="orders", Item=item("a", n={"NS": ["1", "1.0"]}))
    assert "may not be empty" in message(put, TableName="orders", Item=item("a", n={"SS": []}))
    assert (
        message(put, TableName="orders", Item=item("a"), ReturnValues="ALL_NEW")
        == "ReturnValues can only be ALL_OLD or NONE"
    )
    assert "enum value set" in message(put, TableName="orders", Item=item("a"), ReturnValues="SOME")
    big = item("a", blob={"S": "é" * 210_000})
    assert message(put, TableName="orders", Item=big) == "Item size has exceeded the maximum allowed size"
    put(TableName="orders", Item=item("a", blob={"S": "x" * 300_000}))
    update = {"TableName": "orders", "Key": item("a"), "UpdateExpression": "SET b = :b"}
    grown = message(client.update_item, **update, ExpressionAttributeValues={":b": {"S": "x" * 200_000}})
    assert grown == "Item size to update has exceeded the maximum allowed size"
    deep = {"S": "x"}
    for _ in range(MAX_DEPTH + 1):
        deep = {"L": [deep]}
    assert "Nesting Levels" in message(put, TableName="orders", Item=item("a", d=deep))
    assert "legacy" in message(get, TableName="orders", Key=item("a"), AttributesToGet=["pk"])
    assert "part of the key" in message(
        client.update_item, **update | {"UpdateExpression": "SET sk = :b"}, ExpressionAttributeValues={":b": {"S": "x"}}
    )
    error = message(
        client.query,
        TableName="orders",
        IndexName="byN",
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "a"}},
    )
    assert error == "The table does not have the specified index: byN"


def test_the_resource_layer(client, world):
    """boto3's Table, with Python values and its batch writer, works too."""
    table = boto3.resource(
        "dynamodb",
        endpoint_url=world.url("account"),
        region_name="x",
        aws_access_key_id="AKTEST",
        aws_secret_access_key="a secret",
    ).Table("orders")
    with table.batch_writer() as batch:
        for number in range(60):
            batch.put_item(
                {"pk": "many", "sk": f"{number:03}", "n": Decimal(number), "tags": {"a", "b"}, "bin": b"\x00\xff"}
            )
    condition = boto3.dynamodb.conditions.Key("pk").eq("many") & boto3.dynamodb.conditions.Key("sk").between(
        "010", "019"
    )
    wanted = boto3.dynamodb.conditions.Attr("n").gt(12) & ~boto3.dynamodb.conditions.Attr("tags").contains("z")
    found = table.query(KeyConditionExpression=condition, FilterExpression=wanted)["Items"]
    assert [int(i["n"]) for i in found] == list(range(13, 20))
    assert found[0]["tags"] == {"a", "b"}
    assert found[0]["bin"].value == b"\x00\xff"


def test_small_things(client, world):
    """Endpoints and limits are described; capacity is told."""
    assert client.describe_endpoints()["Endpoints"][0]["Address"] == str(world.router.http["standard"])
    assert client.describe_limits()["TableMaxReadCapacityUnits"] == 40000
    put = client.put_item(TableName="orders", Item=item("a", b={"S": "x" * 3000}), ReturnConsumedCapacity="INDEXES")
    assert put["ConsumedCapacity"] == {"TableName": "orders", "CapacityUnits": 3.0, "Table": {"CapacityUnits": 3.0}}
    got = client.get_item(TableName="arn:aws:dynamodb:x:1:table/orders", Key=item("a"), ReturnConsumedCapacity="TOTAL")
    assert got["ConsumedCapacity"]["CapacityUnits"] == 0.5
