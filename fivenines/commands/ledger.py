"""``fivenines ledger``: prove it whole, take time out of its figures, ask it how available a table was (shell)."""

import asyncio
import getpass
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fivenines.commands.options import FINDING, ConfigOption, JsonOption, fail, print_json, resolved
from fivenines.config import Config
from fivenines.ledger_client import LedgerClient, LedgerRefused, NoCollector

ledger = typer.Typer(help="The ledger of counts.\n\nExample: fivenines ledger verify", no_args_is_help=True)

DataDirOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--data-dir",
        help="A collector's folder; give all collectors' for the senders' numbers. Without it the configured one.",
    ),
]
HistoryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--history", help="A history: s3://BUCKET/PREFIX, file:///PATH or a path. Without it each collector's own."
    ),
]


@ledger.callback()
def _family() -> None:
    """The ledger of counts."""


@ledger.command("verify")
def verify_(
    data_dir: DataDirOption = None,
    history: HistoryOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Read everything: checksums, sums, no interval, version or batch missing. Exit status 1 on a finding, which names file and row.

    Example: fivenines ledger verify --data-dir .fivenines/collector --json
    """
    from collector.verify import verify  # noqa: PLC0415

    settings = resolved(config)
    collector = settings.collector
    try:
        stores = [_store(settings, address) for address in history or ()]
        folders = data_dir or ([] if history else [collector.data_dir])
        ledgers = [(folder, None if history else _store_of(settings, folder)) for folder in folders]
        audit = verify(ledgers, stores)
    except (OSError, ValueError) as error:
        fail(f"fivenines ledger verify: {error}")
    if as_json:
        findings = [{"kind": one.kind, "place": one.place, "detail": one.detail} for one in audit.findings]
        print_json({"whole": not findings, "findings": findings, "checked": dict(audit.checked)})
    else:
        for one in audit.findings:
            typer.echo(f"{one.kind}: {one.place}: {one.detail}")
        looked = ", ".join(f"{count:,} {what}" for what, count in sorted(audit.checked.items()))
        typer.echo(f"{'NOT whole' if audit.findings else 'whole'}: {looked}")
    if audit.findings:
        raise typer.Exit(FINDING)


@ledger.command("exclude")
def exclude(
    start: Annotated[str | None, typer.Option("--start", help="A UTC time like 2026-11-24T12:00:00Z; rounded down to five minutes.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="The end; rounded up.")] = None,
    zone: Annotated[str | None, typer.Option("--zone")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint")] = None,
    host: Annotated[str | None, typer.Option("--host", help="A canary host, a server or a customer.")] = None,
    table: Annotated[str | None, typer.Option("--table")] = None,
    operation: Annotated[str | None, typer.Option("--operation")] = None,
    vantage: Annotated[str | None, typer.Option("--vantage", help="canary, customer or server.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it stays in the ledger.")] = None,
    who: Annotated[str | None, typer.Option("--who", help="Who wants it; without it who is logged in.")] = None,
    undo: Annotated[int | None, typer.Option("--undo", help="The number of an exclusion that shall no longer hold.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="What was excluded, by whom and why.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:  # fmt: skip
    """Take a span out of every figure, visibly: the intervals get a new version in which these counts are kept apart.

    Example: fivenines ledger exclude --start 2026-11-24T12:00:00Z --end 2026-11-24T13:00:00Z --zone az1 --reason "power works"
    """
    settings = resolved(config)
    if list_:
        _list(settings, as_json)
        return
    if not reason:
        fail("fivenines ledger exclude: say why with --reason")
    wanted: dict[str, Any] = {"reason": reason, "who": who or getpass.getuser()}
    if undo is not None:
        wanted["undoes"] = undo
    elif start and end:
        given = {
            "zone": zone,
            "endpoint": endpoint,
            "host": host,
            "table": table,
            "operation": operation,
            "vantage": vantage,
        }
        place = {name: value for name, value in given.items() if value is not None}
        wanted |= {"start": _time(start), "end": _time(end), "where": place}
    else:
        fail("fivenines ledger exclude: give --start and --end, or --undo NUMBER, or --list")
    number = _asked(settings, wanted)
    if as_json:
        print_json({"id": number})
    else:
        typer.echo(f"exclusion {number}: the intervals it touches get a new version within seconds")


@ledger.command("availability")
def availability(
    table: Annotated[str | None, typer.Option("--table", help="Of this table; without it of everything.")] = None,
    days: Annotated[float, typer.Option("--days", help="The last so many days.", min=0.01, max=400)] = 30.0,
    version: Annotated[
        int | None, typer.Option("--version", help="As it was known at this version of each interval.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """How available a table was, by whoever saw it, and the versions of the intervals that the figures rest on.

    Example: fivenines ledger availability --table orders --days 30
    """
    settings = resolved(config)
    now = time.time()
    asked = {"start": f"{now - days * 86400:.0f}", "end": f"{now:.0f}"}
    asked |= {"table": table} if table else {}
    asked |= {"version": str(version)} if version is not None else {}
    try:
        found = asyncio.run(_client(settings).get("/v1/availability", asked))
    except (NoCollector, LedgerRefused) as error:
        fail(f"fivenines ledger availability: {error}")
    if as_json:
        print_json(found)
        return
    for one in found:
        ratio = "nothing seen" if one["availability"] is None else f"{one['availability'] * 100:.5f} %"
        apart = "".join(f", {one[name]:,} {name}" for name in ("recused", "excluded") if one[name])
        versions = ", ".join(f"{count} at version {number}" for number, count in one["versions"].items())
        typer.echo(
            f"{one['vantage']} {one['level']}s: {ratio} ({one['good']:,} good, {one['bad']:,} bad{apart}; "
            f"{one['seen']} of {one['intervals']} intervals seen: {versions or 'none'})"
        )


def _client(settings: Config) -> LedgerClient:
    collector = settings.collector
    return LedgerClient(f"http://{collector.host}:{collector.port}", collector.token_file)


def _asked(settings: Config, wanted: dict[str, Any]) -> int:
    """Through the running collector; into the folder when none runs."""
    from fivenines.ledger_offline import exclude_offline  # noqa: PLC0415 (loads what reads Parquet)

    try:
        return int(asyncio.run(_client(settings).post("/v1/exclusions", wanted))["id"])
    except NoCollector:
        try:
            return exclude_offline(settings.collector.data_dir, json.dumps(wanted).encode(), at=time.time())
        except (ValueError, OSError) as error:
            fail(f"fivenines ledger exclude: {error}")
    except LedgerRefused as error:
        fail(f"fivenines ledger exclude: {error}")


def _list(settings: Config, as_json: bool) -> None:
    from fivenines.ledger_offline import exclusions_offline  # noqa: PLC0415

    try:
        found = exclusions_offline(settings.collector.data_dir)
    except OSError as error:
        fail(f"fivenines ledger exclude: {error}")
    if as_json:
        print_json(found)
        return
    for one in found:
        what = f"undoes {one['undoes']}" if one["undoes"] else f"{_shown(one['start'])} – {_shown(one['end'])}"
        place = " ".join(f"{name}={value}" for name, value in one["where"].items()) or "everything"
        state = "" if one["in_force"] or one["undoes"] else " (undone)"
        typer.echo(f"{one['id']}{state}: {what}, {place}: {one['reason']} ({one['who']}, {_shown(one['made_at'])})")
    if not found:
        typer.echo("nothing is excluded")


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is not a time: write 2026-11-24T12:00:00Z")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _store(settings: Config, address: str) -> Any:
    from collector.history.store import open_store  # noqa: PLC0415

    history = settings.collector.history
    return open_store(address, endpoint_url=history.endpoint_url, region=history.region)


def _store_of(settings: Config, folder: Path) -> Any:
    """The history of the collector in ``folder``; None when it has none."""
    history = settings.collector.history
    if history.url:
        return _store(settings, history.url)
    return _store(settings, str(folder / "history")) if history.enabled else None
