"""What a good dashboard must have; after grafana/dashboard-linter's rules, for what we use (pure)."""

import re
from typing import Any, get_args

from dashboards.boards.model import Unit

Json = dict[str, Any]
COUNTER_READERS = ("rate(", "increase(", "irate(")
AGGREGATIONS = ("sum", "max", "min", "count", "histogram_quantile", "avg")
RANGE = re.compile(r"\[([^\]]+)\]")
COUNTER = re.compile(r"\b[a-z_]+(?:_total|_bucket)\b")


def lint(dashboard: Json) -> list[str]:
    """Problems in words; none when it is well made."""
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    problems = [*_board(dashboard), *_layout(dashboard["panels"])]
    for panel in panels:
        problems += [f"{panel['title'] or 'a panel'}: {problem}" for problem in _panel(panel)]
    titles = [panel["title"] for panel in panels]
    problems += [f"{title}: two panels have this title" for title in sorted({t for t in titles if titles.count(t) > 1})]
    return problems


def _board(dashboard: Json) -> list[str]:
    """Rules for the whole."""
    variables = dashboard["templating"]["list"]
    rules = {
        "it has no uid": bool(dashboard.get("uid")),
        "it can be edited by hand": dashboard.get("editable") is False,
        "it has an id, which belongs to one Grafana only": dashboard.get("id") is None,
        "it has no data source variable": any(v["type"] == "datasource" for v in variables),
        "a variable is not read again when the time changes": all(v["refresh"] == 2 for v in variables if v["type"] == "query"),
    }  # fmt: skip
    return [problem for problem, kept in rules.items() if not kept]


def _panel(panel: Json) -> list[str]:
    """Rules for one panel."""
    unit = panel["fieldConfig"]["defaults"].get("unit")
    rules = {
        "no title": bool(panel.get("title")),
        "no description": bool(panel.get("description")),
        f"unknown unit {unit}": unit in get_args(Unit),
        "no query": bool(panel.get("targets")),
        "a data source is baked in": panel["datasource"]["uid"] == "${datasource}",
        "no colour for the lowest value": panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None,
    }
    problems = [problem for problem, kept in rules.items() if not kept]
    return problems + [problem for target in panel.get("targets", []) for problem in expression(target["expr"])]


def expression(promql: str) -> list[str]:
    """Rules for one expression that need no parser."""
    problems = [f"range [{r}] is not $__rate_interval" for r in RANGE.findall(promql) if r != "$__rate_interval"]
    if COUNTER.search(promql):
        if not any(reader in promql for reader in COUNTER_READERS):
            problems.append("a counter is not read through rate or increase")
        if not promql.lstrip("1 -").startswith(AGGREGATIONS):
            problems.append("a counter is not aggregated")
    if not re.search(r'region=~"\$region"', promql):
        problems.append("it does not filter by region")
    return problems


def _layout(panels: list[Json]) -> list[str]:
    """Unique ids, nothing overlaps, nothing sticks out."""
    problems = [] if len({panel["id"] for panel in panels}) == len(panels) else ["panel ids are not unique"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        fields = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        if taken & fields:
            problems.append(f"{panel['title']}: overlaps another panel")
        if at["x"] + at["w"] > 24:
            problems.append(f"{panel['title']}: wider than the page")
        taken |= fields
    return problems
