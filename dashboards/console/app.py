"""The console's HTTP server: pages, the live part of pages, and the judgement's JSON passed on (shell)."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web

from dashboards.config import ConsoleConfig
from dashboards.console.metrics import ConsoleMetrics
from dashboards.console.pages import Pages
from dashboards.console.upstream import Answer, Judgement

logger = logging.getLogger("dashboards")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HERE = Path(__file__).parent
CONNECTIONS_MAX = 512
QUERY_VALUE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
INCIDENT_ID = "[A-Za-z0-9_.:×-]{1,160}"
QUERIES = {"/api/status": (), "/api/incidents": ("state", "since"), "/api/pages": ("since",)}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Console:
    """Handlers over one judgement."""

    def __init__(self, judgement: Judgement, metrics: ConsoleMetrics) -> None:
        self._judgement = judgement
        self._metrics = metrics
        self._pages = Pages(judgement)
        self.server: web.Server | None = None
        """Set once it listens: it knows how many connections are open."""

    def application(self) -> web.Application:
        """The aiohttp application; bodies are refused beyond a kilobyte, nothing here takes one."""
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/", self._overview)
        app.router.add_get("/live", self._overview)
        app.router.add_get(f"/incidents/{{id:{INCIDENT_ID}}}", self._incident)
        app.router.add_get(f"/live/incidents/{{id:{INCIDENT_ID}}}", self._incident)
        app.router.add_get("/api/health", self._health)
        for path in QUERIES:
            app.router.add_get(path, self._pass_on)
        app.router.add_get("/metrics", self._own_metrics)
        app.router.add_static("/static", HERE / "static", append_version=False)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Limits, security headers and counts for every answer."""
        if self.server is not None and len(self.server.connections) > CONNECTIONS_MAX:
            self._metrics.refused("too_many_connections")
            response: web.StreamResponse = web.json_response({"error": "too many connections"}, status=503)
            response.force_close()
        else:
            response = await self._answer(request, handler)
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-cache" if request.path.startswith("/static") else "no-store")
        self._metrics.answered(response.status)
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer; errors are polite."""
        try:
            return await handler(request)
        except web.HTTPException as refusal:
            if refusal.status >= 400:
                self._metrics.refused(f"http_{refusal.status}")
                return web.json_response({"error": refusal.reason, "path": request.path}, status=refusal.status)
            raise

    async def _overview(self, request: web.Request) -> web.Response:
        """``GET /`` and its live part."""
        return self._html(200, await self._pages.overview(live=request.path == "/live"))

    async def _incident(self, request: web.Request) -> web.Response:
        """``GET /incidents/ID`` and its live part."""
        live = request.path.startswith("/live/")
        return self._html(*await self._pages.incident(request.match_info["id"], live=live))

    def _html(self, status: int, text: str) -> web.Response:
        """An HTML answer, compressed when the browser can."""
        response = web.Response(text=text, status=status, content_type="text/html")
        response.enable_compression()
        return response

    async def _health(self, _request: web.Request) -> web.Response:
        """200 when the judgement is ready, else 503 with the reason; answers within the upstream's patience."""
        answer = await self._judgement.get("/ready")
        if answer.status == 200:
            return web.json_response({"ready": True})
        return web.json_response({"ready": False, "reason": answer.problem or _reason(answer)}, status=503)

    async def _pass_on(self, request: web.Request) -> web.Response:
        """The judgement's JSON as it is; known query parameters go along."""
        known = QUERIES[request.path]
        for name, value in request.query.items():
            if name not in known or not QUERY_VALUE.fullmatch(value):
                self._metrics.refused("query")
                message = f"unknown or malformed query parameter: {name[:64]}; known here: {', '.join(known) or 'none'}"
                return web.json_response({"error": message}, status=400)
        query = "&".join(f"{name}={request.query[name]}" for name in known if name in request.query)
        answer = await self._judgement.get(f"/v1/{request.path.removeprefix('/api/')}{'?' + query if query else ''}")
        if answer.problem is not None:
            return web.json_response({"error": answer.problem}, status=503)
        return web.Response(body=answer.body, status=answer.status, content_type="application/json")

    async def _own_metrics(self, _request: web.Request) -> web.Response:
        """The console's own metrics."""
        body, content_type = self._metrics.page()
        return web.Response(body=body, headers={"Content-Type": content_type})


def _reason(answer: Answer) -> str:
    """Why the judgement is not ready, in its own words if it has some."""
    try:
        said = msgspec.json.decode(answer.body, type=dict[str, object]).get("reason")
    except msgspec.DecodeError:
        said = None
    return str(said) if said else f"The judgement answered {answer.status}"


async def run(config: ConsoleConfig, ready: asyncio.Event | None = None) -> None:
    """Serve the console until cancelled; sets ``ready`` once it listens. Raises OSError when the port is taken."""
    timeout = aiohttp.ClientTimeout(total=5.0)
    connector = aiohttp.TCPConnector(limit=16)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        judgement = Judgement(config.cfa, session)
        console = Console(judgement, ConsoleMetrics())
        runner = web.AppRunner(console.application(), access_log=None, keepalive_timeout=30.0, shutdown_timeout=1.0)
        await runner.setup()
        console.server = runner.server
        try:
            await web.TCPSite(runner, config.host, config.port, backlog=128).start()
            logger.info("console listens on http://%s:%d", config.host, config.port)
            if ready is not None:
                ready.set()
            await asyncio.Event().wait()
        finally:
            await judgement.close()
            await runner.cleanup()
