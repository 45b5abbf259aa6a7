"""The ledger over HTTP: sums, availability, exclusions (shell).

* ``GET /v1/totals?kind=tables|cells&start&end[&version][&table|zone|endpoint=…]`` → :class:`collector.totals.Totals`.
* ``GET /v1/availability?start&end&table=…`` (or ``zone``, ``endpoint``, or neither: all) ``[&version]`` → list of
  :class:`collector.availability.Availability`.
* ``GET /v1/exclusions`` → every statement, oldest first, and whether it is in force.
* ``POST /v1/exclusions`` ``{"start", "end", "where": {…}, "reason", "who"}``, or ``{"undoes": id, "reason", "who"}`` → 201 ``{"id"}``.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import msgspec
from aiohttp import ClientError, web

from collector import query
from collector.availability import availability
from collector.exclusion import Exclusion, in_force
from collector.ledger import Ledger
from collector.query import QueryError
from collector.reading import Reader
from collector.writer import Writer

BODY_BYTES_MAX = 16 * 1024
BODY_SECONDS = 10.0
_TEXT = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class ExclusionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for; the collector adds when."""

    reason: _TEXT
    who: _TEXT
    start: float = 0.0
    end: float = 0.0
    where: dict[str, _TEXT] = {}
    undoes: int | None = None


class LedgerApi:
    """Handlers; the application's middleware has checked who asks."""

    def __init__(self, reader: Reader, writer: Writer, *, clock: Callable[[], float] = time.time) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """All of them."""
        router.add_get("/v1/totals", self.totals)
        router.add_get("/v1/availability", self.availability)
        router.add_get("/v1/exclusions", self.exclusions)
        router.add_post("/v1/exclusions", self.exclude)

    async def totals(self, request: web.Request) -> web.Response:
        """``GET /v1/totals``."""
        asked = query.totals(request.query)
        found = await self._reader.totals(
            asked.kind, asked.start, asked.end, version=asked.version, where=dict(asked.where)
        )
        body = await asyncio.to_thread(found.encode)
        return web.Response(body=body, content_type="application/json")

    async def availability(self, request: web.Request) -> web.Response:
        """``GET /v1/availability``."""
        kind = {"kind": "tables" if "table" in request.query else "cells"}
        asked = query.totals({**request.query, **kind})
        found = await self._reader.totals(
            asked.kind, asked.start, asked.end, version=asked.version, where=dict(asked.where)
        )
        return _json(await asyncio.to_thread(availability, found, asked.start, asked.end))

    async def exclusions(self, _request: web.Request) -> web.Response:
        """``GET /v1/exclusions``."""
        return _json(listed(await self._reader.exclusions()))

    async def exclude(self, request: web.Request) -> web.Response:
        """``POST /v1/exclusions``."""
        if (request.content_length or 0) > BODY_BYTES_MAX:
            raise QueryError(f"body: more than {BODY_BYTES_MAX} bytes")
        body = await _body_of(request)
        try:
            wanted = msgspec.json.decode(body, type=ExclusionRequest)
            statement = statement_of(wanted, await self._reader.exclusions(), at=self._clock())
            number = await self._writer.work(partial(Ledger.exclude, statement=statement))
        except (msgspec.DecodeError, ValueError, OverflowError) as error:
            raise QueryError(f"body: {error}") from error
        return _json({"id": number}, 201)


async def _body_of(request: web.Request) -> bytes:
    """The whole body; who sends it too slowly, or not as HTTP says, is refused."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise QueryError(f"body: more than {BODY_BYTES_MAX} bytes")
    except TimeoutError as error:
        raise QueryError(f"body: not here within {BODY_SECONDS:g} s") from error
    except (ClientError, web.RequestPayloadError) as error:
        raise QueryError(f"body: {error}") from error
    return bytes(body)


def statement_of(wanted: ExclusionRequest, known: list[Exclusion], *, at: float) -> Exclusion:
    """The statement to write down; an undoing has the span and place of what it undoes. Raises ValueError."""
    if wanted.undoes is None:
        place: Mapping[str, str] = wanted.where
        start, end = wanted.start, wanted.end
    else:
        undone = next((one for one in in_force(known) if one.id == wanted.undoes), None)
        if undone is None:
            raise ValueError(f"there is no exclusion {wanted.undoes} in force")
        place, start, end = dict(undone.where), undone.start, undone.end
    return Exclusion(
        start=start,
        end=end,
        where=tuple(sorted(place.items())),
        reason=wanted.reason,
        who=wanted.who,
        made_at=at,
        undoes=wanted.undoes,
    )


def listed(statements: list[Exclusion]) -> list[dict[str, Any]]:
    """Statements as people and scripts see them."""
    holding = {one.id for one in in_force(statements)}
    return [
        {
            "id": one.id,
            "start": one.start,
            "end": one.end,
            "where": dict(one.where),
            "reason": one.reason,
            "who": one.who,
            "made_at": one.made_at,
            "undoes": one.undoes,
            "in_force": one.id in holding,
        }
        for one in statements
    ]


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
