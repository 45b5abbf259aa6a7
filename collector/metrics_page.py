"""A ``/metrics`` page in the format that its reader asks for: Prometheus text, or OpenMetrics with exemplars (shell)."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector


def page_of(request: web.Request, registry: CollectorRegistry, more: Collector | None) -> web.Response:
    """The registry's metrics, and those of ``more``."""
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    whole: Collector = registry if more is None else _Both(registry, more)
    return web.Response(body=encode(whole), headers={"Content-Type": kind})


class _Both(Collector):
    """Two collectors, one after the other."""

    def __init__(self, one: Collector, other: Collector) -> None:
        self._parts = (one, other)

    def collect(self) -> Iterator[Metric]:
        for part in self._parts:
            yield from part.collect()
