"""The admin API of a zone process: is it ready, what is its state, which faults are in force, what scrub finds (shell)."""

import dataclasses
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cluster.fault_actions import FaultActions, NotHere
from cluster.fault_injection import FaultSet
from cluster.faults import Fault
from cluster.pages import MAX_BODY_BYTES, bearer


class FaultOrder(BaseModel):
    """The body of ``POST /faults``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=200)
    fault: Fault


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneAdmin:
    """``unready``: why the zone is not ready, or None; ``state``, ``scrubs``: what ``GET /state``, ``GET /scrub`` show.

    ``scrub`` scrubs everything that is led here, and says what it has found.
    """

    faults: FaultSet
    actions: FaultActions
    unready: Callable[[], str | None]
    state: Callable[[], dict[str, Any]]
    scrubs: Callable[[], dict[str, Any]]
    scrub: Callable[[], Awaitable[dict[str, Any]]]

    def app(self, token: str | None) -> web.Application:
        """The application to serve."""
        app = web.Application(middlewares=[bearer(token)], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/state", self._state)
        app.router.add_get("/scrub", self._scrubs)
        app.router.add_post("/scrub", self._scrub)
        app.router.add_get("/faults", self._list)
        app.router.add_post("/faults", self._add)
        app.router.add_delete("/faults/{id}", self._remove)
        return app

    async def _ready(self, _request: web.Request) -> web.Response:
        reason = self.unready()
        return web.json_response({"ready": reason is None, "reason": reason}, status=200 if reason is None else 503)

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(self.state())

    async def _scrubs(self, _request: web.Request) -> web.Response:
        return web.json_response(self.scrubs())

    async def _scrub(self, _request: web.Request) -> web.Response:
        return web.json_response(await self.scrub())

    async def _list(self, _request: web.Request) -> web.Response:
        faults = self.faults.installed().items()
        return web.json_response({"faults": [{"id": id_, "fault": _shown(fault)} for id_, fault in faults]})

    async def _add(self, request: web.Request) -> web.Response:
        try:
            order = FaultOrder.model_validate_json(await request.read())
            await self.actions.add(order.id, order.fault)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            return web.json_response({"error": "; ".join(problems)}, status=400)
        except NotHere as error:
            return web.json_response({"error": str(error)}, status=error.status)
        return web.json_response({"in_force_at": time.time()})

    async def _remove(self, request: web.Request) -> web.Response:
        fault_id = request.match_info["id"]
        fault = await self.actions.remove(fault_id)
        if fault is None:
            return web.json_response({"error": f"there is no fault {fault_id}"}, status=404)
        return web.json_response({"removed_at": time.time(), "fault": _shown(fault)})


def _shown(fault: Fault) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(fault.model_dump_json(by_alias=True, exclude_defaults=True))
    return shown
