"""The collector's HTTP answers: batches in, feed and ledger out (shell)."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import ClientError, web
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from collector import ingest, query, wire
from collector.board_api import BoardApi
from collector.bulk.api import CountersApi
from collector.customers.door import CustomerDoors
from collector.history.store import HistoryUnavailable
from collector.ingest import Duplicate, Refusal, RefusedError
from collector.lease_api import PATH as LEASE_PATH
from collector.lease_api import LeaseApi
from collector.ledger_api import LedgerApi
from collector.metrics import Metrics
from collector.metrics_page import page_of
from collector.query import QueryError
from collector.reading import Reader, encode_rows
from collector.series import TargetState
from collector.submission import Answer
from collector.tokens import Tokens
from collector.wire import MAX_BODY_BYTES, Batch
from collector.writer import BusyError, StorageUnavailableError, Writer

logger = logging.getLogger("collector")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS = {
    Refusal.UNAUTHORIZED: 401,
    Refusal.OVERSIZED: 413,
    Refusal.BODY_TIMEOUT: 408,
    Refusal.UNSUPPORTED_ENCODING: 415,
    Refusal.MALFORMED: 400,
    Refusal.UNKNOWN_FIELD: 400,
    Refusal.BUSY: 503,
    Refusal.STORAGE_UNAVAILABLE: 503,
}
"""What is not here is 422: well-formed, but not to be believed."""

_BIG_BODY_BYTES = 64 * 1024
"""Above this a body is decoded on another thread, so that the loop goes on answering others."""

ARRIVING_BYTES_MAX = 128 * 1024 * 1024


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def _error(status: int, word: str, detail: str, **more: Any) -> web.Response:
    headers = {"Retry-After": "1"} if status == 503 else None
    return _json({"error": word, "detail": detail, **more}, status, headers)


class Api:
    """Handlers over the writer and the reader."""

    def __init__(
        self,
        *,
        writer: Writer,
        reader: Reader,
        metrics: Metrics,
        registry: CollectorRegistry,
        counters: CountersApi,
        customers: CustomerDoors,
        board: BoardApi,
        targets: Callable[[], list[TargetState]],
        tokens: Tokens = Tokens(),  # noqa: B008 (frozen)
        merged: Collector | None = None,
        late_seconds: float = ingest.LATE_SECONDS,
        body_seconds: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._metrics = metrics
        self._registry = registry
        self._counters = counters
        self._customers = customers
        self._board = board
        self._targets = targets
        self._tokens = tokens
        self._merged = merged
        self._late_seconds = late_seconds
        self._body_seconds = body_seconds
        self._clock = clock
        self._feed_asked_at: float | None = None
        self._arriving_bytes = 0

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(middlewares=[self._guard])
        application.router.add_post("/v1/batches", self._post_batch, expect_handler=self._expect)
        application.router.add_get("/v1/feed", self._get_feed)
        application.router.add_get("/v1/intervals", self._get_intervals)
        application.router.add_get("/v1/unobserved", self._get_unobserved)
        application.router.add_get("/v1/health_spans", self._get_health_spans)
        application.router.add_get("/v1/failures", self._get_failures)
        application.router.add_get("/v1/targets", self._get_targets)
        self._counters.add_routes(application.router, may=self._is_authorized)
        self._customers.add_routes(application.router)
        self._board.add_routes(application.router)
        LedgerApi(self._reader, self._writer, clock=self._clock).add_routes(application.router)
        LeaseApi().add_routes(application.router)
        application.router.add_get("/ready", self._get_ready)
        application.router.add_get("/metrics", self._get_metrics)
        return application

    # --- around every request ---------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Token, and errors as JSON."""
        try:
            if request.path.startswith("/v1/") and not self._is_authorized(request):
                raise RefusedError(Refusal.UNAUTHORIZED, "Authorization: a bearer token is needed")  # noqa: TRY301
            return await handler(request)
        except RefusedError as refused:
            return self._refuse(request, refused)
        except QueryError as error:
            return _error(400, "bad_query", str(error))
        except web.HTTPNotFound:
            return _error(404, "not_found", f"{request.path}: no such page")
        except web.HTTPMethodNotAllowed as error:
            return _error(405, "method_not_allowed", f"{request.path}: {', '.join(sorted(error.allowed_methods))} only")
        except StorageUnavailableError as error:
            return _error(503, "storage_unavailable", str(error))
        except HistoryUnavailable as error:
            return _error(503, "history_unavailable", str(error))
        except web.HTTPException:
            raise
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return _error(500, "internal", "this is a fault of the collector; its log has the details")

    def _is_authorized(self, request: web.Request) -> bool:
        shown = request.headers.get("Authorization")
        if request.method in ("GET", "HEAD") or request.path == LEASE_PATH:
            return self._tokens.may_read(shown)
        return self._tokens.may_write(shown)

    def _refuse(self, request: web.Request, refused: RefusedError) -> web.Response:
        if request.path == "/v1/batches":
            self._metrics.refuse(refused.reason)
        response = _error(_STATUS.get(refused.reason, 422), refused.reason.value, refused.detail)
        if not request.content.at_eof():
            response.force_close()  # its body was not read, and will not be
        return response

    # --- in -------------------------------------------------------------------------------------------------------------------

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        """``Expect: 100-continue``: say no before the body is sent."""
        if (request.content_length or 0) > MAX_BODY_BYTES or not self._is_authorized(request):
            return None  # the handler answers, without having invited the body
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    async def _post_batch(self, request: web.Request) -> web.StreamResponse:
        body = await self._read_body(request)
        batch = await asyncio.to_thread(self._read, body) if len(body) > _BIG_BODY_BYTES else self._read(body)
        answer = await self._write(batch, len(body))
        if isinstance(answer, RefusedError):
            raise answer
        if isinstance(answer, Duplicate):
            self._metrics.batches.labels("duplicate").inc()
            return _json({"status": "duplicate"})
        self._metrics.batches.labels("accepted").inc()
        self._metrics.readings.inc(len(batch.readings))
        return _json({"status": "accepted"})

    async def _write(self, batch: Batch, size: int) -> Answer:
        try:
            return await self._writer.submit(batch, size=size)
        except BusyError as error:
            raise RefusedError(Refusal.BUSY, "too many batches are waiting: send it again") from error
        except StorageUnavailableError as error:
            raise RefusedError(Refusal.STORAGE_UNAVAILABLE, f"nothing was kept, send it again: {error}") from error

    def _read(self, body: bytes) -> Batch:
        batch = ingest.read(body)
        ingest.check(batch, at=self._clock(), late_seconds=self._late_seconds)
        return batch

    async def _read_body(self, request: web.Request) -> bytes:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise RefusedError(Refusal.UNSUPPORTED_ENCODING, "Content-Encoding: identity only")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise RefusedError(Refusal.OVERSIZED, f"body: {request.content_length} bytes, at most {MAX_BODY_BYTES}")
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                async for chunk in request.content.iter_any():
                    self._arriving_bytes += len(chunk)
                    body += chunk
                    self._check_size(len(body))
        except TimeoutError as error:
            raise RefusedError(Refusal.BODY_TIMEOUT, f"body: not here within {self._body_seconds:g} s") from error
        except (ClientError, web.RequestPayloadError) as error:
            raise RefusedError(Refusal.MALFORMED, f"body: {error}") from error
        finally:
            self._arriving_bytes -= len(body)
        return bytes(body)

    def _check_size(self, size: int) -> None:
        """This body, and all that are arriving together."""
        if size > MAX_BODY_BYTES:
            raise RefusedError(Refusal.OVERSIZED, f"body: more than {MAX_BODY_BYTES} bytes")
        if self._arriving_bytes > ARRIVING_BYTES_MAX:
            raise RefusedError(Refusal.BUSY, "too much is arriving at once: send it again")

    # --- out ------------------------------------------------------------------------------------------------------------------

    async def _get_feed(self, request: web.Request) -> web.StreamResponse:
        asked = query.feed(request.query)
        self._feed_asked_at = self._clock()
        self._metrics.feed_lag.set(max(0, self._writer.figures.newest - asked.after))
        if asked.after > self._writer.figures.newest and asked.after > await self._newest():
            return self._gone(await self._reader.feed(0, 1), "this ledger has not come so far: it is another one")
        if asked.wait:
            try:
                async with asyncio.timeout(asked.wait):
                    await self._writer.grown(asked.after)
            except TimeoutError:
                pass
        found = await self._reader.feed(asked.after, asked.limit)
        if found[0] is not None and asked.after < found[0] - 1:
            return self._gone(found, "older entries are not kept any more")
        return web.Response(body=b"[" + b",".join(found[1]) + b"]", content_type="application/json")

    async def _newest(self) -> int:
        """As the writer's own thread knows it: an entry can be read from the file a moment before the loop is told of it."""
        return await self._writer.work(lambda ledger: ledger.newest)

    def _gone(self, found: tuple[int | None, list[bytes]], detail: str) -> web.Response:
        oldest = found[0] if found[0] is not None else self._writer.figures.newest + 1
        return _error(410, "gone", f"after: {detail}", oldest=oldest)

    async def _get_intervals(self, request: web.Request) -> web.StreamResponse:
        asked = query.intervals(request.query)
        rows = self._reader.intervals(asked.start, asked.end, vantage=asked.vantage, by=asked.by, version=asked.version)
        return await _stream(request, rows)

    async def _get_unobserved(self, request: web.Request) -> web.StreamResponse:
        asked = query.span(request.query)
        return _json(await self._reader.unobserved(asked.start, asked.end))

    async def _get_health_spans(self, request: web.Request) -> web.StreamResponse:
        asked = query.span(request.query)
        return _json(await self._reader.health_spans(asked.start, asked.end))

    async def _get_failures(self, request: web.Request) -> web.StreamResponse:
        asked = query.span(request.query)
        return _json(await self._reader.failures(asked.start, asked.end, query.limit(request.query, 1000, 10_000)))

    async def _get_targets(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=wire.encode(self._targets()), content_type="application/json")

    async def _get_ready(self, _request: web.Request) -> web.StreamResponse:
        figures = self._writer.figures
        if figures.healthy:
            return _json({"ready": True})
        return _json({"ready": False, "reason": f"storage_unavailable: {figures.problem}"}, 503)

    async def _get_metrics(self, request: web.Request) -> web.StreamResponse:
        figures, now = self._writer.figures, self._clock()
        self._metrics.ledger_writable.set(int(figures.healthy))
        self._metrics.feed_newest.set(figures.newest)
        self._metrics.clock_held.set(max(0.0, figures.received_at - now))
        if self._feed_asked_at is not None:
            self._metrics.feed_lag_seconds.set(max(0.0, now - self._feed_asked_at))
        return page_of(request, self._registry, self._merged if self._is_authorized(request) else None)


async def _stream(request: web.Request, lists: AsyncIterator[list[Any]]) -> web.StreamResponse:
    """Lists of rows as one JSON list, sent as they come: a month need not fit into memory."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    prepared = False
    async for rows in lists:
        if not rows:
            continue
        if not prepared:
            await response.prepare(request)
        await response.write((b"," if prepared else b"[") + encode_rows(rows))
        prepared = True
    if not prepared:
        return _json([])
    await response.write(b"]")
    await response.write_eof()
    return response
