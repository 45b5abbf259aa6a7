"""Are the dashboards well made, current, and do their queries return data? (shell)."""

import importlib
from pathlib import Path
from typing import Any

import aiohttp

from dashboards.boards.render import to_json, to_text
from dashboards.build import BOARDS, GENERATED
from dashboards.lint import lint
from dashboards.queries import filled

PATIENCE_SECONDS = 10.0


def check(generated: Path = GENERATED) -> list[str]:
    """Problems in words: rules broken, PromQL that does not parse (where promql-parser is installed), files that are stale."""
    problems = []
    for name, board in BOARDS.items():
        dashboard = to_json(board)
        problems += [f"{name}: {problem}" for problem in [*lint(dashboard), *_unparsable(dashboard)]]
        path = generated / f"{name}.json"
        if not path.is_file() or path.read_text(encoding="utf-8") != to_text(board):
            problems.append(f"{name}: {path} is not current; run: fivenines dashboards build")
    return problems


def expressions(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """Panel title and expression of every query."""
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]


async def query_all(prometheus_url: str, *, rate_interval: str = "1m") -> dict[str, int]:
    """Ask a real Prometheus every query of every board: panel title → number of series (the fewest of its queries).

    Raises ``aiohttp.ClientError`` or ``TimeoutError`` when it does not answer, ``ValueError`` when it rejects a query.
    """
    counts: dict[str, int] = {}
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for board in BOARDS.values():
            for title, expression in expressions(to_json(board)):
                found = await _series(session, prometheus_url, filled(expression, rate_interval=rate_interval))
                counts[title] = min(found, counts.get(title, found))
    return counts


async def _series(session: aiohttp.ClientSession, url: str, expression: str) -> int:
    """How many series an instant query returns; NaN alone is no data."""
    async with session.post(f"{url.rstrip('/')}/api/v1/query", data={"query": expression}) as response:
        answer = await response.json()
    if answer["status"] != "success":
        raise ValueError(f"Prometheus rejects {expression}: {answer.get('error')}")
    return sum(1 for sample in answer["data"]["result"] if sample["value"][1] != "NaN")


def _unparsable(dashboard: dict[str, Any]) -> list[str]:
    """Expressions that are not PromQL; none are looked at without the (development) parser."""
    try:
        parser = importlib.import_module("promql_parser")
    except ImportError:
        return []
    problems = []
    for title, expression in expressions(dashboard):
        try:
            parser.parse(filled(expression))
        except ValueError as error:
            problems.append(f"{title}: {error}")
    return problems
