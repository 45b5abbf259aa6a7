"""``fivenines cluster archive list|verify`` and ``fivenines cluster restore`` (shell)."""

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer

from canary.signature import Signer
from cluster.archive.audit import GroupAudit, archived_groups, summarize, verify
from cluster.archive.damage import Damage
from cluster.archive.decision import TAKE_OVER
from cluster.archive.opening import open_address, open_configured
from cluster.archive.restore import NotArchived, Restored, read_table
from cluster.archive.store import ArchiveUnavailable, ObjectStore
from cluster.worker import ThreadWorker
from fivenines import secrets
from fivenines.commands.options import FINDING, ConfigOption, JsonOption, fail, print_json, resolved
from fivenines.config import Config
from fivenines.restoring import RestoreFailed, instant_of, write_table

archive = typer.Typer(
    help="The archive of the store's log.\n\nExample: fivenines cluster archive verify", no_args_is_help=True
)
ArchiveOption = Annotated[
    str | None,
    typer.Option("--archive", help="s3://BUCKET/PREFIX, file:///PATH or a path; without it the configured one."),
]
GroupOption = Annotated[str | None, typer.Option("--group", help="Only groups whose name begins with this.")]


@archive.callback()
def _family() -> None:
    """The archive of the store's log."""


@archive.command("list")
def list_(
    address: ArchiveOption = None, group: GroupOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """What is archived of each group, by the manifests: segments, LSNs, times. Exit status 1 when a manifest is missing or wrong.

    Example: fivenines cluster archive list --json
    """
    store = _open(resolved(config), address)
    _report(_run(_audits(store, group, thorough=False)), as_json)


@archive.command("verify")
def verify_(
    address: ArchiveOption = None, group: GroupOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Read every object: checksums, manifests, no holes, snapshots equal to the log. Exit status 1 on a finding, which names object and LSN.

    Example: fivenines cluster archive verify --archive s3://backups/fivenines
    """
    store = _open(resolved(config), address)
    _report(_run(_audits(store, group, thorough=True)), as_json)


def restore(
    table: Annotated[str, typer.Option("--table", help="The table to restore, by its name at that time.")],
    as_: Annotated[str, typer.Option("--as", help="The name of the new table.")],
    at: Annotated[str, typer.Option("--at", help="A UTC time like 2026-11-24T12:00:00Z, or latest.")] = "latest",
    address: ArchiveOption = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="URL of the store to write to; without it the running stack's.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """A table as it was at a point in time, from the archive alone, written to a new table through the store's API.

    Example: fivenines cluster restore --table orders --at 2026-11-24T12:00:00Z --as orders-before
    """
    settings = resolved(config)
    try:
        moment = instant_of(at)
    except ValueError as error:
        fail(f"fivenines cluster restore: {error}")
    _warn(settings, moment)
    url = endpoint or next(iter(settings.traffic.routers), None)
    if url is None:
        fail("fivenines cluster restore: no running stack found here; give the store's URL with --endpoint")
    restored = _run(_read(_open(settings, address), table, moment))
    _say(f"writing {restored.count} items to {as_}")
    count = _run(write_table(restored, as_, endpoint=url, signer=_signer(settings), progress=_progress(restored.count)))
    if as_json:
        print_json(_summary(restored, as_, at, count))
    else:
        typer.echo(f"{as_}: {count} items of {table} as of {at}")


def _warn(settings: Config, moment: float | None) -> None:
    """What is not archived yet cannot be restored: say so before anybody relies on it."""
    if moment is None:
        return
    age = time.time() - moment
    if age < 0:
        fail("fivenines cluster restore: --at lies in the future; use --at latest")
    if age < 2 * TAKE_OVER * settings.cluster.archive.seal_seconds:
        _say(f"warning: {age:.0f} s ago is very recent: writes that are not archived yet are missing")


def _summary(restored: Restored, name: str, at: str, count: int) -> dict[str, Any]:
    return {
        "table": restored.table.name,
        "as": name,
        "at": at,
        "items": count,
        "partitions": [
            {
                "partition": partition.id,
                "items": len(reference.rows),
                "lsn": reference.lsn,
                "last_change_at": reference.at or None,
                "later_changes_archived": reference.complete,
            }
            for partition, reference in zip(restored.table.partitions, restored.references, strict=True)
        ],
    }


async def _read(store: ObjectStore, table: str, moment: float | None) -> Restored:
    worker = ThreadWorker("restore")
    try:
        restored = await read_table(store, table, worker, at=moment, progress=_say)
    finally:
        await worker.close()
    if moment is not None and not any(reference.complete for reference in restored.references):
        _say(
            "warning: nothing later is archived of this table: if the archive was stalled at that time, writes are missing"
        )
    return restored


async def _audits(store: ObjectStore, prefix: str | None, *, thorough: bool) -> list[GroupAudit]:
    worker = ThreadWorker("audit")
    try:
        groups = [group for group in await archived_groups(store) if group.startswith(prefix or "")]
        found = []
        for number, group in enumerate(groups, start=1):
            _say(f"{group} ({number} of {len(groups)})")
            found.append(await (verify(store, group, worker) if thorough else summarize(store, group)))
        return found
    finally:
        await worker.close()


def _report(audits: list[GroupAudit], as_json: bool) -> None:
    findings = [finding for audit in audits for finding in audit.findings]
    if as_json:
        print_json([_as_json(audit) for audit in audits])
    else:
        for audit in audits:
            span = f"LSN {audit.first}-{audit.last}"
            typer.echo(
                f"{audit.group:<32} {audit.table:<16} {audit.segments:>6} segments {audit.snapshots:>4} snapshots "
                f"{span:<24} {audit.size / 1024:>10.0f} KiB  {_time(audit.first_at)} to {_time(audit.last_at)}"
            )
        for finding in findings:
            typer.echo(str(finding))
        typer.echo(f"{len(audits)} groups, {len(findings)} findings")
    if findings:
        raise typer.Exit(FINDING)


def _as_json(audit: GroupAudit) -> dict[str, Any]:
    return {
        "group": audit.group,
        "table": audit.table,
        "partition": audit.partition,
        "segments": audit.segments,
        "snapshots": audit.snapshots,
        "entries": audit.entries,
        "bytes": audit.size,
        "first_lsn": audit.first,
        "last_lsn": audit.last,
        "first_at": audit.first_at,
        "last_at": audit.last_at,
        "findings": [{"object": f.key, "reason": f.reason, "lsn": f.lsn, "message": f.message} for f in audit.findings],
    }


def _time(at: float | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _open(settings: Config, address: str | None) -> ObjectStore:
    try:
        store = open_address(address, settings.cluster.archive) if address else open_configured(settings.cluster)
    except ArchiveUnavailable as error:
        _refuse(error)
    if store is None:
        fail("fivenines cluster archive: the archive is off (cluster.archive.store); give one with --archive")
    return store


def _signer(settings: Config) -> Signer:
    key = os.environ.get("AWS_ACCESS_KEY_ID") or settings.traffic.access_key_id
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY") or secrets.read(settings.traffic.secret_access_key_file) or ""
    return Signer(key, secret, settings.cluster.region)


def _progress(total: int) -> Any:
    step = max(1, total // 20)
    told = 0

    def tell(written: int) -> None:
        nonlocal told
        if written - told >= step or written == total:
            told = written
            _say(f"{written} of {total} items")

    return tell


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except (ArchiveUnavailable, NotArchived, RestoreFailed) as error:
        _refuse(error)
    except Damage as damage:
        fail(f"fivenines cluster archive: {damage}; see: fivenines cluster archive verify", FINDING)


def _refuse(error: Exception) -> NoReturn:
    fail(f"fivenines cluster archive: {error}")


def _say(text: str) -> None:
    typer.echo(text, err=True)
