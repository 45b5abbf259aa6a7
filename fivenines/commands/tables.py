"""``fivenines tables`` (shell)."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fivenines.commands.options import ConfigOption, JsonOption, fail, print_json, resolved
from fivenines.judgement_client import JudgementClient, NotDone, Unreachable

WINDOWS = ("5m", "1h", "1d", "30d")


def tables(
    name: Annotated[str | None, typer.Argument(help="One table; none: the most burned ones.")] = None,
    order: Annotated[
        str, typer.Option("--order", help="burned (of the 30-day budget), or a window: 5m … 30d.")
    ] = "burned",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    cfa: Annotated[str | None, typer.Option("--cfa", help="URL of the judgement's API.")] = None,
) -> None:
    """Availability, burn rate and budget of single tables, from their counters (cfa.counters_feed).

    Example: fivenines tables --order 1h --limit 10
    """
    settings = resolved(config).cfa
    client = JudgementClient(cfa or f"http://{settings.host}:{settings.port}")
    try:
        found = client.tables(order, limit) if name is None else client.table(name)
    except NotDone as error:
        fail(f"{error} (are counters judged? cfa.counters_feed)")
    except Unreachable as error:
        fail(str(error))
    if as_json:
        print_json(found)
        return
    rows = found["tables"] if name is None else found["views"]
    if rows:
        Console().print(_table(rows))
    else:
        typer.echo("no table has burned any of its budget")


def _table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(
        "table",
        "seen by",
        "side",
        *(f"burn {window}" for window in WINDOWS),
        "available 30d",
        "budget left",
        "verdict 1h",
    )
    for row in rows:
        for side, windows in row["sides"].items():
            month = windows["30d"]
            burns = [_figure(windows[window]["burn_rate"]) for window in WINDOWS]
            shown.add_row(
                row["table"], row["vantage"], side, *burns, _percent(month["availability"]),
                _percent(month["budget_remaining"]), windows["1h"]["verdict"],
            )  # fmt: skip
    return shown


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.6g} %"
