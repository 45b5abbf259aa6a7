"""The scan names the narrowest explanation, by the path that attempts took."""

import random

import numpy as np
import pytest

from cfa.cube import Cube, Path, scope_of
from cfa.scope import Explanation, Scan
from tests.cfa.world import ENDPOINTS, OPERATIONS, ZONES, leader, zone_of

Fails = tuple[str, ...]


def attempts(count: int, seed: int = 1) -> list[Path]:
    """Attempts of all canaries, evenly over everything."""
    rng = random.Random(seed)
    paths = []
    for _ in range(count):
        zone, partition, operation = rng.choice(ZONES), rng.randrange(9), rng.choice(OPERATIONS)
        router = f"{rng.choice(ZONES)}-router-{rng.choice((1, 2))}"
        led = operation != "eventual_read"
        node = leader(partition) if led else f"{zone_of(router)}-node-{partition // 3 % 3 + 1}"
        paths.append(
            Path(
                f"{zone}-canary-{rng.choice((1, 2))}",
                zone,
                rng.choice(ENDPOINTS),
                rng.choice(("fresh", "pooled")),
                str(operation),
                "canary",
                f"p{partition}",
                router,
                zone_of(router),
                node,
                zone_of(node),
                "2.1.0" if router in ("az1-router-1", "az3-router-2") else "2.0.0",
            )
        )
    return paths


def explain(failed: list[tuple[Path, bool]]) -> tuple[Cube, tuple[Explanation, ...]]:
    """The scan's answer."""
    cube = Cube("local")
    places = np.array([cube.place(path) for path, _ in failed], np.int32)
    unique, inverse = np.unique(places, return_inverse=True)
    bad = np.bincount(inverse, [int(f) for _, f in failed]).astype(np.int64)
    n = np.bincount(inverse).astype(np.int64)
    return cube, Scan(cube, unique, bad, n, allowed=1e-4).explain()


FAULTS = {
    "region": ({"region": "local"}, None, None, lambda p: True),
    "zone": ({"zone": "az2"}, None, None, lambda p: "az2" in (p.router_zone, p.node_zone)),
    "endpoint": ({"endpoint": "fips"}, None, None, lambda p: p.endpoint == "fips"),
    "endpoint, fresh": ({"endpoint": "fips"}, "fresh", None, lambda p: (p.endpoint, p.connection) == ("fips", "fresh")),
    "zone and endpoint": (
        {"zone": "az3", "endpoint": "fips"},
        None,
        None,
        lambda p: p.endpoint == "fips" and "az3" in (p.router_zone, p.node_zone),
    ),
    "router": ({"router": "az1-router-2"}, None, None, lambda p: p.router == "az1-router-2"),
    "version": ({"version": "2.1.0"}, None, None, lambda p: p.version == "2.1.0"),
    "node": ({"node": "az1-node-2"}, None, None, lambda p: p.node == "az1-node-2"),
    "partition": ({"table": "canary", "partition": "p5"}, None, None, lambda p: p.partition == "p5"),
    "writes": ({"region": "local"}, None, "write", lambda p: p.operation == "write"),
    "a canary host": ({"observer": "az3-canary-1"}, None, None, lambda p: p.host == "az3-canary-1"),
    "a zone's canaries": ({"observer_zone": "az3"}, None, None, lambda p: p.observer_zone == "az3"),
}


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("name", FAULTS)
def test_one_fault(name: str, share: float) -> None:
    """One fault of any kind, total or partial, is named exactly, with its refinement."""
    scope, connection, side, hits = FAULTS[name]
    rng = random.Random(7)
    cube, found = explain([(p, hits(p) and rng.random() < share) for p in attempts(1_500)])
    assert scope_of(cube.nodes[found[0].node]) == scope
    assert (found[0].connection, found[0].side) == (connection, side)


def test_two_faults() -> None:
    """Two faults at once are two explanations, neither of them the region."""
    cube, found = explain(
        [(p, p.router == "az1-router-1" or (p.endpoint, p.connection) == ("fips", "fresh")) for p in attempts(1_500)]
    )
    scopes = [scope_of(cube.nodes[e.node]) for e in found]
    assert sorted(map(str, scopes)) == sorted(map(str, [{"router": "az1-router-1"}, {"endpoint": "fips"}]))


def test_a_bad_version_on_one_router_is_named_as_the_version() -> None:
    """Of two explanations as good as each other, the one that was just deployed; a version that runs everywhere is the region."""
    paths = [p._replace(version="2.1.0" if p.router == "az1-router-1" else "2.0.0") for p in attempts(1_500)]
    cube, found = explain([(p, p.version == "2.1.0") for p in paths])
    assert [scope_of(cube.nodes[e.node]) for e in found] == [{"version": "2.1.0"}]
    cube, found = explain([(p._replace(version="2.0.0"), True) for p in paths])
    assert [scope_of(cube.nodes[e.node]) for e in found] == [{"region": "local"}]


def test_one_kind_of_question_is_named_when_its_side_is_not_enough() -> None:
    """Strong reads that fail everywhere are the operation; writes, when only one operation writes, are the region's write side."""
    paths = attempts(1_500)
    cube, found = explain([(p, p.operation == "strong_read") for p in paths])
    assert [scope_of(cube.nodes[e.node]) for e in found] == [{"operation": "strong_read"}]
    cube, found = explain([(p, p.side == 1) for p in paths])
    assert [(scope_of(cube.nodes[e.node]), e.side) for e in found] == [({"region": "local"}, "write")]


def test_attempts_without_an_answer_are_explained_by_their_router() -> None:
    """A zone that never answers is known by the pinned addresses of its routers, though no node is known."""
    paths = [
        p._replace(node=None, node_zone=None) if p.router_zone == "az1" else p
        for p in attempts(1_500)
        if p.observer_zone != "az1"
    ]
    cube, found = explain([(p, p.router_zone == "az1") for p in paths])
    assert [scope_of(cube.nodes[e.node]) for e in found] == [{"zone": "az1"}]


def test_accuracy_on_few_failures() -> None:
    """Five failures of a total fault name it nine times in ten; with rare failures elsewhere, too."""
    hits, cases = 0, 60
    for seed in range(cases):
        rng = random.Random(seed)
        name = rng.choice(["router", "endpoint", "zone", "partition"])
        scope, _, _, is_hit = FAULTS[name]
        left, rows = 5, []
        for p in attempts(3_000, seed):
            if left and is_hit(p):
                left -= 1
                rows.append((p, True))
            elif not is_hit(p):
                rows.append((p, rng.random() < 2e-4))
        cube, found = explain(rows)
        hits += bool(found) and scope_of(cube.nodes[found[0].node]) == scope
    assert hits >= 0.9 * cases


def test_the_standing_verdict_is_favoured() -> None:
    """Of two explanations as good as each other, the one that stands stays."""
    cube = Cube("local")
    paths = [p for p in attempts(1_500) if p.partition != "p0"]
    paths += [p for p in attempts(4_000, 2) if p.partition == "p0" and p.node == "az1-node-1"]
    failed = [p.partition == "p0" for p in paths]
    places = np.array([cube.place(p) for p in paths], np.int32)
    unique, inverse = np.unique(places, return_inverse=True)
    bad = np.bincount(inverse, failed).astype(np.int64)
    n = np.bincount(inverse).astype(np.int64)
    for node in (("partition", ("canary", "p0")), ("node", ("az1-node-1",))):
        scan = Scan(cube, unique, bad, n, allowed=1e-4, favoured=[cube.node(node)])
        plain = Scan(cube, unique, bad, n, allowed=1e-4)
        assert scan.gain_of(cube.node(node), None, None) == pytest.approx(
            plain.gain_of(cube.node(node), None, None) + 3
        )


def test_nothing_failed() -> None:
    """Without failures there is nothing to explain."""
    assert explain([(p, False) for p in attempts(100)])[1] == ()
