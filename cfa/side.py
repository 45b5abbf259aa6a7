"""One of two judgements side by side: follows the other until it has the lease, then judges and speaks until it loses it (shell).

The follower's file is a copy of the active one's, so taking over is what starting again after kill -9 is: newest snapshot, feed
from its cursor, the same incidents under the same ids, and every delivery that is marked is known.
"""

import asyncio
import contextlib
import hmac
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from cfa.config import CfaConfig
from cfa.delivery_metrics import side_metrics
from cfa.destinations.http import secret
from cfa.follower import Follower
from cfa.heartbeat import Heartbeat
from cfa.lease import Lease
from cfa.state import StateStore

logger = logging.getLogger("cfa.side")

PATIENCE_LEASES = 3.0
"""One that knows nothing of the other waits for so many leases' time before it takes over."""
WAIT_SECONDS_MOST = 10.0
LOOK_SECONDS = 0.01
LAG_SECONDS_MOST = 10.0
"""A follower that is further behind gives no sign of life."""


@contextlib.asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    """The application at its address; raises ``OSError`` when it is taken."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=30.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=128).start()
        yield
    finally:
        await runner.cleanup()


class SideBySide(Collector):
    """Which of the two this is, and what it does about it."""

    def __init__(self, config: CfaConfig, store: StateStore, tls: ssl.SSLContext | None) -> None:
        assert config.pair is not None
        self._config = config
        self._pair = config.pair
        self._store = store
        self._lease = Lease(
            config.feed_urls,
            f"judgement/{config.region}",
            config.pair.name,
            seconds=config.pair.lease_seconds,
            token_file=config.collector_token_file,
            tls=tls,
        )
        self._follower: Follower | None = None
        self._leads = False
        self.takeovers = 0

    @property
    def active(self) -> bool:
        """Whether we judge and speak: one that was frozen for longer than its lease does not, even before it has noticed."""
        return self._leads and self._lease.remaining() > 0

    @property
    def lag_seconds(self) -> float | None:
        """How long the other's changes have not been had; None while nothing is followed."""
        return None if self._follower is None else self._follower.lag_seconds

    def permit(self) -> float:
        """For how many seconds from now we may speak."""
        return self._lease.remaining()

    async def run(
        self, work: Callable[["SideBySide"], Coroutine[Any, Any, None]], ready: asyncio.Event | None = None
    ) -> None:
        """Runs until cancelled; ``work`` judges."""
        try:
            while True:
                await self._follow(ready)
                await self._lead(work)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._lease.release())
            await self._lease.close()

    async def _follow(self, ready: asyncio.Event | None) -> None:
        """Until the lease is ours."""
        self._follower = follower = Follower(self._pair, self._store)
        heartbeat = self._heartbeat(follower)
        try:
            async with listening(self._application(), self._config.host, self._config.port):
                logger.info("%s follows %s", self._pair.name, self._pair.peer)
                if ready is not None:
                    ready.set()
                tasks = [asyncio.create_task(follower.run(), name="cfa-follower")]
                if heartbeat is not None:
                    tasks.append(asyncio.create_task(heartbeat.run(), name="cfa-heartbeat"))
                try:
                    while not await self._may_lead(follower):
                        await asyncio.sleep(self._lease.pause_seconds)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await follower.close()
            if heartbeat is not None:
                await heartbeat.close()
            self._follower = None

    async def _may_lead(self, follower: Follower) -> bool:
        return follower.ready_to_lead(PATIENCE_LEASES * self._pair.lease_seconds) and await self._lease.ask()

    async def _lead(self, work: Callable[["SideBySide"], Coroutine[Any, Any, None]]) -> None:
        """Until the lease is lost."""
        await self._store.run(self._store.lead, self._lease.epoch)
        self._leads = True
        self.takeovers += 1
        logger.warning("%s is the active judgement, epoch %d", self._pair.name, self._lease.epoch)
        task = asyncio.create_task(work(self), name="cfa-judge")
        try:
            while not task.done() and self._lease.remaining() > 0:
                await asyncio.wait({task}, timeout=self._lease.pause_seconds)
                await self._lease.ask()
            if task.done():
                await task
            logger.warning(
                "%s is not the active judgement any more; %s is", self._pair.name, self._lease.other or "none"
            )
        finally:
            self._leads = False
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- what the other, and people, can ask --------------------------------------------------------------------------------

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The other's door."""
        router.add_get("/v1/changes", self.changes)

    async def changes(self, request: web.Request) -> web.Response:
        """``GET /v1/changes?after=SEQ&wait=SECONDS``: for the other alone."""
        shown = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(shown, b"Bearer " + secret(self._pair.token_file).encode()):
            return web.json_response({"error": "the pair's token is needed"}, status=401)
        try:
            after, wait = int(request.query["after"]), float(request.query.get("wait", "0"))
        except (KeyError, ValueError):
            return web.json_response({"error": "after is the number of a change, wait a number of seconds"}, status=400)
        ends = asyncio.get_running_loop().time() + min(max(0.0, wait), WAIT_SECONDS_MOST)
        while True:
            seen = self._store.writes()
            found = await self._store.run(self._store.changes, after, active=self.active)
            left = ends - asyncio.get_running_loop().time()
            if found.rows or after > found.newest or left <= 0:
                return web.Response(body=msgspec.msgpack.encode(found), content_type="application/msgpack")
            while self._store.writes() == seen and asyncio.get_running_loop().time() < ends:
                await asyncio.sleep(LOOK_SECONDS)

    def view(self) -> dict[str, Any]:
        """The ``pair`` part of the status."""
        return {
            "name": self._pair.name,
            "active": self.active,
            "epoch": self._lease.epoch,
            "lease_seconds_left": round(self._lease.remaining(), 3),
            "takeovers": self.takeovers,
            "holder": self._pair.name if self.active else self._lease.other,
            "lag_seconds": self.lag_seconds,
            "problem": None if self._follower is None else self._follower.problem,
        }

    def collect(self) -> Any:
        """A follower's own metrics."""
        found: list[Metric] = list(side_metrics(self))
        return found

    def _application(self) -> web.Application:
        """What a follower answers: who it is, and what it has copied. It is never ready: the active one is."""
        registry = CollectorRegistry()
        registry.register(self)
        app = web.Application(client_max_size=1024)
        self.add_routes(app.router)

        async def ready(_: web.Request) -> web.Response:
            return web.json_response({"ready": False, "reason": f"follows {self._lease.other or 'nobody'}"}, status=503)

        async def status(_: web.Request) -> web.Response:
            return web.json_response({"ready": False, "delivery": {"pair": self.view()}})

        async def incidents(_: web.Request) -> web.Response:
            found = await self._store.run(self._store.incidents)
            return web.json_response({"incidents": [one.to_json() for one in found]})

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

        app.router.add_get("/ready", ready)
        app.router.add_get("/v1/status", status)
        app.router.add_get("/v1/incidents", incidents)
        app.router.add_get("/metrics", metrics)
        return app

    def _heartbeat(self, follower: Follower) -> Heartbeat | None:
        """Each of the two has a dead-man's switch of its own: a follower that does not follow must be noticed too."""
        if self._config.heartbeat is None:
            return None

        def alive() -> bool:
            lag = follower.lag_seconds
            return lag is not None and lag < LAG_SECONDS_MOST

        return Heartbeat(self._config.heartbeat, alive, {"region": self._config.region, "judgement": self._pair.name})
