"""The canary process's own HTTP: /ready, /metrics, /echo, /faults (shell)."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError

from canary.faults import Fault, Installation
from canary.metrics import Metrics

MAX_BODY_BYTES = 64 * 1024
MAX_REQUESTS = 64
MAX_FAULTS = 1000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """Answers the supervisor, Prometheus and the other zones' canaries."""

    def __init__(
        self,
        faults: dict[str, Fault],
        hosts: frozenset[str],
        metrics: Metrics,
        token: str | None,
        missing: Callable[[], str | None],
    ) -> None:
        self._faults = faults
        self._hosts = hosts
        self._metrics = metrics
        self._token = token
        self._missing = missing
        self._free = MAX_REQUESTS

    async def run(self, host: str, port: int, started: Callable[[], None]) -> None:
        """Serve until cancelled."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._guard])
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/echo", self._echo)
        app.router.add_get("/faults", self._list)
        app.router.add_post("/faults", self._install)
        app.router.add_delete("/faults/{id}", self._remove)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            started()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._free:
            return self._refuse(503, "busy", "too many requests at once")
        if request.path.startswith("/faults") and not self._allowed(request):
            return self._refuse(401, "no_token", "a bearer token is needed")
        self._free -= 1
        try:
            return await handler(request)
        except web.HTTPException as error:
            return self._refuse(error.status, f"http_{error.status}", error.reason)
        finally:
            self._free += 1

    def _allowed(self, request: web.Request) -> bool:
        shown = request.headers.get("Authorization", "").encode()
        return self._token is None or hmac.compare_digest(shown, f"Bearer {self._token}".encode())

    def _refuse(self, status: int, reason: str, text: str) -> web.Response:
        self._metrics.refused.labels(reason).inc()
        return web.json_response({"error": text}, status=status)

    async def _ready(self, _: web.Request) -> web.Response:
        reason = self._missing()
        return web.json_response({"ready": reason is None, "reason": reason}, status=503 if reason else 200)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        page = generate_latest(self._metrics.registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _echo(self, _: web.Request) -> web.Response:
        return web.json_response({"at": time.time()})

    async def _list(self, _: web.Request) -> web.Response:
        shown = [{"id": i, "fault": f.model_dump(by_alias=True, exclude_none=True)} for i, f in self._faults.items()]
        return web.json_response({"faults": shown})

    async def _install(self, request: web.Request) -> web.Response:
        try:
            wanted = Installation.model_validate_json(await request.read())
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            return self._refuse(400, "malformed", problems)
        fault = wanted.fault
        if fault.canary is not None and fault.canary not in self._hosts:
            living = ", ".join(sorted(self._hosts))
            return self._refuse(422, "unknown_host", f"{fault.canary} does not live here; here live {living}")
        if len(self._faults) >= MAX_FAULTS:
            return self._refuse(422, "too_many_faults", f"{MAX_FAULTS} faults are in force already")
        self._faults[wanted.id] = fault
        return web.json_response({"in_force_at": time.time()})

    async def _remove(self, request: web.Request) -> web.Response:
        if self._faults.pop(request.match_info["id"], None) is None:
            return self._refuse(404, "no_such_fault", "no such fault")
        return web.json_response({"removed": request.match_info["id"]})
