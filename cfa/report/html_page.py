"""The report as one self-contained page: light, dark and on paper (shell)."""

import datetime as dt
from pathlib import Path
from typing import Any

from cfa.report import wording
from cfa.report.figures import Figure, Report
from cfa.report.strip import strip

TEMPLATE = Path(__file__).with_name("report.html.j2")
SECTIONS = (("table", "Tables"), ("endpoint", "Endpoints"), ("zone", "Zones"), ("side", "Reads and writes"))


def write_html(report: Report, folder: Path) -> Path:
    """Writes ``fivenines-PERIOD.html``; its path."""
    path = folder / f"fivenines-{report.period}.html"
    path.write_text(render(report), encoding="utf-8")
    return path


def render(report: Report) -> str:
    """The page; nothing in it is fetched from anywhere."""
    import jinja2  # noqa: PLC0415 -- a daemon may never need it

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "availability": wording.availability,
        "interval": wording.interval,
        "duration": wording.duration,
        "utc": _utc,
        "number": lambda value: f"{value:,}",
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(report=report, wording=wording, **_parts(report))


def _parts(report: Report) -> dict[str, Any]:
    sources = [name for name in wording.SOURCES if any(one.source == name for one in report.figures)]
    return {
        "sources": sources,
        "headline": {name: _views(report, name, "region", "") for name in sources},
        "sections": [(title, _rows(report, kind, sources)) for kind, title in SECTIONS],
        "strips": [(name, _strip(report, name)) for name in sources],
        "incident_seconds": sum(one.duration_seconds or 0.0 for one in report.incidents if one.severity == "page"),
    }


def _views(report: Report, source: str, kind: str, scope: str) -> list[Figure]:
    """One scope's figures from one source, in the order of the views."""
    found = {
        one.view: one for one in report.figures if (one.source, one.scope_kind, one.scope) == (source, kind, scope)
    }
    return [found[view] for view in wording.VIEWS if view in found]


def _rows(report: Report, kind: str, sources: list[str]) -> list[tuple[str, str, list[Figure]]]:
    scopes = dict.fromkeys(one.scope for one in report.figures if one.scope_kind == kind)
    rows = [(scope, name, _views(report, name, kind, scope)) for scope in scopes for name in sources]
    return [row for row in rows if row[2]]


def _strip(report: Report, source: str) -> Any:
    import markupsafe  # noqa: PLC0415 -- comes with jinja2

    lines = [one for one in report.timeline if one.source == source]
    return markupsafe.Markup(strip(lines, report.start, report.until, report.end))  # noqa: S704 -- our own numbers


def _utc(at: float | None) -> str:
    return "–" if at is None else dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
