"""``fivenines dashboards build|check|push`` (shell)."""

from pathlib import Path
from typing import Annotated

import typer

from fivenines.commands.options import FINDING, ConfigOption, configured, fail

app = typer.Typer(help="Grafana dashboards as code.\n\nExample: fivenines dashboards push", no_args_is_help=True)


@app.command()
def build(out: Annotated[Path, typer.Option("--out", help="Where to.")] = Path("dashboards/generated")) -> None:
    """Write the dashboards as JSON; dashboards/provisioning has the files that let Grafana and Prometheus find them.

    Example: fivenines dashboards build --out dashboards/generated
    """
    from dashboards.build import build as build_boards  # noqa: PLC0415

    for path in build_boards(out):
        typer.echo(path)


@app.command()
def check() -> None:
    """Are the dashboards well made, and the checked-in JSON current? Exit status 1 if not.

    Example: fivenines dashboards check
    """
    from dashboards.check import check as check_boards  # noqa: PLC0415

    problems = check_boards()
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(FINDING)
    typer.echo("the dashboards are in order")


@app.command()
def push(config: ConfigOption = None) -> None:
    """Send the dashboards to Grafana (grafana.url and grafana.token_file in fivenines.yaml).

    Example: fivenines dashboards push --config fivenines.yaml
    """
    from dashboards.grafana import GrafanaError  # noqa: PLC0415
    from dashboards.grafana import push as push_boards  # noqa: PLC0415

    try:
        for line in push_boards(configured(config).grafana):
            typer.echo(line)
    except GrafanaError as error:
        fail(f"fivenines dashboards push: {error}")
