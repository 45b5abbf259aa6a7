"""The examples of deploy/ and docs/deploy.md are ones that work: commands that exist, configurations that load, units that verify."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fivenines.cli import app
from fivenines.config import load, parse
from tests.dashboards.peers import program

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCS = ROOT / "docs" / "deploy.md"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = [
    document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Where it stands, and the arguments after ``fivenines``."""
    for name, service in COMPOSE["services"].items():
        if service["image"] == "fivenines":
            yield f"compose {name}", service["command"]
    for document in MANIFESTS:
        for container in containers(document):
            yield f"kubernetes {document['metadata']['name']}", container["args"]
    for unit in UNITS:
        (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        yield unit.name, shlex.split(line.replace("%i", "az1"))[1:]
    for block in re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("fivenines "):
                yield f"docs: {line}", shlex.split(line)[1:]


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return found


LINES = dict(command_lines())
YAML_BLOCKS = re.findall(r"```yaml\n(# fivenines\.yaml\n.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.mark.parametrize("where", sorted(LINES))
def test_every_command_line_is_one_of_ours(where: str) -> None:
    """The command and its options exist, and its zone is one of the configuration."""
    arguments = LINES[where]
    done = CliRunner().invoke(app, [*arguments, "--help"])
    assert done.exit_code == 0, done.output
    if "--zone" in arguments:
        assert arguments[arguments.index("--zone") + 1] in load(DEPLOY / "fivenines.yaml").canary.zones


def test_an_option_that_does_not_exist_would_be_noticed() -> None:
    assert CliRunner().invoke(app, ["canary", "run", "--zonne", "az1", "--help"]).exit_code == 2


@pytest.mark.parametrize("index", range(len(YAML_BLOCKS)))
def test_every_configuration_in_the_docs_loads(index: int) -> None:
    parse(YAML_BLOCKS[index], "docs/deploy.md")


def test_the_example_configuration_passes_config_check() -> None:
    done = CliRunner().invoke(app, ["config", "check", "--config", str(DEPLOY / "fivenines.yaml")])
    assert done.exit_code == 0, done.output


def test_the_docs_have_examples_at_all() -> None:
    assert len(YAML_BLOCKS) >= 2
    assert len([where for where in LINES if where.startswith("docs")]) >= 3


@pytest.mark.peer("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_finds_the_unit_well_formed(unit: Path, tmp_path: Path) -> None:
    """With our command where the unit expects it."""
    copy = tmp_path / unit.name.replace("@.", "@az1.")
    here = str(Path(sys.executable).parent / "fivenines")
    copy.write_text(unit.read_text().replace("/opt/fivenines/.venv/bin/fivenines", here))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", str(copy)], capture_output=True, text=True, timeout=30, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if unit.name.split("@")[0].split(".")[0] in line]
    assert complaints == []


def test_what_containers_mount_and_copy_is_there() -> None:
    """Sources of the image and of bind mounts exist; only secrets are for the user to make."""
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            for source in shlex.split(line)[1:-1]:
                assert (ROOT / source).exists(), source
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and source != "./secrets":
                assert (DEPLOY / source).exists(), source
            elif not source.startswith("."):
                assert source in COMPOSE["volumes"]


def test_kubernetes_has_one_canary_in_each_zone_and_names_that_fit() -> None:
    """One StatefulSet a zone, each held in another zone; selectors, ports and volumes fit together."""
    canaries = [
        one for one in MANIFESTS if one["kind"] == "StatefulSet" and one["metadata"]["name"].startswith("canary-")
    ]
    places = [one["spec"]["template"]["spec"]["nodeSelector"]["topology.kubernetes.io/zone"] for one in canaries]
    zones = [container["args"][3] for one in canaries for container in containers(one)]
    assert tuple(zones) == load(DEPLOY / "fivenines.yaml").canary.zones
    assert len(set(places)) == len(zones)
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in MANIFESTS if containers(one)]
    for document in MANIFESTS:
        spec = document.get("spec", {})
        if document["kind"] == "Service":
            assert any(spec["selector"].items() <= one.items() for one in labels)
        for container in containers(document):
            template = spec["template"]
            assert spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
            claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
            known = claims | {volume["name"] for volume in template["spec"]["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} == known


def test_the_ports_of_the_examples_are_those_of_the_configuration() -> None:
    config = load(DEPLOY / "fivenines.yaml")
    ports = {"collector": config.collector.port, "cfa": config.cfa.port, "console": config.console.port}
    for document in MANIFESTS:
        name = document["metadata"]["name"]
        for container in containers(document):
            expected = ports.get(name) or config.canary.admin_ports[name.removeprefix("canary-")]
            assert container["ports"][0]["containerPort"] == expected


@pytest.mark.peer("promtool")
def test_prometheus_takes_its_configuration() -> None:
    done = subprocess.run(
        [program("promtool"), "check", "config", "--syntax-only", str(DEPLOY / "prometheus.yml")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_knows_every_key_of_the_example() -> None:
    """An editor with docs/fivenines.schema.json marks nothing: the top keys are its properties."""
    schema = json.loads((ROOT / "docs" / "fivenines.schema.json").read_text())
    assert set(yaml.safe_load((DEPLOY / "fivenines.yaml").read_text())) <= set(schema["properties"])
