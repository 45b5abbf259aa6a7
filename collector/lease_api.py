"""Leases over HTTP (shell).

``POST /v1/lease`` ``{"name", "holder", "seconds", "epoch"}`` → ``{"granted", "holder", "epoch", "seconds"}``; with
``"seconds": 0`` it is given back. Whoever may read the feed may ask.
"""

import asyncio
import time
from typing import Annotated

import msgspec
from aiohttp import ClientError, web

from collector.lease import SECONDS_MOST, Leases
from collector.query import QueryError

PATH = "/v1/lease"
BODY_BYTES_MAX = 4096
BODY_SECONDS = 5.0
_NAME = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request."""

    name: _NAME
    holder: _NAME
    seconds: Annotated[float, msgspec.Meta(ge=0, le=SECONDS_MOST)]
    epoch: Annotated[int, msgspec.Meta(ge=0)] = 0


class LeaseApi:
    """One handler; the application's middleware has checked who asks."""

    def __init__(self, leases: Leases | None = None) -> None:
        self._leases = leases or Leases(time.monotonic())

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """All of them."""
        router.add_post(PATH, self.ask)

    async def ask(self, request: web.Request) -> web.Response:
        """``POST /v1/lease``."""
        asked = await _read(request)
        now = time.monotonic()
        if not asked.seconds:
            self._leases.release(asked.name, asked.holder, now)
            return web.json_response({"granted": False, "holder": "", "epoch": 0, "seconds": 0.0})
        grant = self._leases.ask(
            asked.name, asked.holder, seconds=asked.seconds, epoch=asked.epoch, at=now, wall=time.time()
        )
        return web.Response(body=msgspec.json.encode(grant), content_type="application/json")


async def _read(request: web.Request) -> Asked:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.content.read(BODY_BYTES_MAX + 1)
        if len(body) > BODY_BYTES_MAX:
            raise QueryError(f"a lease is asked for in at most {BODY_BYTES_MAX} bytes")
        return msgspec.json.decode(body, type=Asked)
    except (TimeoutError, ClientError) as error:
        raise QueryError("the request's body did not come") from error
    except msgspec.DecodeError as error:
        raise QueryError(str(error)) from error
