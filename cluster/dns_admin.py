"""The DNS server's door for faults: ``/ready``, ``/faults`` and ``/metrics`` as in docs/api.md (shell)."""

import dataclasses
import json
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, ConfigDict, ValidationError

from cluster.control.admin import FaultOrder
from cluster.faults import Fault, FaultKind
from cluster.pages import MAX_BODY_BYTES, bearer

_OPEN_PATHS = ("/ready", "/metrics")


class Withdrawal(BaseModel):
    """The body of ``PUT /withdrawn``: the whole set, so that a repetition changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    routers: frozenset[str]


@dataclasses.dataclass(slots=True)
class DnsAdmin:
    """Keeps the installed faults; the newest one for an endpoint wins."""

    endpoints: frozenset[str]
    routers: frozenset[str]
    registry: CollectorRegistry
    ready: bool = False
    withdrawn: frozenset[str] = frozenset()
    """Routers that are in no answer, because somebody has taken them out."""
    _installed: dict[str, Fault] = dataclasses.field(default_factory=dict)

    def answers(self) -> Mapping[str, str]:
        """Endpoint (or ``any``) → how its answers are broken."""
        return {str(fault.endpoint): str(fault.answer) for fault in self._installed.values()}

    def app(self, token: str | None) -> web.Application:
        """The application to serve; faults need the token, if there is one."""
        check = bearer(token)

        @web.middleware
        async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
            return await (handler(request) if request.path in _OPEN_PATHS else check(request, handler))

        app = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/faults", self._list)
        app.router.add_post("/faults", self._add)
        app.router.add_delete("/faults/{id}", self._remove)
        app.router.add_get("/withdrawn", self._list_withdrawn)
        app.router.add_put("/withdrawn", self._withdraw)
        return app

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.json_response({"ready": self.ready}, status=200 if self.ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _list(self, _request: web.Request) -> web.Response:
        listed = [{"id": fault_id, "fault": _shown(fault)} for fault_id, fault in self._installed.items()]
        return web.json_response({"faults": listed})

    async def _add(self, request: web.Request) -> web.Response:
        try:
            order = FaultOrder.model_validate_json(await request.read())
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            return web.json_response({"error": "; ".join(problems)}, status=400)
        refusal = self._refusal(order)
        if refusal is not None:
            return refusal
        self._installed[order.id] = order.fault
        return web.json_response({"in_force_at": time.time()})

    async def _list_withdrawn(self, _request: web.Request) -> web.Response:
        return web.json_response({"routers": sorted(self.withdrawn)})

    async def _withdraw(self, request: web.Request) -> web.Response:
        """Says which routers are in no answer from now on. An answer without any address is an outage, and is refused."""
        try:
            wanted = Withdrawal.model_validate_json(await request.read()).routers
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        unknown = sorted(wanted - self.routers)
        if unknown:
            return web.json_response({"error": f"there is no router {', '.join(unknown)}"}, status=422)
        if len(wanted) > len(self.routers) / 2:
            return web.json_response({"error": "at most half of the routers may be taken out of the DNS"}, status=409)
        self.withdrawn = wanted
        return web.json_response({"routers": sorted(wanted)})

    def _refusal(self, order: FaultOrder) -> web.Response | None:
        fault = order.fault
        if fault.kind is not FaultKind.DNS:
            return web.json_response({"error": f"the DNS server knows no {fault.kind}, only dns"}, status=422)
        if fault.endpoint not in {*self.endpoints, "any"}:
            known = ", ".join(sorted(self.endpoints))
            return web.json_response(
                {"error": f"there is no endpoint {fault.endpoint}; there is {known}, any"}, status=422
            )
        if order.id in self._installed:
            return web.json_response({"error": f"there is a fault {order.id} already; remove it first"}, status=409)
        return None

    async def _remove(self, request: web.Request) -> web.Response:
        fault_id = request.match_info["id"]
        fault = self._installed.pop(fault_id, None)
        if fault is None:
            return web.json_response({"error": f"there is no fault {fault_id}"}, status=404)
        return web.json_response({"removed_at": time.time(), "fault": _shown(fault)})


def _shown(fault: Fault) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(fault.model_dump_json(by_alias=True, exclude_defaults=True))
    return shown
