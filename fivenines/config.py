"""One file for all rooms: ``fivenines.yaml``, every default of which works without it (pure but for reading the file in ``load``).

Errors name the file, the line, the key and what would be right.
"""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from canary.config import CanaryConfig
from cfa.config import CfaConfig
from cluster.config import ClusterConfig
from collector.config import CollectorConfig
from dashboards.config import ConsoleConfig, GrafanaConfig
from fivenines.yaml_lines import line_of, line_of_error

MAX_CONFIG_BYTES = 1024 * 1024


class TrafficConfig(BaseModel):
    """Light sample traffic of two make-believe applications, so that the store has customers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: tuple[str, ...] = ("orders", "sessions")
    requests_per_second: float = Field(4.0, ge=0, description="over all tables; 0: none")
    admin_host: str = "127.0.0.1"
    admin_port: int = Field(8094, ge=1, le=65535)
    admin_token_file: Path | None = None
    routers: tuple[str, ...] = Field((), description="base URLs to ask in turn; the embedded stack fills this in")
    access_key_id: str = "fivenines"
    secret_access_key_file: Path | None = None
    csm_host: str = "127.0.0.1"
    csm_port: int | None = Field(None, ge=0, le=65535, description="where the first application's SDK events go")
    collector: str | None = Field(None, description="base URL that the second application's hook posts to")
    collector_token_file: Path | None = None


class Config(BaseModel):
    """Everything that can be set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state_dir: Path = Field(
        Path(".fivenines"), description="where the embedded stack keeps data, logs, certificates and secrets"
    )
    cluster: ClusterConfig = ClusterConfig()
    canary: CanaryConfig = CanaryConfig()
    collector: CollectorConfig = CollectorConfig()
    cfa: CfaConfig = CfaConfig()
    console: ConsoleConfig = ConsoleConfig()
    grafana: GrafanaConfig = GrafanaConfig()
    traffic: TrafficConfig = TrafficConfig()


class ConfigError(Exception):
    """A configuration that cannot be used; the text has one line for each problem: ``file:line: key: what would be right``."""


def load(path: Path | None) -> Config:
    """The configuration in ``path``; without one, ``fivenines.yaml`` of this folder if it is there, else the defaults."""
    if path is None:
        path = Path("fivenines.yaml")
        if not path.exists():
            return Config()
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}:1: larger than {MAX_CONFIG_BYTES} bytes: this is not a configuration file")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}. Give a readable file with --config, or none for the defaults"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1: not UTF-8 text ({error.reason} at byte {error.start})") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Config:
    """The configuration in ``text``; ``name`` is what errors call the file. Raises :class:`ConfigError`."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{name}:{line_of_error(error)}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{name}:1: not YAML: {error}") from error
    if values is None:
        return Config()
    if not isinstance(values, dict):
        raise ConfigError(
            f"{name}:1: the file must hold keys and values, such as 'cfa:', not a {type(values).__name__}"
        )
    try:
        return Config.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        lines = [_explain(name, tree, dict(problem)) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _explain(name: str, tree: yaml.Node | None, problem: dict[str, Any]) -> str:
    location = tuple(problem["loc"])
    key = ".".join(str(part) for part in location)
    line = line_of(tree, location)
    if problem["type"] == "extra_forbidden":
        return f"{name}:{line}: {key}: no such key{_did_you_mean(location)}"
    given = problem.get("input")
    shown = f" (it is {json.dumps(given, default=str)})" if isinstance(given, str | int | float | bool) else ""
    return f"{name}:{line}: {key}: {problem['msg']}{shown}"


def _did_you_mean(location: tuple[str | int, ...]) -> str:
    known = _fields_at(location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known here: {', '.join(sorted(known))}" if known else ""


def _fields_at(location: tuple[str | int, ...]) -> list[str]:
    """The keys that the schema allows at ``location``."""
    schema: Mapping[str, Any] = json_schema()
    node: Mapping[str, Any] = schema
    for part in location:
        node = _resolve(node, schema)
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return list(_resolve(node, schema).get("properties", {}))


def _resolve(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    for option in node.get("anyOf", ()):
        if "$ref" in option:
            node = option
    reference = node.get("$ref")
    resolved: Mapping[str, Any] = schema["$defs"][reference.rsplit("/", 1)[1]] if reference else node
    return resolved


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``fivenines.yaml``, made from the models."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fivenines.yaml", **schema}
