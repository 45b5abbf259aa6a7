"""``fivenines report``: the weekly SLA report (shell)."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cfa.report.figures import Report
from fivenines.commands.options import ConfigOption, fail, resolved
from fivenines.config import Config


def report(
    week: Annotated[str, typer.Option("--week", help="An ISO week, e.g. 2026-W47.")],
    formats: Annotated[str, typer.Option("--format", help="html, csv and json, comma separated.")] = "html,csv",
    out: Annotated[Path, typer.Option("--out", help="The folder to write to.")] = Path("reports"),
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            help="Straight from a history (s3://BUCKET/PREFIX, file:///PATH or a path), every collector's that is there; without incidents.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """The SLA report of a week, from the ledger, by DynamoDB's SLA arithmetic.

    Example: fivenines report --week 2026-W47 --format html,csv --out reports
    """
    from cfa.report.fetch import fetch_and_write, write_report  # noqa: PLC0415

    settings = resolved(config)
    wanted = tuple(part.strip() for part in formats.split(",") if part.strip())
    try:
        if history is not None:
            for path in write_report(_from_history(settings, history, week), wanted, out):
                typer.echo(path)
            return
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


def _from_history(settings: Config, address: str, week: str) -> Report:
    from collector.history.store import open_store  # noqa: PLC0415
    from fivenines.history_report import history_report  # noqa: PLC0415

    place = settings.collector.history
    store = open_store(address, endpoint_url=place.endpoint_url, region=place.region)
    return asyncio.run(history_report(settings.cfa, store, week))
