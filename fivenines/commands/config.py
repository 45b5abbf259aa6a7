"""``fivenines config check|schema`` (shell)."""

import typer

from fivenines.commands.options import ConfigOption, configured, print_json
from fivenines.config import json_schema

app = typer.Typer(
    help="The configuration file.\n\nExample: fivenines config check --config fivenines.yaml", no_args_is_help=True
)


@app.command()
def check(config: ConfigOption = None) -> None:
    """Is the file right? Each problem on a line: file, line, key, what would be right. Exit status 2 if there is one.

    Example: fivenines config check --config fivenines.yaml
    """
    configured(config)
    typer.echo("the configuration is right")


@app.command()
def schema() -> None:
    """The JSON Schema of fivenines.yaml, for editors.

    Example: fivenines config schema > fivenines.schema.json
    """
    print_json(json_schema())
