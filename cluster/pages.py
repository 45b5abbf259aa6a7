"""The small HTTP servers inside a zone process: metrics of its nodes, and what its admin API stands on (shell)."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cluster.fault_injection import FaultSet
from cluster.node import StorageNode
from cluster.topology import Address

logger = logging.getLogger("cluster")

MAX_BODY_BYTES = 64 * 1024
PAUSED_LOOK_SECONDS = 0.1


@asynccontextmanager
async def listening(app: web.Application, address: Address) -> AsyncIterator[None]:
    """Serve ``app`` at ``address`` inside the block."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, keepalive_timeout=30.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port, backlog=64, reuse_address=True).start()
        yield
    finally:
        await runner.cleanup()


def bearer(token: str | None) -> Middleware:
    """A middleware that asks for the token, if there is one; whether a process is ready is no secret."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if token is not None and request.path != "/ready" and not hmac.compare_digest(given.encode(), token.encode()):
            return web.json_response({"error": "a bearer token is needed"}, status=401)
        return await handler(request)

    return check


def metrics_app(node: StorageNode, faults: FaultSet) -> web.Application:
    """``GET /metrics`` of a storage node."""

    async def metrics(_request: web.Request) -> web.StreamResponse:
        while node.paused:
            await asyncio.sleep(PAUSED_LOOK_SECONDS)
        if faults.metrics_muted(node.name):
            return web.Response(status=503, text="metrics are muted\n")
        return web.Response(body=generate_latest(node.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/metrics", metrics)
    return app
