"""``fivenines fault list|add|clear``: break the bundled store by hand (shell)."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from cluster.faults import NOT_BUILT_YET, Fault, FaultKind, fields_of, places_of
from fivenines.commands.options import ConfigOption, JsonOption, configured, fail, print_json
from fivenines.control import ControlClient, ControlError, NotRunning, explain
from fivenines.durations import seconds_of

app = typer.Typer(
    help="Break the bundled store by hand.\n\nExample: fivenines fault add power_off zone=az1 --for 30s",
    no_args_is_help=True,
)
T = TypeVar("T")


@app.command("list")
def list_(
    config: ConfigOption = None,
    kinds: Annotated[
        bool, typer.Option("--kinds", help="Every kind of fault, where it may be, and what it takes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What is in force; with --kinds, what there is.

    Example: fivenines fault list --kinds
    """
    if kinds:
        table = [_describe(kind) for kind in FaultKind]
        if as_json:
            return print_json(table)
        for row in table:
            built = "" if row["built"] else "  (not built yet)"
            places = "|".join(row["places"]).replace("from", "from,to") or "-"
            typer.echo(f"{row['kind']:<15} {places:<28} {' '.join(row['fields'])}{built}")
        return None
    active = _run(ControlClient(configured(config).state_dir).faults())
    if as_json:
        return print_json(active)
    for fault in active:
        typer.echo(f"{fault['id']:<5} {fault['fault']}")
    if not active:
        typer.echo("no fault is in force")
    return None


@app.command()
def add(
    kind: Annotated[str, typer.Argument(help="A kind of 'fivenines fault list --kinds'.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            help="name=value: zone=az1 · from=az1-router-1 to=az2-node-1 ms=50 · endpoint=fips answer=empty"
        ),
    ] = None,
    lasts: Annotated[
        str | None, typer.Option("--for", help="How long, e.g. 30s; without it until 'fivenines fault clear'.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a fault in force; answers when it really is.

    Example: fivenines fault add dns endpoint=standard answer=empty --for 20s
    """
    try:
        values: dict[str, Any] = dict(item.split("=", 1) for item in settings or [])
        for end in ("from", "to"):
            if values.get(end, "").count("-") < 2 and end in values:
                values[end] = dict(part.split(":", 1) for part in values[end].split(","))  # from=zone:az1,role:router
        fault = Fault.model_validate({"kind": kind, **values})
        seconds = seconds_of(lasts) if lasts else None
    except ValidationError as error:
        fail(f"fivenines fault add: {explain(error)}")
    except ValueError as error:
        fail(f"fivenines fault add: settings are name=value, --for is a duration like 30s ({error})")
    added = _run(ControlClient(configured(config).state_dir).add(fault, seconds))
    if as_json:
        return print_json(added)
    typer.echo(f"{added['id']} is in force; take it away with: fivenines fault clear {added['id']}")
    return None


@app.command()
def clear(
    ids: Annotated[list[str] | None, typer.Argument(help="Which ones; without any, all.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take faults away.

    Example: fivenines fault clear
    """
    client = ControlClient(configured(config).state_dir)

    async def work() -> list[dict[str, Any]]:
        wanted = ids or [fault["id"] for fault in await client.faults()]
        return [await client.remove(identity) for identity in wanted]

    removed = _run(work())
    if as_json:
        return print_json(removed)
    typer.echo(f"removed {', '.join(fault['id'] for fault in removed)}" if removed else "no fault was in force")
    return None


def _describe(kind: FaultKind) -> dict[str, Any]:
    return {
        "kind": kind.value,
        "places": list(places_of(kind)),
        "fields": list(fields_of(kind)),
        "built": kind not in NOT_BUILT_YET,
    }


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (NotRunning, ControlError) as error:
        fail(f"fivenines fault: {error}")
