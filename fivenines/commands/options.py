"""Options that several commands share, and how a command ends badly (shell)."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from fivenines.config import Config, ConfigError, load

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The configuration file; without it ./fivenines.yaml if there is one, else the defaults."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, for scripts.")]

FINDING, USAGE = 1, 2


def fail(message: str, status: int = USAGE) -> NoReturn:
    """Say ``message`` on standard error and exit with ``status``."""
    typer.echo(message, err=True)
    raise typer.Exit(status)


def configured(path: Path | None) -> Config:
    """The configuration, or exit 2 with every problem on a line of its own."""
    try:
        return load(path)
    except ConfigError as error:
        fail(str(error))


def resolved(path: Path | None) -> Config:
    """The configuration as the running stack of this folder uses it; without one, as it is in the file."""
    config = configured(path)
    stored = config.state_dir / "resolved.json"
    return configured(stored) if stored.exists() else config


def print_json(value: Any) -> None:
    """``value`` as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
