"""Sample traffic: two make-believe applications that use the store lightly, and the ``load`` fault (shell).

They retry as an SDK does (three attempts, the next router each time): they are customers, not probes, and are heard as
such: :mod:`fivenines.telling`.
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
from collector.customers.recorder import Recorder
from collector.customers.vocabulary import outcome_of
from collector.observation import Outcome
from fivenines import secrets
from fivenines.config import TrafficConfig
from fivenines.telling import Asked, HookMonitor, SdkMonitor, Teller, ended

logger = logging.getLogger("traffic")
ATTEMPTS = 3
ATTEMPT_SECONDS = 3.0
KEYS = 500
MAX_LOAD_IN_FLIGHT = 200


class Application:
    """One customer of one table: asks the store, counts what came of it, and tells the collector as its SDK would."""

    def __init__(
        self, table: str, config: TrafficConfig, session: aiohttp.ClientSession, teller: Teller | None, seed: int
    ) -> None:
        self.table = table
        self._session = session
        self._routers = itertools.cycle(config.routers)
        secret = secrets.read(config.secret_access_key_file) or ""
        self._signer = Signer(config.access_key_id, secret, "local")
        self._random = random.Random(seed)
        self._teller = teller
        self.calls = {"ok": 0, "throttled": 0, "failed": 0}

    async def call(self, api: str, parameters: dict[str, Any], attempts: int = ATTEMPTS, *, told: bool = True) -> None:
        """One call with the retries of an SDK; the ``load`` fault is not ``told``: it is no customer."""
        body = json.dumps(parameters).encode()
        teller = self._teller if told else None
        at, began = time.time(), time.monotonic()
        for _ in range(attempts):
            asked = Asked(
                api=api, table=parameters["TableName"], strong=parameters.get("ConsistentRead", False), host="", at=0.0
            )
            await self._attempt(asked, body)
            if teller is not None:
                teller.attempt(asked)
            outcome, _reason = outcome_of(asked.status, asked.code, asked.exception)
            if not outcome.is_bad:
                break
        self.calls[
            "ok" if outcome is Outcome.SUCCESS else "throttled" if outcome is Outcome.THROTTLED else "failed"
        ] += 1
        if teller is not None:
            asked.at = at
            teller.call(ended(asked, began))

    async def _attempt(self, asked: Asked, body: bytes) -> None:
        url = next(self._routers)
        target = f"DynamoDB_20120810.{asked.api}"
        digest = hashlib.sha256(body).hexdigest()
        asked.host = url.removeprefix("http://")
        asked.at, began = time.time(), time.monotonic()
        date, authorization = self._signer.sign(host=asked.host, target=target, body_sha256=digest, at=asked.at)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "X-Amz-Target": target,
            "X-Amz-Date": date,
            "Authorization": authorization,
        }
        try:
            async with self._session.post(url, data=body, headers=headers) as answer:
                reply = await answer.read()
        except TimeoutError:
            asked.exception = "ReadTimeoutError"
        except aiohttp.ClientConnectorError:
            asked.exception = "EndpointConnectionError"
        except (aiohttp.ClientError, OSError):
            asked.exception = "ConnectionClosedError"
        else:
            asked.status, asked.request_id = answer.status, answer.headers.get("x-amzn-RequestId")
            asked.code = _code(reply) if answer.status >= 400 else None
        ended(asked, began)

    async def one(self) -> None:
        """One call of a customer: three reads for a write."""
        key = {"pk": {"S": f"{self.table}-{self._random.randrange(KEYS)}"}, "sk": {"S": "current"}}
        if self._random.random() < 0.75:
            strong = self._random.random() < 0.5
            await self.call("GetItem", {"TableName": self.table, "Key": key, "ConsistentRead": strong})
        else:
            item = {**key, "total": {"N": str(self._random.randrange(10_000))}, "note": {"S": "x" * 200}}
            await self.call("PutItem", {"TableName": self.table, "Item": item})


def _code(reply: bytes) -> str | None:
    """The error's code in an answer of the store."""
    try:
        return str(json.loads(reply)["__type"]).rpartition("#")[2] or None
    except (ValueError, KeyError, TypeError):
        return None


def _teller(table: str, index: int, config: TrafficConfig) -> Teller | None:
    """In turn: an SDK with monitoring on, and the hook."""
    name = f"{table}-service"
    if index % 2 == 0:
        return SdkMonitor(f"{name}/{table}", (config.csm_host, config.csm_port)) if config.csm_port else None
    if config.collector is None:
        return None
    return HookMonitor(Recorder(name, config.collector, token=secrets.read(config.collector_token_file)))


async def _steady(config: TrafficConfig, applications: list[Application]) -> None:
    """Open loop: a slow store does not slow its customers."""
    if config.requests_per_second <= 0 or not applications:
        return
    async with asyncio.TaskGroup() as group:
        for application in itertools.cycle(applications):
            group.create_task(application.one())
            await asyncio.sleep(1.0 / config.requests_per_second)


async def _load(application: Application, fault: dict[str, Any]) -> None:
    """The ``load`` fault: writes to one key at a rate, each a single attempt of one write unit."""
    item = {"pk": {"S": fault["key"]}, "sk": {"S": "current"}, "note": {"S": "y" * 400}}
    parameters = {"TableName": fault["table"], "Item": item}
    in_flight: set[asyncio.Task[None]] = set()
    started, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - started) * float(fault["rate"]))
        for _ in range(min(due - sent, MAX_LOAD_IN_FLIGHT - len(in_flight))):
            task = asyncio.create_task(application.call("PutItem", parameters, attempts=1, told=False))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
        sent = due  # what could not be in flight in time is not made up for: the machine is the limit
        await asyncio.sleep(0.02)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Admin:
    def __init__(self, token: str | None, applications: list[Application], loader: Application) -> None:
        self._token = token
        self._applications = applications
        self._loader = loader
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
        return web.json_response({"ready": True, "calls": {one.table: one.calls for one in self._applications}})

    async def _add(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["fault"].get("kind") != "load":
            return web.json_response({"error": "only load"}, status=422)
        self._loads[body["id"]] = asyncio.create_task(_load(self._loader, body["fault"]))
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
        tellers = [_teller(table, index, config) for index, table in enumerate(config.tables)]
        applications = [
            Application(table, config, session, teller, seed)
            for seed, (table, teller) in enumerate(zip(config.tables, tellers, strict=True))
        ]
        loader = Application("", config, session, None, seed=0)
        admin = _Admin(secrets.read(config.admin_token_file), applications, loader)
        runner = web.AppRunner(admin.application(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, config.admin_host, config.admin_port).start()
            await _steady(config, applications)
            await asyncio.Event().wait()
        finally:
            await admin.close()
            for teller in tellers:
                if teller is not None:
                    await asyncio.to_thread(teller.close)
            with contextlib.suppress(asyncio.CancelledError):
                await runner.cleanup()
