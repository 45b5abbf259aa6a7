"""OTLP metrics and Prometheus remote write, in over HTTP (shell).

A request's points are counted at once and handed to the ledger before it is answered. When the ledger cannot be written the
counts wait here, the answer is 503, and nothing more is taken until they are written: the sender's next try finds its points
``repeated``, so that nothing is lost or doubled.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from aiohttp import ClientError, web

from collector.customers import otlp, otlp_protobuf, payloads, remote_write
from collector.customers.config import CustomersConfig
from collector.customers.counting import Counting, Portion, series_of
from collector.customers.directory import Directory, NobodyError
from collector.customers.figures import Figures
from collector.customers.outlet import Outlet
from collector.customers.payloads import JSON, PROTOBUF, NotTakenError, Series
from collector.customers.streams import LastPoint, Streams
from collector.ingest import FUTURE_SECONDS, LATE_SECONDS, RefusedError
from collector.observation import Level, OperationClass, Outcome
from collector.shape import COUNT_MAX
from collector.wire import MAX_BODY_BYTES
from collector.writer import BusyError, StorageUnavailableError

ARRIVING_BYTES_MAX = 64 * 1024 * 1024
AT_ONCE = 4
"""Requests whose bodies are unpacked and counted at a time."""
IDENTITY_LENGTH_MAX = 8 * 1024
"""Characters in a stream's labels, all together."""
STARTS_MAX = 10_000
OTLP_PATH, REMOTE_WRITE_PATH = "/v1/otlp/v1/metrics", "/v1/write"


class _Grown(NamedTuple):
    """What a point adds, and where."""

    customer: str
    table: str
    zone: str
    operation: OperationClass
    level: Level
    endpoint: str | None
    outcome: Outcome
    amount: int
    at: int
    latency: dict[int, int]


class MetricDoors:
    """Both routes, their streams, and what waits for the ledger."""

    def __init__(
        self,
        config: CustomersConfig,
        directory: Directory,
        outlet: Outlet,
        figures: Figures,
        *,
        late_seconds: float = LATE_SECONDS,
        body_seconds: float = 10.0,
        known: Iterable[LastPoint] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._directory = directory
        self._outlet = outlet
        self._figures = figures
        self._late_seconds = late_seconds
        self._body_seconds = body_seconds
        self._clock = clock
        self._rules = remote_write.Rules(config)
        self._streams = Streams(config.streams_max, born_ns=int(clock() * 1e9), known=known)
        self._starts: dict[tuple[str, str], int] = {}
        self._counting = Counting()
        self._waiting: list[Portion] = []
        self._baselines: list[LastPoint] = []
        self._lock = asyncio.Lock()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._arriving = 0

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """``POST /v1/otlp/v1/metrics`` and ``POST /v1/write``."""
        router.add_post(OTLP_PATH, self._otlp)
        router.add_post(REMOTE_WRITE_PATH, self._remote_write)

    # --- OTLP -----------------------------------------------------------------------------------------------------------------

    async def _otlp(self, request: web.Request) -> web.StreamResponse:
        kind = JSON if request.content_type == JSON else PROTOBUF
        try:
            if request.content_type not in (JSON, PROTOBUF):
                raise NotTakenError(415, "content_type", f"Content-Type: {PROTOBUF} or {JSON}")  # noqa: TRY301
            body, encoding = await self._body(request), request.headers.get("Content-Encoding", "identity")
            async with self._turns:
                metrics = await asyncio.to_thread(payloads.read_otlp, body, kind, encoding)
                rejected = await asyncio.shield(asyncio.create_task(self._take_otlp(metrics)))
        except NotTakenError as error:
            return self._no(request, "otlp", error)
        detail = f"{rejected} points were not taken: see /metrics, collector_customers_points_total"
        if kind == JSON:
            told = {"partialSuccess": {"rejectedDataPoints": str(rejected), "errorMessage": detail}} if rejected else {}
            return web.json_response(told)
        return web.Response(body=otlp_protobuf.answer(rejected, detail), content_type=PROTOBUF)

    async def _take_otlp(self, metrics: list[otlp.Metric]) -> int:
        """Count all, hand on; how many points were rejected (metrics that are not about the store are none of them)."""
        async with self._lock:
            await self._hand_on()
            results = [self._otlp_point(metric, point) for metric in metrics for point in metric.points]
            await self._hand_on()
        return self._note("otlp", results)

    def _otlp_point(self, metric: otlp.Metric, point: otlp.DataPoint) -> str:
        meaning = otlp.meaning_of(metric, point, self._config)
        if isinstance(meaning, str):
            return meaning
        if (problem := self._untimely(point.at_ns)) is not None:
            return problem
        if _is_too_long((*metric.resource.items(), *point.attributes.items())):
            return "labels_too_long"
        grown = self._streams.grown(otlp.point_of(metric, point))
        if isinstance(grown, str):
            return self._uncounted(grown)
        latency: dict[int, int] = {}
        if meaning.milliseconds and meaning.outcome is Outcome.SUCCESS and len(grown) == len(point.bounds) + 2:
            latency = otlp.latencies(point.bounds, grown[1:], meaning.milliseconds)
        return self._count(
            _Grown(
                customer=meaning.customer,
                table=meaning.table,
                zone=meaning.zone,
                operation=meaning.operation,
                level=meaning.level,
                endpoint=meaning.endpoint,
                outcome=meaning.outcome,
                amount=grown[0],
                at=point.at_ns // 10**9,
                latency=latency,
            )
        )

    # --- remote write -----------------------------------------------------------------------------------------------------------

    async def _remote_write(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.headers.get("Content-Encoding") != "snappy":
                raise NotTakenError(415, "content_encoding", "Content-Encoding: snappy")  # noqa: TRY301
            body = await self._body(request)
            async with self._turns:
                series = await asyncio.to_thread(payloads.read_series, body)
                await asyncio.shield(asyncio.create_task(self._take_series(series)))
        except NotTakenError as error:
            return self._no(request, "remote_write", error)
        return web.Response(status=204)

    async def _take_series(self, series: list[Series]) -> None:
        async with self._lock:
            await self._hand_on()
            self._learn_starts(series)
            results = [self._sample(labels, sample) for labels, samples in series for sample in samples]
            await self._hand_on()
        self._note("remote_write", results)

    def _learn_starts(self, series: list[Series]) -> None:
        for labels, samples in series:
            if labels.get("__name__") == remote_write.START and samples and samples[-1].value is not None:
                if len(self._starts) >= STARTS_MAX:
                    self._starts.clear()
                self._starts[remote_write.instance_of(labels)] = int(max(0.0, min(samples[-1].value, 2**33)) * 1e9)

    def _sample(self, labels: remote_write.Labels, sample: remote_write.Sample) -> str:
        meaning = self._rules.meaning_of(labels)
        if isinstance(meaning, str):
            return meaning
        if _is_too_long(labels.items()):
            return "labels_too_long"
        point = remote_write.point_of(labels, sample, self._starts.get(remote_write.instance_of(labels), 0))
        if isinstance(point, str):
            return point
        if (problem := self._untimely(point.at_ns)) is not None:
            return problem
        grown = self._streams.grown(point)
        if isinstance(grown, str):
            return self._uncounted(grown)
        return self._count(
            _Grown(
                customer=meaning.customer,
                table=meaning.table,
                zone=meaning.zone,
                operation=meaning.operation,
                level=meaning.level,
                endpoint=None,
                outcome=meaning.outcome,
                amount=grown[0],
                at=point.at_ns // 10**9,
                latency={},
            )
        )

    # --- both -------------------------------------------------------------------------------------------------------------------

    def _uncounted(self, why: str) -> str:
        """A stream's first point counts nothing, but is written down too, so that the next life can count from it."""
        if why == "baseline":
            self._baselines.append(self._streams.newest())
        return why

    def _count(self, grown: _Grown) -> str:
        if max(grown.amount, *grown.latency.values(), 0) > COUNT_MAX:
            return "count_too_large"
        try:
            who = self._directory.who(grown.customer, grown.table, grown.zone)
        except NobodyError as nobody:
            return str(nobody)
        series = series_of(who, grown.operation, grown.level, grown.endpoint)
        if grown.amount:
            self._counting.add(series, grown.at, grown.outcome, grown.amount)
        for bucket, count in grown.latency.items():
            self._counting.measure(series, grown.at, bucket, count)
        self._counting.remember(series, grown.at, self._streams.newest())
        return "counted"

    def _untimely(self, at_ns: int) -> str | None:
        now = self._clock()
        if at_ns > (now + FUTURE_SECONDS) * 1e9:
            return "from_the_future"
        return "too_old" if at_ns < (now - self._late_seconds) * 1e9 else None

    async def _hand_on(self) -> None:
        """All that waits, into the ledger; raises :class:`NotTakenError` when it cannot be written, and keeps it."""
        self._waiting += self._counting.drain()
        waiting, self._waiting = self._waiting, []
        deliveries = (self._outlet.deliver(one.customer, one.zone, one.readings, (), one.points) for one in waiting)
        results = await asyncio.gather(*deliveries, return_exceptions=True)
        again = (BusyError, StorageUnavailableError)
        self._waiting = [one for one, result in zip(waiting, results, strict=True) if isinstance(result, again)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, (*again, RefusedError)):
                raise result
        if self._baselines and not self._waiting:
            with contextlib.suppress(StorageUnavailableError):  # kept for the next time
                await self._outlet.note(tuple(self._baselines))
                self._baselines = []
        if self._waiting:
            raise NotTakenError(503, "busy", "the ledger cannot be written now: send it again")

    def _note(self, protocol: str, results: list[str]) -> int:
        for result in set(results):
            self._figures.points.labels(protocol, result).inc(results.count(result))
        self._figures.other.set(self._directory.overflowed)
        fine = ("counted", "repeated", "baseline", "stale", "other_metric", "other_service")
        return sum(result not in fine for result in results)

    def _no(self, request: web.Request, protocol: str, error: NotTakenError) -> web.Response:
        self._figures.refused.labels(protocol, error.reason).inc()
        headers = {"Retry-After": "1"} if error.status == 503 else None
        told = json.dumps({"error": error.reason, "detail": error.detail})
        response = web.Response(text=told, status=error.status, headers=headers, content_type=JSON)
        if not request.content.at_eof():
            response.force_close()  # its body was not read to the end
        return response

    async def _body(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise NotTakenError(413, "oversized", f"at most {MAX_BODY_BYTES} bytes")
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                async for chunk in request.content.iter_any():
                    body += chunk
                    self._arriving += len(chunk)
                    if len(body) > MAX_BODY_BYTES:
                        raise NotTakenError(413, "oversized", f"at most {MAX_BODY_BYTES} bytes")
                    if self._arriving > ARRIVING_BYTES_MAX:
                        raise NotTakenError(503, "busy", "too much is arriving at once: send it again")
        except TimeoutError as error:
            raise NotTakenError(
                408, "body_timeout", f"the body was not here within {self._body_seconds:g} s"
            ) from error
        except (ClientError, web.RequestPayloadError) as error:
            raise NotTakenError(400, "malformed", "the body broke off") from error
        finally:
            self._arriving -= len(body)
        return bytes(body)


def _is_too_long(labels: Iterable[tuple[str, object]]) -> bool:
    return sum(len(key) + len(str(value)) for key, value in labels) > IDENTITY_LENGTH_MAX
