"""The stack's control socket: how ``fivenines fault`` and ``fivenines drill`` reach a running stack (shell).

HTTP over a Unix socket that only its owner can open: ``GET /state``, ``GET|POST /faults``, ``DELETE /faults/ID``, ``GET|POST /mitigations``.
"""

import hashlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import ValidationError

from cluster.faults import Fault
from fivenines.fault_control import FaultControl
from fivenines.fault_routing import FaultRefused
from fivenines.mitigation import MitigationRefused, Mitigations, Order

MAX_SOCKET_PATH = 100
MAX_BODY_BYTES = 64 * 1024


class NotRunning(Exception):
    """No stack answers in this state folder."""


class ControlError(Exception):
    """The stack refused; the text says why."""


def socket_path(state_dir: Path) -> Path:
    """Where the socket is; a folder with a very long name gets one in the temporary folder (the kernel's limit is 108 bytes)."""
    path = state_dir.resolve() / "control.sock"
    if len(str(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"fivenines-{digest}.sock"


@asynccontextmanager
async def served(
    state_dir: Path, faults: FaultControl, mitigations: Mitigations, state: Callable[[], dict[str, Any]]
) -> AsyncIterator[None]:
    """Serve the control socket while the block runs."""
    path = socket_path(state_dir)
    path.unlink(missing_ok=True)
    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.add_routes(
        [
            web.get("/state", _state_handler(state)),
            web.get("/faults", _list_handler(faults)),
            web.post("/faults", _add_handler(faults)),
            web.delete("/faults/{id}", _remove_handler(faults)),
            web.get("/mitigations", _mitigations_handler(mitigations)),
            web.post("/mitigations", _mitigate_handler(mitigations)),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    path.chmod(0o600)
    try:
        yield
    finally:
        await runner.cleanup()
        path.unlink(missing_ok=True)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _state_handler(state: Callable[[], dict[str, Any]]) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.json_response(state())

    return handle


def _list_handler(faults: FaultControl) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"faults": [fault.to_json() for fault in faults.active()]})

    return handle


def _add_handler(faults: FaultControl) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            fault = Fault.model_validate(body["fault"])
            active = await faults.add(fault, body.get("lasts"))
        except (ValidationError, FaultRefused, ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": explain(error)}, status=422)
        return web.json_response(active.to_json())

    return handle


def _remove_handler(faults: FaultControl) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        identity = request.match_info["id"]
        try:
            removed_at = await faults.remove(identity)
        except KeyError:
            return web.json_response({"error": f"no fault '{identity}' is in force"}, status=404)
        return web.json_response({"id": identity, "removed_at": removed_at})

    return handle


def _mitigations_handler(mitigations: Mitigations) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"withdrawn": mitigations.view()})

    return handle


def _mitigate_handler(mitigations: Mitigations) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            order = Order.model_validate_json(await request.read())
            done = await mitigations.carry_out(order)
        except (ValidationError, MitigationRefused) as error:
            return web.json_response({"error": explain(error)}, status=422)
        return web.json_response({"done": done}, status=200 if done else 409)

    return handle


def explain(error: Exception) -> str:
    """What was wrong with a fault, in words."""
    if isinstance(error, ValidationError):
        problems = (
            (".".join(str(part) for part in p["loc"]), p["msg"].removeprefix("Value error, ")) for p in error.errors()
        )
        return "; ".join(f"{where}: {what}" if where else what for where, what in problems)
    return str(error)


class ControlClient:
    """The other end: talks to the stack of ``state_dir``."""

    def __init__(self, state_dir: Path) -> None:
        self._path = socket_path(state_dir)

    async def state(self) -> dict[str, Any]:
        """The stack's parts and addresses; raises :class:`NotRunning`."""
        return await self._call("GET", "/state")

    async def faults(self) -> list[dict[str, Any]]:
        """What is in force."""
        listed: list[dict[str, Any]] = (await self._call("GET", "/faults"))["faults"]
        return listed

    async def add(self, fault: Fault, lasts: float | None = None) -> dict[str, Any]:
        """Put a fault in force; raises :class:`ControlError`."""
        body = {"fault": fault.model_dump(mode="json", by_alias=True, exclude_defaults=True), "lasts": lasts}
        return await self._call("POST", "/faults", body)

    async def remove(self, identity: str) -> dict[str, Any]:
        """Take a fault away; raises :class:`ControlError` when it is not there."""
        return await self._call("DELETE", f"/faults/{identity}")

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        if not self._path.exists():
            raise NotRunning("no stack is running here; start one with 'fivenines up' (or 'make up')")
        connector = aiohttp.UnixConnector(str(self._path))
        timeout = aiohttp.ClientTimeout(total=30.0)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(method, f"http://control{path}", json=body) as answer,
            ):
                reply: dict[str, Any] = await answer.json()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotRunning("the stack of this folder does not answer; start it with 'fivenines up'") from error
        if answer.status >= 400:
            raise ControlError(str(reply.get("error", reply)))
        return reply
