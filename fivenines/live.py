"""The live table: the judgement's status as a person reads it in a terminal (pure: JSON in, renderables out)."""

import math
import time
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

OPERATIONS = ("write", "strong_read", "eventual_read", "query", "transaction", "batch", "control", "check")
"""In the order in which they are shown; only those that are asked are."""

_VERDICTS = {
    "ok": ("●", "green"),
    "breach": ("✖", "bold red"),
    "not_enough_evidence": ("◐", "yellow"),
    "unobserved": ("·", "dim"),
}
_SEVERITIES = {"page": "bold red", "ticket": "yellow", "watch": "dim"}


def percent(ratio: float | None, digits: int = 4) -> str:
    """A ratio as percent, never rounded up: 0.99999 is not 100 %. None is a dash."""
    if ratio is None:
        return "–"
    scale = 10**digits
    value = math.floor(round(ratio * 100 * scale, 6)) / scale
    return f"{value:.{digits}f} %" if value < 100 else "100 %"


def render(status: dict[str, Any], incidents: list[dict[str, Any]]) -> RenderableType:
    """Banner, matrix, rolling availability, open incidents, witnesses."""
    parts: list[RenderableType] = [banner(status, incidents), matrix(status), availability(status)]
    if incidents:
        parts.append(incident_table(incidents))
    recused = [f"{entry['host']} ({', '.join(entry['reasons'])})" for entry in status.get("recused", ())]
    if recused:
        parts.append(Text(f"recused witnesses: {'; '.join(recused)}", style="yellow"))
    silent = [target["target"] for target in status.get("targets", ()) if not target["up"]]
    if silent:
        parts.append(Text(f"servers that do not answer: {', '.join(silent)}", style="yellow"))
    return Group(*parts)


def banner(status: dict[str, Any], incidents: list[dict[str, Any]]) -> Text:
    """One line that says how things are."""
    at = time.strftime("%H:%M:%S", time.gmtime(status["at"]))
    paged = [incident for incident in incidents if incident["severity"] == "page"]
    text = Text(f"{status['region']}  {at} UTC  objective {percent(status['objective'], 3)}  ")
    if not status["ready"]:
        return text.append(f"measuring… {status['cells_answered']} of {status['cells_expected']} cells", style="yellow")
    if paged:
        return text.append(
            f"{len(paged)} incident{'s' if len(paged) > 1 else ''}: {paged[0]['summary']}", style="bold red"
        )
    return text.append("all well", style="green")


def matrix(status: dict[str, Any]) -> Table:
    """Zone × operation by endpoint; each cell shows fresh and pooled connections over the last minute."""
    endpoints = list(dict.fromkeys(cell["endpoint"] for cell in status["matrix"]))
    cells = {(c["zone"], c["operation"], c["endpoint"], c["connection"]): c for c in status["matrix"]}
    title = "Asked from each zone, last 60 s: fresh and pooled connections, median latency or availability"
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("zone")
    table.add_column("operation")
    for endpoint in endpoints:
        table.add_column(endpoint, justify="right")
    present = {key[1] for key in cells}
    asked = [name for name in OPERATIONS if name in present] + sorted(present.difference(OPERATIONS))
    for zone in sorted({key[0] for key in cells}):
        for operation in asked:
            halves = ([cells.get((zone, operation, e, c)) for c in ("fresh", "pooled")] for e in endpoints)
            table.add_row(zone, operation.replace("_", " "), *(_cell(*pair) for pair in halves))
        table.add_section()
    return table


def _cell(fresh: dict[str, Any] | None, pooled: dict[str, Any] | None) -> Text:
    text = _half(fresh)
    return text.append("  ").append_text(_half(pooled))


def _half(cell: dict[str, Any] | None) -> Text:
    """The verdict's sign, then what matters: the median latency while all is well, else the availability."""
    sign, style = _VERDICTS["unobserved" if cell is None else cell["verdict"]]
    if cell is None or cell["availability"] is None:
        return Text(f"{sign} –", style=style)
    if cell["availability"] < 1:
        return Text(f"{sign} {percent(cell['availability'], 1)}", style=style)
    p50 = cell.get("latency_ms_p50")
    return Text(f"{sign} {p50:.0f} ms" if p50 is not None else sign, style=style)


def availability(status: dict[str, Any]) -> Table:
    """Rolling availability of the region and its zones, reads and writes apart."""
    rows = [row for row in status["availability"] if set(row["scope"]) in ({"region"}, {"zone"})]
    windows = list(rows[0]["windows"]) if rows else []
    table = Table(title="Rolling availability (left of the 30-day error budget)", title_justify="left", pad_edge=False)
    for name in ("scope", "side", *windows, "budget left"):
        table.add_column(name, justify="left" if name in ("scope", "side") else "right")
    for row in rows:
        kind, name = next(iter(row["scope"].items()))
        shown = [_window(row["windows"][window]) for window in windows]
        budget = row["windows"][windows[-1]].get("budget_remaining")
        table.add_row(f"{kind} {name}", row["side"], *shown, percent(budget, 1))
    return table


def _window(window: dict[str, Any]) -> Text:
    _, style = _VERDICTS.get(window["verdict"], ("", ""))
    return Text(percent(window["availability"]), style=style if window["verdict"] != "ok" else "")


def incident_table(incidents: list[dict[str, Any]]) -> Table:
    """Incidents, newest first, each with the name that ``fivenines incidents show`` and ``ack`` take."""
    table = Table(title="Incidents", title_justify="left", pad_edge=False)
    for name in ("since (UTC)", "severity", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("what")
    for incident in incidents:
        since = time.strftime("%m-%d %H:%M:%S", time.gmtime(incident["opened_at"]))
        severity = Text(incident["severity"], style=_SEVERITIES.get(incident["severity"], ""))
        what = Text(incident["summary"].partition(";")[0])
        table.add_row(since, severity, incident["state"], what.append(f"\n{incident['id']}", style="dim"))
    return table
