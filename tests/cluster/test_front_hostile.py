"""Whatever is sent to a router, it answers with a 4xx, counts it, and goes on serving."""

import contextlib
import json
import socket
import time
import uuid

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from prometheus_client import CollectorRegistry

from cluster.api.connection import Limits
from cluster.api.metrics import MAX_TABLES, RouterMetrics
from tests.cluster.front_world import ACCESS_KEY_ID, SECRET, create, serving

LIMITS = Limits(connections=20, idle_seconds=2.0, receive_seconds=1.0, large_bodies_bytes=24 * 1024 * 1024)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("front"), limits=LIMITS) as served:
        create(served.client(), "orders")
        yield served


@pytest.fixture(autouse=True)
def still_serves(world):
    """After each test a customer is served as before."""
    yield
    world.client().list_tables()


def signed(world, body, *, operation="PutItem", secret=SECRET, key_id=ACCESS_KEY_ID, **changes):
    """The bytes of a signed request; ``changes`` replace headers after signing."""
    host = str(world.router.http["standard"])
    request = AWSRequest("POST", f"http://{host}/", data=body)
    request.headers["Content-Type"] = "application/x-amz-json-1.0"
    request.headers["X-Amz-Target"] = f"DynamoDB_20120810.{operation}"
    request.headers["Host"] = host
    SigV4Auth(Credentials(key_id, secret), "dynamodb", "us-west-2").add_auth(request)
    headers = dict(request.headers.items()) | {"Content-Length": str(len(body))} | changes
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + body


def ask(world, data, *, patience=8.0):
    """Send bytes on a connection of its own; status, headers and body of the answer."""
    address = world.router.http["standard"]
    with socket.create_connection((address.host, address.port), timeout=patience) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        return read_answer(connection)


def read_answer(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return None
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(status.split()[1]), headers, body


def code(answer):
    return json.loads(answer[2])["__type"].partition("#")[2]


GOOD = json.dumps({"TableName": "orders", "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}}).encode()
UNSIGNED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: DynamoDB_20120810.%s\r\nContent-Length: %d\r\n\r\n"


def unsigned(operation=b"ListTables", body=b"{}"):
    return UNSIGNED % (operation, len(body)) + body


def test_a_good_request_by_hand_is_served(world):
    """The test's own way of signing is right, so that the refusals below mean something."""
    status, headers, body = ask(world, signed(world, GOOD))
    assert (status, body) == (200, b"{}")
    assert headers["content-type"] == "application/x-amz-json-1.0"


@pytest.mark.parametrize(
    ("make", "expected", "reason"),
    [
        (lambda w: unsigned(), "MissingAuthenticationTokenException", "unsigned"),
        (lambda w: signed(w, GOOD, Authorization="AWS4-HMAC-SHA256 Credential=x"), "IncompleteSignatureException", "incomplete_signature"),
        (lambda w: signed(w, GOOD, Authorization="Basic eDp5"), "IncompleteSignatureException", "incomplete_signature"),
        (lambda w: signed(w, GOOD, **{"X-Amz-Date": "yesterday"}), "IncompleteSignatureException", "incomplete_signature"),
        (lambda w: signed(w, GOOD, secret="guessed"), "InvalidSignatureException", "invalid_signature"),
        (lambda w: signed(w, GOOD, key_id="AKNOBODY"), "UnrecognizedClientException", "unknown_client"),
        (lambda w: signed(w, GOOD).replace(b'"S": "a"', b'"S": "z"'), "InvalidSignatureException", "invalid_signature"),
        (lambda w: signed(w, GOOD, **{"X-Amz-Target": "DynamoDB_20120810.DeleteItem"}), "InvalidSignatureException", "invalid_signature"),
        (lambda w: signed(w, b"{not json"), "SerializationException", "malformed"),
        (lambda w: signed(w, b"\xff\xfe"), "SerializationException", "malformed"),
        (lambda w: signed(w, b""), "SerializationException", "malformed"),
        (lambda w: signed(w, b"[]"), "SerializationException", "malformed"),
        (lambda w: signed(w, b"[" * 100_000), "SerializationException", "malformed"),
        (lambda w: signed(w, b'{"a":' * 100_000), "SerializationException", "malformed"),
        (lambda w: signed(w, b'{"TableName": ' + b"9" * 5000 + b"}"), "SerializationException", "malformed"),
        (lambda w: signed(w, b'{"TableName": 5, "Item": {}}'), "SerializationException", "malformed"),
        (lambda w: signed(w, b'{"TableName": "orders", "Item": {"pk": {"S": 5}}}'), "SerializationException", "malformed"),
        (lambda w: signed(w, b'{"TableName": "orders", "Item": {"pk": "a"}}'), "SerializationException", "malformed"),
        (lambda w: signed(w, b'{"TableName": "orders", "Item": {"pk": {"B": "***"}}}'), "SerializationException", "malformed"),
        (lambda w: signed(w, GOOD, operation="FlyToTheMoon"), "UnknownOperationException", "unknown_operation"),
        (lambda w: signed(w, GOOD, operation="TransactWriteItems"), "UnknownOperationException", "unknown_operation"),
    ],
)  # fmt: skip
def test_refusals_are_named_and_counted(world, make, expected, reason):
    """What is not signed, not readable or not known is a 400 of its own name, and one count."""
    before = world.refused(reason)
    answer = ask(world, make(world))
    assert (answer[0], code(answer)) == (400, expected)
    assert answer[1]["x-router"] == "az1-router-1"
    assert world.refused(reason) == before + 1


def test_signatures_grow_old(world):
    """A router whose clock is 16 minutes off refuses everybody; one that is 14 minutes off nobody."""
    request = signed(world, GOOD)
    for skew, status in ((16 * 60, 400), (-16 * 60, 400), (14 * 60, 200), (-14 * 60, 200)):
        world.faults.skew_seconds = skew
        assert ask(world, request)[0] == status
    world.faults.skew_seconds = 0


@pytest.mark.parametrize(
    ("make", "status", "reason"),
    [
        (lambda w: b"\x16\x03\x01\x02\x00\x01\x00" * 30 + b"\r\n\r\n", 400, "malformed"),
        (lambda w: b"GARBAGE\r\n\r\n", 400, "malformed"),
        (lambda w: b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400, "malformed"),
        (lambda w: b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "malformed"),
        (lambda w: b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
        (lambda w: b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431, "header_too_large"),
        (lambda w: b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", 431, "header_too_large"),
        (lambda w: b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(200)) + b"\r\n", 431, "header_too_large"),
        (lambda w: signed(w, b" " * 10_000_000), 413, "too_large"),
        (lambda w: unsigned(b"PutItem", b" " * 10_000_000), 413, "too_large"),
        (lambda w: unsigned(b"BatchWriteItem", b" " * 17_000_000), 413, "too_large"),
        (lambda w: UNSIGNED.replace(b"%d", b"999999999999999") % b"PutItem", 413, "too_large"),
        (lambda w: b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 5, 413, "too_large"),
        (lambda w: b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found"),
        (lambda w: b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404, "not_found"),
        (lambda w: b"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found"),
    ],
)  # fmt: skip
def test_bad_http_is_told_and_counted(world, make, status, reason):
    """What is no HTTP, too large or elsewhere gets its status, and one count."""
    before = world.refused(reason)
    answer = ask(world, make(world))
    assert answer is not None
    assert answer[0] == status
    assert world.refused(reason) == before + 1


def test_a_large_batch_is_not_too_large(world):
    """A BatchWriteItem of 10 MB is within DynamoDB's limits and is served."""
    item = {"pk": {"S": "big"}, "blob": {"S": "x" * 395_000}}
    items = [{"PutRequest": {"Item": item | {"sk": {"S": str(n)}}}} for n in range(25)]
    assert world.client().batch_write_item(RequestItems={"orders": items})["UnprocessedItems"] == {}
    world.store.items["orders"].clear()


def test_all_large_bodies_together_are_limited(world):
    """Bodies that would fill the memory are refused before they come, and room comes back."""
    address = world.router.http["standard"]
    head = UNSIGNED % (b"BatchWriteItem", 15_000_000)
    with socket.create_connection((address.host, address.port), timeout=5) as first:
        first.sendall(head + b" ")
        time.sleep(0.1)
        assert ask(world, head)[0] == 503
    assert world.refused("overloaded") == 1
    time.sleep(0.1)
    assert ask(world, signed(world, b" " * 15_000_000, operation="BatchWriteItem"))[0] == 400


def test_a_10_mb_item_is_refused_to_a_real_client(world):
    """boto3 is told, not cut off."""
    before = world.refused("too_large")
    with pytest.raises(ClientError) as caught:
        world.client().put_item(
            TableName="orders", Item={"pk": {"S": "a"}, "sk": {"S": "b"}, "c": {"S": "x" * 10_000_000}}
        )
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert world.refused("too_large") == before + 1


def test_slow_and_silent_clients_are_let_go(world):
    """An unfinished request is told a timeout; a silent connection is closed."""
    address = world.router.http["standard"]
    before = world.refused("timeout")
    with (
        socket.create_connection((address.host, address.port), timeout=8) as slow,
        socket.create_connection((address.host, address.port), timeout=8) as silent,
    ):
        slow.sendall(b"POST / HTTP/1.1\r\nHost:")
        status, headers, _ = read_answer(slow)
        assert (status, headers["connection"]) == (408, "close")
        assert silent.recv(10) == b""
    assert world.refused("timeout") == before + 1


def test_more_connections_than_allowed_are_told_so(world):
    """Beyond the limit a connection gets a 503, and room comes back when others close."""
    address = world.router.http["standard"]
    before = world.refused("too_many_connections")
    with contextlib.ExitStack() as stack:
        many = [
            stack.enter_context(socket.create_connection((address.host, address.port), timeout=5)) for _ in range(21)
        ]
        assert read_answer(many[-1])[0] == 503
    assert world.refused("too_many_connections") > before
    time.sleep(0.05)


def test_pipelined_and_kept_connections_are_answered_in_order(world):
    """Several requests in one packet, and one cut into bytes, get their answers in order on one connection."""
    address = world.router.http["standard"]
    ping = b"GET / HTTP/1.1\r\nHost: %d\r\n\r\n"
    with socket.create_connection((address.host, address.port), timeout=5) as connection:
        for number in range(3):
            connection.sendall(ping % number)
            assert read_answer(connection)[2] == b"healthy: %d " % number
        request = signed(world, GOOD)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), 97):
            connection.sendall(request[start : start + 97])
        assert read_answer(connection)[0] == 200
        connection.sendall(b"".join(ping % n for n in range(5)))
        received = b""
        while received.count(b"healthy") < 5:
            received += connection.recv(65536)
        assert [b"healthy: %d " % n in received for n in range(5)] == [True] * 5
        connection.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        assert read_answer(connection)[1]["connection"] == "close"
        assert connection.recv(10) == b""


def test_ping_and_metrics(world):
    """A router says that it is healthy with DynamoDB's checksum, and shows its metrics unless they are muted."""
    status, headers, body = ask(world, b"GET / HTTP/1.1\r\nHost: dynamodb.us-east-1.amazonaws.com\r\n\r\n")
    assert (status, body) == (200, b"healthy: dynamodb.us-east-1.amazonaws.com ")
    assert headers["x-amz-crc32"] == "3128867991"
    assert ask(world, b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")[1]["x-amz-crc32"] == "3552371480"
    page = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    text = ask(world, page)[2].decode()
    for name in (
        "store_requests_total",
        "store_request_duration_seconds_bucket",
        "store_refused_total",
        "store_build_info",
    ):
        assert name in text
    world.faults.muted = True
    assert ask(world, page)[0] == 503
    world.faults.muted = False


def test_signatures_can_be_switched_off(tmp_path):
    """`parse` wants a header but not a true one; `off` wants none."""
    forged = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/x/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
    }
    with serving(tmp_path, signatures="parse") as world:
        assert ask(world, signed(world, b"{}", operation="ListTables", **forged))[0] == 200
        assert code(ask(world, unsigned())) == "MissingAuthenticationTokenException"
    with serving(tmp_path, signatures="off") as world:
        assert ask(world, unsigned())[0] == 200


def test_request_ids_differ(world):
    """Every answer has an id of its own."""
    ids = {ask(world, unsigned())[1]["x-amzn-requestid"] for _ in range(5)}
    assert len(ids) == 5
    assert uuid.uuid4().hex not in ids


def test_many_tables_do_not_fill_the_metrics():
    """Tables beyond a bound are counted together."""
    registry = CollectorRegistry()
    metrics = RouterMetrics(registry, version="0")
    for number in range(2 * MAX_TABLES):
        metrics.answered(f"t{number}", "write", "standard", "success", 0.001)
    labels = {"operation": "write", "endpoint": "standard", "outcome": "success"}
    assert registry.get_sample_value("store_requests_total", labels | {"table": "t0"}) == 1
    assert registry.get_sample_value("store_requests_total", labels | {"table": ""}) == MAX_TABLES + 1
