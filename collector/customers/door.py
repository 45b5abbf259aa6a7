"""All doors for customers' programs, put together (shell)."""

from prometheus_client import CollectorRegistry

from collector.customers.config import CustomersConfig
from collector.customers.csm_server import CsmServer
from collector.customers.directory import Directory
from collector.customers.figures import Figures
from collector.customers.outlet import Outlet
from collector.writer import Writer


class CustomerDoors:
    """SDK events over UDP now; metric doors are routes of the collector's HTTP server."""

    def __init__(
        self, config: CustomersConfig, writer: Writer, registry: CollectorRegistry, *, late_seconds: float
    ) -> None:
        self._config = config
        figures = Figures(registry)
        directory = Directory(config)
        self.csm = CsmServer(config, directory, Outlet(writer, "csm"), figures, late_seconds=late_seconds)

    async def run(self) -> None:
        """Until cancelled."""
        if self._config.csm_port:
            await self.csm.run()
