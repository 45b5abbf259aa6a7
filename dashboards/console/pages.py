"""Pages rendered from what the judgement answers now (shell)."""

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import jinja2
import msgspec

from dashboards.console import incident as incident_view
from dashboards.console import views
from dashboards.console.payloads import Incident, Incidents, Status
from dashboards.console.payloads import Pages as PagesPayload
from dashboards.console.upstream import FRESH_SECONDS, Answer, Judgement

logger = logging.getLogger("dashboards")
Kind = TypeVar("Kind", bound=msgspec.Struct)

CLOSED_FOR_SECONDS = 7 * 86400


class NotUnderstood(Exception):
    """The judgement did not answer, or not in the words of the contract."""


@dataclass(slots=True)
class Rendered:
    """The last rendering of a template and when it was made (monotonic)."""

    at: float = float("-inf")
    text: str = ""


class Pages:
    """Renders; remembers the last status so that the past can be shown, as past, when the judgement is gone."""

    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement
        self._last = views.Known(None, (), (), (), "Not asked yet", 0.0)
        self._live = Rendered()
        self._rendering = asyncio.Lock()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def overview(self, *, live: bool) -> str:
        """The main page, or its live part alone (rendered at most twice a second)."""
        if not live:
            return await self._render("overview.html")
        async with self._rendering:
            if time.monotonic() - self._live.at > FRESH_SECONDS:
                self._live = Rendered(time.monotonic(), await self._render("overview_live.html"))
            return self._live.text

    async def _render(self, template: str) -> str:
        """A rendering of what is known now."""
        self._last = await self._ask()
        return self._templates.get_template(template).render(page=views.overview(self._last))

    async def incident(self, identity: str, *, live: bool) -> tuple[int, str]:
        """Status and text of an incident's page, or of its live part."""
        answer = await self._judgement.get(f"/v1/incidents/{identity}")
        if answer.status == 404:
            return 404, self._problem("No such incident", f"The judgement knows no incident {identity}.")
        try:
            found = _read(answer, Incident)
        except NotUnderstood as problem:
            return 503, self._problem("No judgement", str(problem))
        detail = incident_view.detail(found, time.time())
        template = "incident_live.html" if live else "incident.html"
        return 200, self._templates.get_template(template).render(page=detail)

    def _problem(self, title: str, detail: str) -> str:
        """A page that says what is wrong."""
        return self._templates.get_template("problem.html").render(title=title, detail=detail)

    async def _ask(self) -> views.Known:
        """All four answers; on a problem, what was known before and the problem."""
        since = (int(time.time()) - CLOSED_FOR_SECONDS) // 60 * 60
        paths = (
            "/v1/status",
            "/v1/incidents?state=open",
            f"/v1/incidents?state=closed&since={since}",
            f"/v1/pages?since={since}",
        )
        status, opened, closed, pages = await asyncio.gather(*map(self._judgement.get, paths))
        try:
            return views.Known(
                status=_read(status, Status),
                open_incidents=_read(opened, Incidents).incidents,
                closed_incidents=_read(closed, Incidents).incidents,
                pages=_read(pages, PagesPayload).pages,
                problem=None,
                now=time.time(),
            )
        except NotUnderstood as problem:
            last = self._last
            return views.Known(
                last.status, last.open_incidents, last.closed_incidents, last.pages, str(problem), time.time()
            )


def _read(answer: Answer, kind: type[Kind]) -> Kind:
    """The answer as a value; raises :class:`NotUnderstood` with a sentence for people."""
    if answer.problem is not None:
        raise NotUnderstood(answer.problem)
    if answer.status != 200:
        raise NotUnderstood(f"The judgement answered {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=kind, strict=False)
    except msgspec.DecodeError as error:
        logger.warning("judgement not understood: %s", error)
        raise NotUnderstood(f"The judgement's answer is not understood: {error}") from error
