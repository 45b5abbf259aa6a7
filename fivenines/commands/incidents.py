"""``fivenines incidents`` (shell)."""

from typing import Annotated, Literal

import typer
from rich.console import Console

from fivenines.commands.options import FINDING, ConfigOption, JsonOption, fail, print_json, resolved
from fivenines.judgement_client import JudgementClient, Unreachable
from fivenines.live import incident_table


def incidents(
    state: Annotated[Literal["open", "closed", "all"], typer.Option("--state", help="Which ones.")] = "all",
    config: ConfigOption = None,
    as_json: JsonOption = False,
    cfa: Annotated[str | None, typer.Option("--cfa", help="URL of the judgement's API.")] = None,
) -> None:
    """Incidents with scope and evidence, newest first. Exit status 1 while one is open.

    Example: fivenines incidents --state open --json
    """
    settings = resolved(config).cfa
    client = JudgementClient(cfa or f"http://{settings.host}:{settings.port}")
    try:
        found = client.incidents(state)
    except Unreachable as error:
        fail(str(error))
    if as_json:
        print_json(found)
    elif found:
        Console().print(incident_table(found))
    else:
        typer.echo(f"no {'' if state == 'all' else state + ' '}incidents")
    raise typer.Exit(FINDING if any(incident["state"] == "open" for incident in found) else 0)
