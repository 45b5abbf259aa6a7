"""A judgement that answers what a test tells it to, over real HTTP."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Fake:
    """``answers`` is a state of :mod:`samples`; ``hang`` makes it accept and never answer.

    ``turn_after`` (path, count, state): once ``path`` was asked so often, the answers are those of ``state``.
    """

    answers: dict[str, Any]
    url: str = ""
    hang: bool = False
    turn_after: tuple[str, int, dict[str, Any]] | None = None
    asked: Counter[str] = field(default_factory=Counter)

    async def handle(self, request: web.Request) -> web.Response:
        """Any request."""
        self.asked[request.path] += 1
        if self.turn_after and self.asked[self.turn_after[0]] > self.turn_after[1]:
            self.answers = self.turn_after[2]
        if self.hang:
            await asyncio.sleep(60)
        if request.path == "/ready":
            reason = self.answers["ready"]
            body = {"ready": reason is None, "reason": reason}
            return web.json_response(body, status=200 if reason is None else 503)
        if request.path == "/v1/status":
            return web.json_response(self.answers["status"])
        if request.path == "/v1/incidents":
            state = request.query.get("state", "open")
            kinds = ("open", "closed") if state == "all" else (state,)
            return web.json_response({"incidents": [i for kind in kinds for i in self.answers[kind]]})
        if request.path == "/v1/pages":
            return web.json_response({"pages": self.answers["pages"]})
        for incident in (*self.answers["open"], *self.answers["closed"]):
            if request.path == f"/v1/incidents/{incident['id']}":
                return web.json_response(incident)
        raise web.HTTPNotFound


@contextlib.asynccontextmanager
async def serving(answers: dict[str, Any]) -> AsyncIterator[Fake]:
    """A fake on a free port."""
    fake = Fake(answers)
    app = web.Application()
    app.router.add_get("/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
