"""All doors for customers' programs, put together (shell)."""

from collections.abc import Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry

from collector.config import CollectorConfig
from collector.customers.csm_server import CsmServer
from collector.customers.directory import Directory
from collector.customers.figures import Figures
from collector.customers.metric_doors import MetricDoors
from collector.customers.outlet import Outlet
from collector.customers.streams import LastPoint
from collector.writer import Writer


class CustomerDoors:
    """SDK events over UDP; metrics as routes of the collector's HTTP server, behind its token.

    ``known``: the last points of metric streams that an earlier life has counted.
    """

    def __init__(
        self, config: CollectorConfig, writer: Writer, registry: CollectorRegistry, known: Sequence[LastPoint] = ()
    ) -> None:
        self._config = config.customers
        figures, directory, late = Figures(registry), Directory(self._config), config.late_seconds
        self.csm = CsmServer(self._config, directory, Outlet(writer, "csm"), figures, late_seconds=late)
        self.metrics = MetricDoors(
            self._config,
            directory,
            Outlet(writer, "metrics"),
            figures,
            late_seconds=late,
            body_seconds=config.request_seconds,
            known=known,
        )

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The metric doors."""
        self.metrics.add_routes(router)

    async def run(self) -> None:
        """Until cancelled."""
        if self._config.csm_port:
            await self.csm.run()
