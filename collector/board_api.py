"""The board over HTTP: canaries wait here for what they should look at (shell)."""

import asyncio
import time
from collections.abc import Callable, Iterator

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from collector.ask import WAIT_SECONDS_MAX, Ask, Asks
from collector.board import Board
from collector.query import QueryError
from collector.submission import Submission
from collector.wire import Batch

Listener = Callable[[Asks], None]


class BoardApi(Collector):
    """Puts what is durable on the board, and wakes those who wait."""

    def __init__(self, per_minute: int, registry: CollectorRegistry, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._board = Board(per_minute, int(clock() * 1000))
        self._news = asyncio.Event()
        self._listeners: list[Listener] = []
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        family = CounterMetricFamily(
            "collector_confirm_asks", "Failures that other zones might look at: asked, or why not.", labels=("result",)
        )
        for result, count in self._board.counts.items():
            family.add_metric((result,), count)
        yield family

    def listen(self, listener: Listener) -> None:
        """``listener`` is told each new ask."""
        self._listeners.append(listener)

    def stored(self, submission: Submission, _received_at: float) -> None:
        """A batch is durable: whoever should look is told now. By this clock: ``received_at`` may be held ahead of it."""
        asks: tuple[Ask, ...] = self._board.hear(submission, self._clock()) if isinstance(submission, Batch) else ()
        if not asks:
            return
        news, self._news = self._news, asyncio.Event()
        news.set()
        for listener in self._listeners:
            listener(Asks(self._board.last, asks))

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """``GET /v1/asks``."""
        router.add_get("/v1/asks", self._get)

    async def _get(self, request: web.Request) -> web.Response:
        after, wait = _number(request, "after"), min(_number(request, "wait") or 0, WAIT_SECONDS_MAX)
        asks = self._board.after(self._board.last if after is None else int(after), self._clock())
        if after is not None and not asks.asks and wait:
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                pass
            asks = self._board.after(int(after), self._clock())
        return web.Response(body=msgspec.json.encode(asks), content_type="application/json")


def _number(request: web.Request, name: str) -> float | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 2**53:
        raise QueryError(f"{name}: {text!r}, expected a number from 0 on")
    return number
