"""``fivenines report``: the weekly SLA report (shell)."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from fivenines.commands.options import ConfigOption, fail, resolved


def report(
    week: Annotated[str, typer.Option("--week", help="An ISO week, e.g. 2026-W47.")],
    formats: Annotated[str, typer.Option("--format", help="html, csv and json, comma separated.")] = "html,csv",
    out: Annotated[Path, typer.Option("--out", help="The folder to write to.")] = Path("reports"),
    config: ConfigOption = None,
) -> None:
    """The SLA report of a week, from the ledger, by DynamoDB's SLA arithmetic.

    Example: fivenines report --week 2026-W47 --format html,csv --out reports
    """
    from cfa.report.fetch import fetch_and_write  # noqa: PLC0415

    settings = resolved(config)
    wanted = tuple(part.strip() for part in formats.split(",") if part.strip())
    try:
        paths = asyncio.run(
            fetch_and_write(
                cfa_url=f"http://{settings.cfa.host}:{settings.cfa.port}",
                week=week,
                formats=wanted,
                out_dir=out,
            )
        )
    except (ValueError, OSError) as error:
        fail(f"fivenines report: {error}")
    for path in paths:
        typer.echo(path)
