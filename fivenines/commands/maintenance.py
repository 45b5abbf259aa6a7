"""``fivenines maintenance add|list|expire``: what is taken out of service on purpose (shell)."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fivenines.commands.options import ConfigOption, JsonOption, fail, print_json, resolved
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
from fivenines.ledger_client import LedgerClient, LedgerRefused, NoCollector
from fivenines.operator_view import mute_text

maintenance = typer.Typer(
    help="Maintenance of a zone, a router or a node: it is muted, and a failure elsewhere pages faster.\n\nExample: fivenines maintenance add --scope zone=az1 --for 2h",
    no_args_is_help=True,
)


@maintenance.command()
def add(
    scope: ScopeOption = None,
    lasts: ForOption = None,
    start: StartOption = None,
    end: EndOption = None,
    exclude: Annotated[bool, typer.Option("--exclude", help="Also take the time out of the SLA: a zone's own witnesses, or a server's own counts ('fivenines ledger exclude').")] = False,
    comment: CommentOption = "",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    cfa: CfaOption = None,
) -> None:  # fmt: skip
    """Announce maintenance: what it explains is muted, and as the redundancy is spent, a failure elsewhere pages faster.

    Example: fivenines maintenance add --scope zone=az1 --for 2h --comment "power works"
    """
    place, client = scope_of(scope), judgement(config, cfa)
    wanted: dict[str, Any] = {"by": who(by), "scope": place, "comment": comment} | span(lasts, start, end)
    try:
        if exclude:
            wanted["exclusion"] = _excluded(config, wanted, place)
        made = client.mute("maintenance", wanted)
    except (Unreachable, NotDone, NoCollector, LedgerRefused) as error:
        if wanted.get("exclusion") is not None:
            _undo(config, wanted["exclusion"], wanted["by"])
        fail(f"fivenines maintenance add: {error}")
    if as_json:
        print_json(made)
    else:
        left_out = f"; exclusion {made['exclusion']} of the ledger" if made["exclusion"] else ""
        typer.echo(f"{made['id']}{left_out}: end it with: fivenines maintenance expire {made['id']}")


@maintenance.command("list")
def list_(
    everything: AllOption = False, config: ConfigOption = None, as_json: JsonOption = False, cfa: CfaOption = None
) -> None:
    """What is under maintenance or will be.

    Example: fivenines maintenance list
    """
    try:
        found = judgement(config, cfa).mutes("maintenance", everything=everything)
    except (Unreachable, NotDone) as error:
        fail(f"fivenines maintenance list: {error}")
    if as_json:
        print_json(found)
        return
    for one in found:
        typer.echo(mute_text(one))
    if not found:
        typer.echo("nothing is under maintenance")


@maintenance.command()
def expire(
    name: Annotated[str, typer.Argument(metavar="ID", help="As 'fivenines maintenance list' shows it.")],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    cfa: CfaOption = None,
) -> None:
    """End maintenance now; an exclusion made with it ends now, too.

    Example: fivenines maintenance expire m-1f2e3d4c
    """
    try:
        ended = judgement(config, cfa).expire("maintenance", name, who(by))
        if ended["exclusion"] is not None:
            _shorten(config, ended, who(by))
    except (Unreachable, NotDone, NoCollector, LedgerRefused) as error:
        fail(f"fivenines maintenance expire: {error}")
    if as_json:
        print_json(ended)
    else:
        typer.echo(f"{name} has ended")


def _excluded(config: Path | None, wanted: dict[str, Any], place: dict[str, str]) -> int:
    """The number of a new exclusion of the window."""
    start = float(wanted.get("starts_at", time.time()))
    end = float(wanted["ends_at"]) if "ends_at" in wanted else start + float(wanted["for_seconds"])
    where = _where(place)
    if any(letter in value for value in where.values() for letter in "*?[") or not all(where.values()):
        fail("fivenines maintenance add: --exclude needs one zone, router or node by its name")
    return _exclude(config, wanted["by"], wanted["comment"] or "maintenance", start=start, end=end, where=where)


def _where(place: dict[str, str]) -> dict[str, str]:
    """Whose counts the ledger leaves out for maintenance of ``place``: a zone's, or one server's."""
    return {"zone": place["zone"]} if "zone" in place else {"host": place.get("router") or place.get("node") or ""}


def _exclude(config: Path | None, by: str, reason: str, **what: Any) -> int:
    collector = resolved(config).collector
    client = LedgerClient(f"http://{collector.host}:{collector.port}", collector.token_file)
    return int(asyncio.run(client.post("/v1/exclusions", {"who": by, "reason": reason, **what}))["id"])


def _undo(config: Path | None, number: int, by: str) -> None:
    try:
        _exclude(config, by, "the maintenance was not announced after all", undoes=number)
    except (NoCollector, LedgerRefused) as error:
        typer.echo(f"exclusion {number} is still there: fivenines ledger exclude --undo {number} ({error})", err=True)


def _shorten(config: Path | None, ended: dict[str, Any], by: str) -> None:
    """The exclusion of a window that ended early ends with it."""
    _exclude(config, by, f"maintenance {ended['id']} ended early", undoes=ended["exclusion"])
    if ended["expired_at"] > ended["starts_at"]:
        reason = ended["comment"] or "maintenance"
        _exclude(config, by, reason, start=ended["starts_at"], end=ended["expired_at"], where=_where(ended["scope"]))
