"""``fivenines rules build|check`` (shell)."""

from pathlib import Path
from typing import Annotated

import typer

from fivenines.commands.options import FINDING

app = typer.Typer(
    help="Recording and alert rules for Prometheus.\n\nExample: fivenines rules build --out rules", no_args_is_help=True
)
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the rules.")]
RULES = Path("dashboards/generated/rules")


@app.command()
def build(out: OutOption = RULES) -> None:
    """Write the rules and their unit tests: availability over 5m to 30d, burn-rate alerts for 99.99 % and 99.999 %.

    Example: fivenines rules build --out /etc/prometheus/rules
    """
    from dashboards.rules.build import build as build_rules  # noqa: PLC0415

    for path in build_rules(out):
        typer.echo(path)


@app.command()
def check(out: OutOption = RULES) -> None:
    """Are the files current, and do they pass promtool's checks and their unit tests (where promtool is installed)? Exit status 1 if not.

    Example: fivenines rules check
    """
    from dashboards.rules.build import check as check_rules  # noqa: PLC0415

    problems = check_rules(out)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(FINDING)
    typer.echo("the rules are in order")
