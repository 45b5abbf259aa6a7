"""``fivenines backtest``: the recorded feed once more, under another policy (shell)."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import msgspec
import typer

from cfa.backtest import WARM_SECONDS, Finding, Page, Trial
from cfa.config import CfaConfig
from cfa.incident import Incident
from cfa.ports import FeedUnavailable
from cfa.rebuilding import Numbered
from fivenines.backtest_policy import policy_of
from fivenines.commands.options import FINDING, ConfigOption, JsonOption, fail, print_json, resolved
from fivenines.config import Config
from fivenines.durations import seconds_of
from fivenines.judgement_client import JudgementClient, Unreachable

PROGRESS_SECONDS = 2.0


def backtest(
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy", help="YAML with the keys of the section cfa that are to be changed; none: today's alone."
        ),
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", help="A UTC time like 2026-11-24T12:00:00Z, or how long ago, like 6h.")
    ] = "6h",
    to: Annotated[str, typer.Option("--to", help="The end, likewise.")] = "0s",
    offline: Annotated[
        bool, typer.Option("--offline", help="From the folders collector.data_dir and cfa.data_dir; nothing need run.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Replay the ledger through the judgement: the pages it would have sent, delay for each recorded incident, misses, false pages.

    Exit status 1 when the policy misses a recorded page or has a page without a recorded incident.

    Example: fivenines backtest --policy new.yaml --from 2026-11-24T06:00:00Z --to 2026-11-24T12:00:00Z
    """
    settings = resolved(config)
    now = time.time()
    since, until = _moment(from_, now), _moment(to, now)
    if since >= until:
        fail("fivenines backtest: --from must be before --to")
    trials = [Trial("current", settings.cfa, since=since, until=until)]
    if policy is not None:
        trials.append(Trial("new", _new(settings.cfa, policy), since=since, until=until))
    try:
        recorded = _recorded(settings, since, until, offline=offline)
        whole = asyncio.run(_replay(settings, trials, since, until, offline=offline))
    except (OSError, ValueError, aiohttp.ClientError, Unreachable, FeedUnavailable) as error:
        fail(f"fivenines backtest: {error}")
    findings = [trial.finding(recorded) for trial in trials]
    if not findings[0].entries:
        fail("fivenines backtest: the ledger has nothing of that time")
    _tell(findings, since, until, whole, as_json=as_json)
    if findings[-1].missed or findings[-1].false_pages:
        raise typer.Exit(FINDING)


def _moment(text: str, now: float) -> float:
    with contextlib.suppress(ValueError):
        return now - seconds_of(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"fivenines backtest: {text!r} is neither a time like 2026-11-24T12:00:00Z nor a duration like 6h")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _new(current: CfaConfig, path: Path) -> CfaConfig:
    try:
        return policy_of(current, path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(f"fivenines backtest: {path}: {error}")


def _recorded(settings: Config, since: float, until: float, *, offline: bool) -> list[Incident]:
    from fivenines.backtest_sources import recorded_offline  # noqa: PLC0415

    if offline:
        return recorded_offline(settings.cfa.data_dir, since, until)
    client = JudgementClient(f"http://{settings.cfa.host}:{settings.cfa.port}")
    return [Incident.from_json(one) for one in client.incidents(since=since)]


async def _replay(settings: Config, trials: Sequence[Trial], since: float, until: float, *, offline: bool) -> float:
    """Feed all trials; the share of the entries that were kept whole."""
    from fivenines.backtest_sources import merged  # noqa: PLC0415

    kept = seen = 0
    said = time.monotonic()
    numbered = Numbered()
    async with _sources(settings, offline=offline) as sources:
        async for read, is_whole in merged(sources, since - WARM_SECONDS, until):
            entry = numbered.next(read)
            seen, kept = seen + 1, kept + is_whole
            for trial in trials:
                trial.take(entry)
            if time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                done = (entry.received_at - since + WARM_SECONDS) / (until - since + WARM_SECONDS)
                typer.echo(f"  {done:.0%}, {seen:,} entries, {_shown(entry.received_at)}", err=True)
    return kept / seen if seen else 0.0


@contextlib.asynccontextmanager
async def _sources(settings: Config, *, offline: bool) -> AsyncIterator[list[Any]]:
    from cfa.feed import CollectorClient  # noqa: PLC0415
    from collector.history.keeping import open_history  # noqa: PLC0415
    from collector.ledger_file import database_of  # noqa: PLC0415
    from fivenines.backtest_sources import FolderSource, HttpSource  # noqa: PLC0415

    if offline:
        if not database_of(settings.collector.data_dir).exists():
            raise OSError(f"{database_of(settings.collector.data_dir)} does not exist: set collector.data_dir")
        folder = FolderSource(settings.collector.data_dir, open_history(settings.collector))
        try:
            yield [folder]
        finally:
            folder.close()
        return
    cfa = settings.cfa
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        clients = [CollectorClient(url, cfa.collector_token_file) for url in cfa.feed_urls]
        for client in clients:
            stack.push_async_callback(client.close)
        yield [HttpSource(url, cfa, session, client) for url, client in zip(cfa.feed_urls, clients, strict=True)]


# --- telling --------------------------------------------------------------------------------------------------------------------


def _tell(findings: Sequence[Finding], since: float, until: float, whole: float, *, as_json: bool) -> None:
    if as_json:
        policies = [{**msgspec.to_builtins(one), "missed": [m.incident for m in one.missed]} for one in findings]
        print_json({"from": since, "to": until, "share_of_entries_kept_whole": whole, "policies": policies})
        return
    out = sys.stdout.write
    out(f"{_shown(since)} – {_shown(until)}: {findings[0].entries:,} entries, {whole:.0%} of them kept whole")
    out("" if whole == 1.0 else ", the others rebuilt from five-minute intervals (docs/backtest.md)")
    out("\n\n")
    head = f"{'recorded incident':<46} {'recorded':>9}"
    out(head + "".join(f" {one.policy:>14}" for one in findings) + "\n")
    for rows in zip(*(one.incidents for one in findings), strict=True):
        first = rows[0]
        out(f"{first.incident[:46]:<46} {_seconds(first.recorded_delay_seconds):>9}")
        out("".join(f" {_verdict(row):>14}" for row in rows) + "\n")
    if not findings[0].incidents:
        out("(none)\n")
    out("\n")
    for one in findings:
        out(f"{one.policy}: {len(one.pages)} pages, {len(one.missed)} missed, {len(one.false_pages)} false\n")
        for page in one.pages:
            out(f"  {_line(page, is_false=page in one.false_pages)}\n")


def _verdict(row: Any) -> str:
    return _seconds(row.delay_seconds) if row.verdict == "paged" else "MISSED" if row.verdict == "missed" else "no page"


def _seconds(value: float | None) -> str:
    return "no page" if value is None else f"{value:.1f} s"


def _line(page: Page, *, is_false: bool) -> str:
    scope = " ".join(f"{key}={value}" for key, value in page.scope.items())
    return f"{_shown(page.at)}  {scope} ({page.side}){'  FALSE: no recorded incident' if is_false else ''}"


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
