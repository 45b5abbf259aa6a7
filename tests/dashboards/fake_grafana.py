"""As much of Grafana's HTTP API as a push needs: folders, dashboards, a token. Not Grafana itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "glsa_right"


@dataclass
class FakeGrafana:
    """``fail`` answers everything with that status; ``hang`` never answers; ``writes`` counts changes."""

    url: str = ""
    fail: int | None = None
    hang: bool = False
    writes: int = 0
    folders: dict[str, str] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        """Any request."""
        if self.hang:
            await asyncio.sleep(30)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": "Invalid API key"}, status=401)
        if self.fail is not None:
            return web.json_response({"message": "no"}, status=self.fail)
        path = request.path.removeprefix("/grafana/api")
        if (request.method, path) == ("GET", "/folders"):
            return web.json_response([{"uid": uid, "title": title} for uid, title in self.folders.items()])
        if (request.method, path) == ("POST", "/folders"):
            body = await request.json()
            self.folders[body["uid"]] = body["title"]
            return web.json_response(body)
        if (request.method, path) == ("POST", "/dashboards/db"):
            return self._save(await request.json())
        uid = path.rsplit("/", 1)[-1]
        if request.method == "GET" and uid in self.dashboards:
            return web.json_response(self.dashboards[uid])
        return web.json_response({"message": "Dashboard not found"}, status=404)

    def _save(self, body: dict[str, Any]) -> web.Response:
        """As Grafana does: it adds id and version, and refuses an unknown folder."""
        if body["folderUid"] not in self.folders:
            return web.json_response({"message": "folder not found"}, status=400)
        self.writes += 1
        uid = body["dashboard"]["uid"]
        version = self.dashboards.get(uid, {"dashboard": {"version": 0}})["dashboard"]["version"] + 1
        saved = body["dashboard"] | {"id": 7, "version": version}
        self.dashboards[uid] = {"dashboard": saved, "meta": {"folderUid": body["folderUid"]}}
        return web.json_response({"uid": uid, "version": version, "status": "success"})


@contextlib.asynccontextmanager
async def grafana() -> AsyncIterator[FakeGrafana]:
    """A fake on a free port, under the path ``/grafana`` as behind a proxy."""
    fake = FakeGrafana()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/grafana/"
    try:
        yield fake
    finally:
        await runner.cleanup()
