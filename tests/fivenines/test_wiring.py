"""How the rooms are joined."""

import json
from pathlib import Path

from cluster.topology import build
from fivenines.config import Config, parse
from fivenines.parts import parts_of
from fivenines.wiring import resolve


def resolved(text: str = "") -> Config:
    """The resolved configuration of a file."""
    config = parse(text, "x.yaml")
    return resolve(config, build(config.cluster, single=False), Path("/state"))


def test_the_canaries_know_every_endpoint_and_every_router() -> None:
    """Four endpoints with their DNS names, six routers by address, a key for every partition of the canary table."""
    canary = resolved().canary
    assert [endpoint.name for endpoint in canary.endpoints] == ["standard", "fips", "dualstack", "account"]
    assert {hop.router for hop in canary.path_hops} == {f"az{z}-router-{r}" for z in (1, 2, 3) for r in (1, 2)}
    assert canary.partitions == 9
    assert canary.resolver == "127.0.0.1:10053"


def test_every_server_is_scraped_and_every_cell_expected() -> None:
    """Six routers and nine nodes; 3 zones × 4 endpoints × 3 operations × 2 connections."""
    config = resolved()
    assert len(config.collector.scrape) == 15
    assert config.cfa.matrix_cells == 72


def test_what_the_user_has_set_stays() -> None:
    """The wiring fills in only what still has its default."""
    config = resolved("cfa:\n  matrix_cells: 5\ncollector:\n  port: 9999\n")
    assert config.cfa.matrix_cells == 5
    assert config.cfa.collector == "http://127.0.0.1:9999"


def test_the_resolved_configuration_survives_its_file() -> None:
    """What the stack writes for its parts is read back the same (JSON is YAML); a destination's secret is named by its file."""
    config = resolved()
    assert parse(config.model_dump_json(indent=1), "resolved.json") == config
    for destination in json.loads(config.model_dump_json())["cfa"]["destinations"]:
        assert [name for name in destination if "secret" in name and not name.endswith("_file")] == []


def test_no_two_parts_listen_on_one_address() -> None:
    """Addresses are unique, on many loopback addresses and on a single one."""
    config = Config()
    for single in (False, True):
        topology = build(config.cluster, single=single)
        parts = parts_of(resolve(config, topology, Path("/state")), topology)
        addresses = [str(address) for part in parts for address in part.listens]
        assert len(addresses) == len(set(addresses))
