"""``fivenines incidents``: what is hurt, and what operators do about it (shell)."""

import json
from typing import Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console

from fivenines.commands.options import FINDING, ConfigOption, JsonOption, fail, print_json
from fivenines.commands.options_operators import ByOption, CfaOption, judgement, who
from fivenines.judgement_client import JudgementClient, NotDone, Unreachable
from fivenines.live import incident_table
from fivenines.operator_view import incident_text

DOES = {"ack": "acknowledge", "note": "note", "resolve": "resolve"}
FORMS = "list · show ID · ack ID · note ID TEXT · resolve ID"


def incidents(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[list | show ID | ack ID | note ID TEXT | resolve ID]", help="Without it, list."),
    ] = None,
    state: Annotated[Literal["open", "closed", "all"], typer.Option("--state", help="Which ones to list.")] = "all",
    comment: Annotated[str, typer.Option("--comment", help="Why, for ack and resolve; it stays in the timeline.")] = "",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    cfa: CfaOption = None,
) -> None:
    """Incidents with scope and evidence, newest first; exit status 1 while one is open. Show, acknowledge, note, resolve one.

    Example: fivenines incidents ack i-20261124-090000-zone-az1 --comment "looking at it"
    """
    words = what or ["list"]
    client = judgement(config, cfa)
    try:
        match words:
            case ["list"]:
                _list(client, state, as_json)
            case ["show", name]:
                _show(client.incident(name), as_json)
            case ["note", name, *text] if text:
                _told(client.about(name, "note", who(by), " ".join(text)), "note added to", as_json)
            case ["ack" | "resolve" as verb, name]:
                done = {"ack": "acknowledged:", "resolve": "resolved until something fails anew:"}[verb]
                _told(client.about(name, DOES[verb], who(by), comment), done, as_json)
            case _:
                fail(f"fivenines incidents: write one of: {FORMS}")
    except (Unreachable, NotDone) as error:
        fail(f"fivenines incidents: {error}")


def _list(client: JudgementClient, state: str, as_json: bool) -> NoReturn:
    found = client.incidents(state)
    if as_json:
        print_json(found)
    elif found:
        Console().print(incident_table(found))
    else:
        typer.echo(f"no {'' if state == 'all' else state + ' '}incidents")
    raise typer.Exit(FINDING if any(incident["state"] == "open" for incident in found) else 0)


def _show(incident: dict[str, Any], as_json: bool) -> NoReturn:
    typer.echo(json.dumps(incident, indent=2) if as_json else incident_text(incident))
    raise typer.Exit(FINDING if incident["state"] == "open" else 0)


def _told(incident: dict[str, Any], done: str, as_json: bool) -> None:
    if as_json:
        print_json(incident)
    else:
        typer.echo(f"{done} {incident['id']} ({incident['state']}, {incident['severity']})")
