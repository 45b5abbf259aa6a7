"""Sample traffic: two make-believe applications that use the store lightly, and the ``load`` fault (shell).

They retry as an SDK does (three attempts, the next router each time): they are customers, not probes.
"""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from canary.signature import CONTENT_TYPE, Signer
from fivenines import secrets
from fivenines.config import TrafficConfig

logger = logging.getLogger("traffic")
ATTEMPTS = 3
ATTEMPT_SECONDS = 3.0
KEYS = 500
MAX_LOAD_IN_FLIGHT = 200


class Applications:
    """Asks the store; counts what came of it."""

    def __init__(self, config: TrafficConfig, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._routers = itertools.cycle(config.routers)
        secret = secrets.read(config.secret_access_key_file) or ""
        self._signer = Signer(config.access_key_id, secret, "local")
        self._random = random.Random(2015)
        self.calls = {"ok": 0, "throttled": 0, "failed": 0}

    async def call(self, operation: str, parameters: dict[str, Any], attempts: int = ATTEMPTS) -> None:
        """One call with the retries of an SDK."""
        body = json.dumps(parameters).encode()
        for _ in range(attempts):
            outcome = await self._attempt(operation, body)
            if outcome != "failed":
                break
        self.calls[outcome] += 1

    async def _attempt(self, operation: str, body: bytes) -> str:
        url = next(self._routers)
        target = f"DynamoDB_20120810.{operation}"
        digest = hashlib.sha256(body).hexdigest()
        host = url.removeprefix("http://")
        date, authorization = self._signer.sign(host=host, target=target, body_sha256=digest, at=time.time())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "X-Amz-Target": target,
            "X-Amz-Date": date,
            "Authorization": authorization,
        }
        try:
            async with self._session.post(url, data=body, headers=headers) as answer:
                reply = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return "failed"
        if answer.status < 400:
            return "ok"
        return "throttled" if b"Throughput" in reply or b"Throttling" in reply else "failed"

    async def one(self, table: str) -> None:
        """One call of a customer: three reads for a write."""
        key = {"pk": {"S": f"{table}-{self._random.randrange(KEYS)}"}, "sk": {"S": "current"}}
        if self._random.random() < 0.75:
            await self.call("GetItem", {"TableName": table, "Key": key, "ConsistentRead": self._random.random() < 0.5})
        else:
            item = {**key, "total": {"N": str(self._random.randrange(10_000))}, "note": {"S": "x" * 200}}
            await self.call("PutItem", {"TableName": table, "Item": item})


async def _steady(config: TrafficConfig, applications: Applications) -> None:
    """Open loop: a slow store does not slow its customers."""
    if config.requests_per_second <= 0:
        return
    async with asyncio.TaskGroup() as group:
        for table in itertools.cycle(config.tables):
            group.create_task(applications.one(table))
            await asyncio.sleep(1.0 / config.requests_per_second)


async def _load(applications: Applications, fault: dict[str, Any]) -> None:
    """The ``load`` fault: writes to one key at a rate, each a single attempt of one write unit."""
    item = {"pk": {"S": fault["key"]}, "sk": {"S": "current"}, "note": {"S": "y" * 400}}
    parameters = {"TableName": fault["table"], "Item": item}
    in_flight: set[asyncio.Task[None]] = set()
    started, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - started) * float(fault["rate"]))
        for _ in range(min(due - sent, MAX_LOAD_IN_FLIGHT - len(in_flight))):
            task = asyncio.create_task(applications.call("PutItem", parameters, attempts=1))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
        sent = due  # what could not be in flight in time is not made up for: the machine is the limit
        await asyncio.sleep(0.02)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Admin:
    def __init__(self, token: str | None, applications: Applications) -> None:
        self._token = token
        self._applications = applications
        self._loads: dict[str, asyncio.Task[None]] = {}

    def application(self) -> web.Application:
        application = web.Application(client_max_size=64 * 1024)
        application.add_routes(
            [
                web.get("/ready", self._ready),
                web.post("/faults", self._guarded(self._add)),
                web.delete("/faults/{id}", self._guarded(self._remove)),
            ]
        )
        return application

    def _guarded(self, handler: Handler) -> Handler:
        async def check(request: web.Request) -> web.StreamResponse:
            shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self._token and not hmac.compare_digest(shown.encode(), self._token.encode()):
                return web.json_response({"error": "token"}, status=401)
            return await handler(request)

        return check

    async def _ready(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"ready": True, "calls": self._applications.calls})

    async def _add(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["fault"].get("kind") != "load":
            return web.json_response({"error": "only load"}, status=422)
        self._loads[body["id"]] = asyncio.create_task(_load(self._applications, body["fault"]))
        return web.json_response({"in_force_at": time.time()})

    async def _remove(self, request: web.Request) -> web.StreamResponse:
        task = self._loads.pop(request.match_info["id"], None)
        if task is not None:
            task.cancel()
        return web.json_response({"removed": task is not None})

    async def close(self) -> None:
        for task in self._loads.values():
            task.cancel()
        await asyncio.gather(*self._loads.values(), return_exceptions=True)


async def run(config: TrafficConfig) -> None:
    """Run the sample applications until cancelled."""
    timeout = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        applications = Applications(config, session)
        admin = _Admin(secrets.read(config.admin_token_file), applications)
        runner = web.AppRunner(admin.application(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, config.admin_host, config.admin_port).start()
            await _steady(config, applications)
            await asyncio.Event().wait()
        finally:
            await admin.close()
            with contextlib.suppress(asyncio.CancelledError):
                await runner.cleanup()
