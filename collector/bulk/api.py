"""The columnar lane over HTTP (shell). The lane itself is opened, and its libraries are loaded, when the first counters come.

* ``POST /v1/counters``: one frame of :mod:`collector.column_batch` → 200 ``{"status": "accepted" | "duplicate" | "registered"}``, after
  it is durable; 409 ``unknown_series`` with ``ranges`` of numbers to register first; other refusals by
  :mod:`collector.bulk.refusals`.
* ``GET /v1/counters/feed?after=CURSOR&wait=SECONDS`` → frames (``Told``) one after another, oldest first; 204 when there is none,
  410 when ``after`` is older than what is kept or was never reached.
* ``GET /v1/counters/series?first=ID&limit=N`` → one ``Names`` frame of the collector's numbering (ids from 0 without holes).
* ``GET /v1/counters/intervals?start&end&table`` → JSON rows as ``/v1/intervals`` has them; ``GET /v1/counters/senders`` → JSON.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import ClientError, web
from prometheus_client import CollectorRegistry

from collector import query
from collector.bulk.metrics import BulkMetrics
from collector.bulk.refusals import STATUS, BulkRefusal, BulkRefusedError
from collector.config import CollectorConfig
from collector.query import QueryError

if TYPE_CHECKING:
    from collector.bulk.lane import Lane

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY_BYTES = 16 * 1024 * 1024
ARRIVING_BYTES_MAX = 128 * 1024 * 1024
FEED_BYTES = 16 * 1024 * 1024
WAIT_SECONDS_MAX = 60.0
SPAN_SECONDS_MAX = 86400.0
"""Of one question for a table's intervals: some milliseconds for each sealed one."""
BODY_BYTES_A_SECOND = 256 * 1024
"""Slower than this, after the usual patience, is no sender but someone who holds a connection."""


def _json(value: Any, status: int = 200) -> web.Response:
    headers = {"Retry-After": "1"} if status == 503 else None
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def _frames(body: bytes) -> web.Response:
    return web.Response(body=body, status=200 if body else 204, content_type="application/octet-stream")


class CountersApi:
    """Handlers over one lane."""

    def __init__(self, config: CollectorConfig, registry: CollectorRegistry) -> None:
        self._config = config
        self._metrics = BulkMetrics(registry)
        self._lane: Lane | None = None
        self._opening = asyncio.Lock()
        self._opened = asyncio.Event()
        # The feed has a thread of its own: a long question must not hold up the judgement.
        self._feeding = ThreadPoolExecutor(1, thread_name_prefix="counters-feed")
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="counters-query")
        self._arriving_bytes = 0

    def add_routes(self, router: web.UrlDispatcher, *, may: Callable[[web.Request], bool]) -> None:
        """All routes; ``may`` says whether a request shows the token."""

        async def expect(request: web.Request) -> web.StreamResponse | None:
            if (request.content_length or 0) <= MAX_BODY_BYTES and may(request) and request.transport is not None:
                request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None

        router.add_post("/v1/counters", self._refusing(self._post), expect_handler=expect)
        router.add_get("/v1/counters/feed", self._get_feed)
        router.add_get("/v1/counters/series", self._get_series)
        router.add_get("/v1/counters/intervals", self._get_intervals)
        router.add_get("/v1/counters/senders", self._get_senders)

    # --- the lane -----------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the lane at once when there are counters of an earlier life.

        Raises :class:`collector.ledger_file.LedgerError` when those are damaged.
        """
        if self._folder.exists():
            await self.lane()

    async def run(self) -> None:
        """Until cancelled: keep the lane in order, once there is one."""
        await self._opened.wait()
        await (await self.lane()).keep()

    async def close(self) -> None:
        """Take what waits, then let go."""
        for threads in (self._feeding, self._asking):
            await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)
        if self._lane is not None:
            await self._lane.close()

    @property
    def _folder(self) -> Path:
        return self._config.data_dir / "counters"

    async def lane(self) -> "Lane":
        """The lane, opened when it is not yet."""
        async with self._opening:
            if self._lane is None:
                self._lane = await self._open()
                self._opened.set()
        return self._lane

    async def _open(self) -> "Lane":
        from collector.bulk.lane import Lane, LaneSettings  # noqa: PLC0415 (a collector without counters need not load numpy)

        config = self._config
        settings = LaneSettings(
            seal_after_seconds=config.seal_after_seconds,
            late_seconds=config.late_seconds,
            interval_retention_seconds=config.interval_retention_seconds,
            feed_bytes=config.counters_feed_bytes,
            series_max=config.counters_series_max,
        )
        lane = await Lane.open(self._folder, settings)
        lane.figures.on_commit = lambda seconds, _: self._metrics.commit_seconds.observe(seconds)
        lane.figures.on_sealed = lambda version: self._metrics.sealed.labels(
            "first" if version == 1 else "reopened"
        ).inc()
        self._metrics.watch(lane)
        return lane

    # --- in -----------------------------------------------------------------------------------------------------------------------

    def _refusing(self, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except BulkRefusedError as refused:
                self._metrics.refuse(refused.reason)
                told = {"error": refused.reason.value, "detail": refused.detail, **refused.more}
                response = _json(told, STATUS.get(refused.reason, 422))
                if not request.content.at_eof():
                    response.force_close()  # its body was not read, and will not be
                return response

        return answer

    async def _post(self, request: web.Request) -> web.StreamResponse:
        body = await self._read_body(request)
        decision = await (await self.lane()).submit(body)
        from collector.bulk.books import Registered, Taken  # noqa: PLC0415 (loaded with the lane)

        if isinstance(decision, Taken):
            self._metrics.samples.inc(decision.samples)
            return self._told("accepted")
        if isinstance(decision, Registered):
            return self._told("registered", added=decision.added)
        return self._told("duplicate")

    def _told(self, status: str, **more: int) -> web.Response:
        self._metrics.bodies.labels(status).inc()
        return _json({"status": status, **more})

    async def _read_body(self, request: web.Request) -> bytes:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise BulkRefusedError(BulkRefusal.UNSUPPORTED_ENCODING, "Content-Encoding: identity only")
        told = request.content_length or 0
        if told > MAX_BODY_BYTES:
            raise BulkRefusedError(BulkRefusal.OVERSIZED, f"body: {told} bytes, at most {MAX_BODY_BYTES}")
        patience = self._config.request_seconds + told / BODY_BYTES_A_SECOND
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(patience):
                async for part in request.content.iter_any():
                    size += len(part)
                    self._arriving_bytes += len(part)
                    parts.append(part)
                    self._check_size(size)
        except TimeoutError as error:
            raise BulkRefusedError(BulkRefusal.BODY_TIMEOUT, f"body: not here within {patience:g} s") from error
        except (ClientError, web.RequestPayloadError) as error:
            raise BulkRefusedError(BulkRefusal.MALFORMED, f"body: {error}") from error
        finally:
            self._arriving_bytes -= size
        return b"".join(parts)

    def _check_size(self, size: int) -> None:
        """This body, and all that are arriving together."""
        if size > MAX_BODY_BYTES:
            raise BulkRefusedError(BulkRefusal.OVERSIZED, f"body: more than {MAX_BODY_BYTES} bytes")
        if self._arriving_bytes > ARRIVING_BYTES_MAX:
            raise BulkRefusedError(BulkRefusal.BUSY, "too much is arriving at once: send it again")

    # --- out ----------------------------------------------------------------------------------------------------------------------

    async def _get_feed(self, request: web.Request) -> web.StreamResponse:
        after, wait = query.counters_feed(request.query, WAIT_SECONDS_MAX)
        lane = await self.lane()
        if after > lane.figures.newest:
            return self._gone(lane, "this log has not come so far: it is another one")
        if wait:
            try:
                async with asyncio.timeout(wait):
                    await lane.grown(after)
            except TimeoutError:
                pass
        newest = lane.figures.newest
        try:
            body = await self._on(self._feeding, lambda: lane.store.log.read(after, FEED_BYTES))
        except FileNotFoundError:
            return self._gone(lane, "older entries are not kept any more")
        oldest = lane.store.log.oldest()
        if after < newest and (oldest is None or after < oldest - 1):
            return self._gone(lane, "older entries are not kept any more")
        return _frames(body)

    def _gone(self, lane: "Lane", detail: str) -> web.Response:
        oldest = lane.store.log.oldest()
        return _json(
            {"error": "gone", "detail": f"after: {detail}", "oldest": oldest or lane.figures.newest + 1}, status=410
        )

    async def _get_series(self, request: web.Request) -> web.StreamResponse:
        from collector.bulk import reading  # noqa: PLC0415 (loaded with the lane)

        first, limit = query.counters_page(request.query, reading.PAGE_MAX)
        lane = await self.lane()
        return _frames(await self._on(self._asking, lambda: reading.names_page(lane.store, first, limit)))

    async def _get_intervals(self, request: web.Request) -> web.StreamResponse:
        from collector.bulk import reading  # noqa: PLC0415 (loaded with the lane)

        span, table = query.counters_intervals(request.query)
        if span.end - span.start > SPAN_SECONDS_MAX:
            raise QueryError(f"end: at most {SPAN_SECONDS_MAX:.0f} s after start here")
        lane = await self.lane()
        return _json(await self._on(self._asking, lambda: reading.intervals(lane.store, span.start, span.end, table)))

    async def _get_senders(self, _request: web.Request) -> web.StreamResponse:
        from collector.bulk import reading  # noqa: PLC0415 (loaded with the lane)

        lane = await self.lane()
        return _json(await self._on(self._asking, lambda: reading.senders(lane.store)))

    async def _on(self, threads: ThreadPoolExecutor, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
