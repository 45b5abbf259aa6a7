"""A finished report from the judgement's API into files (shell)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec

from cfa.report.csv_files import write_csv
from cfa.report.figures import Report
from cfa.report.html_page import write_html
from cfa.report.period import Period

FORMATS = ("html", "csv", "json")
REPORT_SECONDS = 300.0


class ReportUnavailable(OSError):
    """The judgement did not give a report; the text says why and what to do."""


async def fetch_report(cfa_url: str, week: str) -> Report:
    """``GET /v1/report``; raises ``ValueError`` for an unknown week and :class:`ReportUnavailable`."""
    period = Period.parse(week)
    timeout = aiohttp.ClientTimeout(total=REPORT_SECONDS, connect=3.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{cfa_url.rstrip('/')}/v1/report", params={"week": period.name}) as answer,
        ):
            body = await answer.read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ReportUnavailable(
            f"no judgement at {cfa_url}: {error or 'no answer'}; is `fivenines up` running?"
        ) from error
    if answer.status != 200:
        raise ReportUnavailable(f"HTTP {answer.status}: {body[:300].decode(errors='replace')}")
    try:
        return msgspec.json.decode(body, type=Report)
    except msgspec.DecodeError as error:
        raise ReportUnavailable(f"not a report: {error}") from error


def write_report(report: Report, formats: Sequence[str], out_dir: Path) -> list[Path]:
    """Writes the report in each format; the paths. Raises ``ValueError`` for an unknown format, ``OSError``."""
    check_formats(formats)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    if "html" in formats:
        paths.append(write_html(report, out_dir))
    if "csv" in formats:
        paths += write_csv(report, out_dir)
    if "json" in formats:
        path = out_dir / f"fivenines-{report.period}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
        paths.append(path)
    return paths


def check_formats(formats: Sequence[str]) -> None:
    """Raises ``ValueError`` that names the formats there are."""
    unknown = [one for one in formats if one not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"unknown format {', '.join(unknown) or '(none)'}: there are {', '.join(FORMATS)}")


async def fetch_and_write(cfa_url: str, week: str, formats: Sequence[str], out_dir: Path) -> list[Path]:
    """What ``fivenines report`` does. Raises ``ValueError`` (week, format), :class:`ReportUnavailable`, ``OSError``."""
    check_formats(formats)
    report = await fetch_report(cfa_url, week)
    return await asyncio.to_thread(write_report, report, formats, out_dir)
