"""``fivenines silence add|list|expire``: mute notices of what is known (shell)."""

from typing import Annotated, Any, Literal

import typer

from fivenines.commands.options import ConfigOption, JsonOption, fail, print_json
from fivenines.commands.options_operators import (
    AllOption,
    ByOption,
    CfaOption,
    CommentOption,
    EndOption,
    ForOption,
    ScopeOption,
    StartOption,
    judgement,
    scope_of,
    span,
    who,
)
from fivenines.judgement_client import NotDone, Unreachable
from fivenines.operator_view import mute_text

silence = typer.Typer(
    help="Mute notices of what is known; measuring and recording go on.\n\nExample: fivenines silence add --scope zone=az1 --for 1h",
    no_args_is_help=True,
)


@silence.command()
def add(
    scope: ScopeOption = None,
    lasts: ForOption = None,
    start: StartOption = None,
    end: EndOption = None,
    only: Annotated[Literal["read", "write"] | None, typer.Option("--only", help="Mute only incidents that hurt no other operations.")] = None,
    severity: Annotated[Literal["watch", "ticket", "page"], typer.Option("--severity", help="Mute only up to this one.")] = "page",
    comment: CommentOption = "",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    cfa: CfaOption = None,
) -> None:  # fmt: skip
    """Mute incidents that lie wholly inside a scope; what grows beyond it pages at once, and what is open at the end pages then.

    Example: fivenines silence add --scope zone=az1 --scope endpoint=fips --for 1h --comment "certificate is being renewed"
    """
    wanted: dict[str, Any] = {"by": who(by), "scope": scope_of(scope), "severity": severity, "comment": comment}
    wanted |= span(lasts, start, end) | {"operations": [only] if only else []}
    try:
        made = judgement(config, cfa).mute("silences", wanted)
    except (Unreachable, NotDone) as error:
        fail(f"fivenines silence add: {error}")
    if as_json:
        print_json(made)
    else:
        typer.echo(f"{made['id']}: end it with: fivenines silence expire {made['id']}")


@silence.command("list")
def list_(
    everything: AllOption = False, config: ConfigOption = None, as_json: JsonOption = False, cfa: CfaOption = None
) -> None:
    """What is muted, by whom and until when.

    Example: fivenines silence list --all
    """
    try:
        found = judgement(config, cfa).mutes("silences", everything=everything)
    except (Unreachable, NotDone) as error:
        fail(f"fivenines silence list: {error}")
    if as_json:
        print_json(found)
        return
    for one in found:
        typer.echo(mute_text(one))
    if not found:
        typer.echo("nothing is silenced")


@silence.command()
def expire(
    name: Annotated[str, typer.Argument(metavar="ID", help="As 'fivenines silence list' shows it.")],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    cfa: CfaOption = None,
) -> None:
    """End a silence now; what it muted and is still open pages.

    Example: fivenines silence expire s-1f2e3d4c
    """
    try:
        ended = judgement(config, cfa).expire("silences", name, who(by))
    except (Unreachable, NotDone) as error:
        fail(f"fivenines silence expire: {error}")
    if as_json:
        print_json(ended)
    else:
        typer.echo(f"{name} has ended")
