"""A router remembers what it has seen, for whoever asks for a request that did not come back."""

import json
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from cluster.api.seen import ASKED_PER_SECOND, IDS_MAX, KEPT_GOOD, SeenRequests
from cluster.ports import ErrorKind, StoreError, Via
from tests.cluster.front_world import create, serving


def remembered(*requests: tuple[int, str, int, float]) -> SeenRequests:
    """A memory of requests: id, the client's, status, duration; one a second from second 100 on."""
    seen = SeenRequests(100.0)
    for i, (number, client, status, seconds) in enumerate(requests):
        seen.arrived(number, client, 100.0 + i)
        if status:
            seen.answered(number, status, "" if status == 200 else "Broken", seconds)
    return seen


def test_a_request_is_found_by_either_id() -> None:
    """Ours in hexadecimal, or the client's; all attempts of a call have the client's."""
    seen = remembered((1, "call", 500, 0.1), (2, "call", 200, 0.2), (3, "other", 200, 0.1))
    assert [(f.status, f.error) for f in seen.find(["call"], 110.0).found] == [(500, "Broken"), (200, "")]
    assert [f.id for f in seen.find([f"{3:052X}"], 110.0).found] == [f"{3:052X}"]
    assert seen.find(["nobody", "", "zz" * 26], 110.0).found == ()


def test_a_request_under_way_has_been_seen() -> None:
    """Who gave up before the router did learns that it was there."""
    found = remembered((1, "slow", 0, 0.0)).find(["slow"], 104.0).found
    assert [(f.status, f.at, f.duration_ms) for f in found] == [(0, 100.0, 4000.0)]


def test_many_good_requests_do_not_push_out_a_failure() -> None:
    """Failures and slow ones are kept apart; from when on all is known is said."""
    seen = SeenRequests(0.0)
    for i in range(KEPT_GOOD + 10):
        seen.arrived(i, f"c{i}", float(i))
        seen.answered(i, 500 if i == 1 else 200, "", 0.9 if i == 2 else 0.001)
    kept = seen.find(["c0", "c1", "c2", f"c{KEPT_GOOD}"], 1e6)
    assert [f.id for f in kept.found] == ["c1", "c2", f"c{KEPT_GOOD}"]
    assert kept.since == 10.0  # the oldest good one that is still there


def test_questions_are_bounded() -> None:
    """So many ids at once, so many questions a second; a new second begins anew."""
    seen = remembered((1, "last", 200, 0.1))
    assert not seen.find([*(str(i) for i in range(IDS_MAX)), "last"], 110.0).found
    assert [seen.admits(5.0) for _ in range(ASKED_PER_SECOND + 1)] == [True] * ASKED_PER_SECOND + [False]
    assert seen.admits(6.0)


def test_remembering_a_good_request_costs_less_than_a_microsecond() -> None:
    """The least of some rounds, in process time; twice as much is allowed for a busy machine."""
    seen, best = SeenRequests(0.0), 1.0
    for _ in range(10):
        began = time.process_time()
        for i in range(2000):
            seen.arrived(i, "6cbe2ec1-5a3d-4b7a-9a0e-2f3a5d4c1b0a", 1.0)
            seen.answered(i, 200, "", 0.001)
        best = min(best, (time.process_time() - began) / 2000)
    assert best < 2e-6


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("front")) as served:
        create(served.client(), "orders")
        yield served


def asked(world, ids):
    address = next(iter(world.router.http.values()))
    with urllib.request.urlopen(f"http://{address.host}:{address.port}/requests?ids={','.join(ids)}") as answer:
        return json.load(answer)


def test_a_router_tells_over_http_what_became_of_boto3_s_requests(world):
    """A good one and a failed one, by the id in the answer and by the SDK's own."""
    client = world.client()
    calls = []
    client.meta.events.register("before-send.dynamodb.*", lambda request, **_: calls.append(request.headers))
    key = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    good = client.get_item(TableName="orders", Key=key)["ResponseMetadata"]["RequestId"]
    world.store.failing = StoreError(ErrorKind.UNAVAILABLE, via=Via())
    with pytest.raises(ClientError) as caught:
        client.get_item(TableName="orders", Key=key)
    world.store.failing = None
    theirs = calls[-1]["amz-sdk-invocation-id"]
    theirs = theirs.decode() if isinstance(theirs, bytes) else theirs
    told = asked(world, [good, theirs])
    statuses = {one["id"]: one["status"] for one in told["found"]}
    assert statuses == {good: 200, theirs: caught.value.response["ResponseMetadata"]["HTTPStatusCode"]}
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(world, [str(i) for i in range(IDS_MAX + 1)])
    assert refused.value.code == 503
