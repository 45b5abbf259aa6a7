"""docs/canary.md: its examples work."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from canary.classify import OUTCOMES
from canary.config import CanaryConfig
from canary.jury import Echo, SelfCheck, complaints
from canary.metrics import Metrics
from fivenines.config import parse

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "canary.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_configuration(example: str) -> None:
    """As it stands, without a word added."""
    said = set(re.findall(r"^  ([a-z_]+):", example, re.MULTILINE))
    assert said <= set(parse(example, "docs/canary.md").canary.model_fields_set)


def test_every_kind_of_check_has_an_example() -> None:
    """http, tcp, tls, dns and python."""
    kinds = {check.kind for example in EXAMPLES for check in parse(example, "docs/canary.md").canary.checks}
    assert kinds == {"http", "tcp", "tls", "dns", "python"}


def test_every_reason_it_names_exists() -> None:
    """Words of the outcome table, or of the jury."""
    sick = SelfCheck(
        loopback=Echo.SILENT,
        own_zone=Echo.SILENT,
        other_zones={"b": Echo.SILENT, "c": Echo.SILENT},
        lag_ms=1e9,
        clock_offset_ms=1e9,
        fd_share=1.0,
    )
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", TEXT))
    fields = set(re.findall(r"^ +-? ?([a-z_]+):", TEXT, re.MULTILINE)) | set(CanaryConfig.model_fields)
    known = set(OUTCOMES) | set(complaints(sick)) | fields
    others = {"strong_read", "eventual_read", "ca_file", "server_name"}
    assert {word for word in named if not word.startswith("canary_")} - known <= others


def test_every_metric_is_named() -> None:
    """What a canary process shows is in the table at the end."""
    registry = CollectorRegistry()
    Metrics(registry)
    names = {f"{one.name}_total" if one.type == "counter" else one.name for one in registry.collect()}
    assert {name for name in names if f"| `{name}` |" not in TEXT} == set()
