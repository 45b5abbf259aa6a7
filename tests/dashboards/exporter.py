"""Pages of metrics as the parts show them, made by the parts' own metrics classes where those need nothing else."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from canary.metrics import Metrics as CanaryMetrics
from canary.plan import Cell
from cfa import metrics as cfa_metrics
from cluster.api.metrics import RouterMetrics
from cluster.metrics import GroupView, NodeMetrics
from collector.metrics import Metrics as CollectorMetrics
from collector.observation import Connection, OperationClass
from dashboards.prometheus import ScrapeTarget
from tests.dashboards import samples

Page = Callable[[], bytes]


def router() -> Page:
    """A router that answers more each time it is asked."""
    metrics = RouterMetrics(CollectorRegistry(), version="0")

    def page() -> bytes:
        for _ in range(20):
            metrics.answered("orders", "write", "standard", "success", 0.004)
        metrics.answered("orders", "strong_read", "fips", "server_fault", 0.5)
        metrics.answered("orders", "strong_read", "fips", "success", 0.002)
        metrics.refused("unsigned")
        return generate_latest(metrics.registry)

    return page


def node() -> Page:
    """A storage node that leads one partition."""
    view = GroupView(
        group="g", table="orders", partition="p", role="leader", leader="n", ballot=1, committed=9, applied=9, last=9,
        lag=0, serving=True,
    )  # fmt: skip
    metrics = NodeMetrics("az1-node-1", "az1", lambda: [view])

    def page() -> bytes:
        metrics.fsync.observe(0.003)
        metrics.elections.inc()
        return generate_latest(metrics.registry)

    return page


def canary() -> Page:
    """A canary process."""
    metrics = CanaryMetrics(CollectorRegistry())
    cell = Cell(index=0, endpoint="standard", operation=OperationClass.WRITE, connection=Connection.FRESH)

    def page() -> bytes:
        metrics.figures(cell).success(4, 0.01)
        metrics.started(0.001)
        metrics.queue.labels("az1-canary-1").set(0)
        return generate_latest(metrics.registry)

    return page


def collector() -> Page:
    """The collector."""
    registry = CollectorRegistry()
    metrics = CollectorMetrics(registry)

    def page() -> bytes:
        metrics.batches.labels("accepted").inc()
        metrics.committed(0.002, 1)
        return generate_latest(registry)

    return page


def judgement() -> Page:
    """The judgement: windows and matrix of a sample state by its own exporter, the rest by name."""
    status = samples.state("zone_down")["status"]
    for row in status["availability"]:
        row["windows"]["30d"] = row["windows"]["6h"]
    registry = CollectorRegistry()

    class Sample:
        def collect(self) -> list[Metric]:
            families = [*cfa_metrics._windows(status["availability"]), *cfa_metrics._matrix(status["matrix"])]
            return [*families, cfa_metrics._recused(status["recused"])]

    registry.register(Sample())
    rest = b"".join(
        b"# HELP %b As the judgement shows it.\n# TYPE %b %b\n%b%b\n"
        % (name, name, b"summary" if b"quantile" in value else b"gauge", name, value)
        for name, value in (
            (b"cfa_objective_ratio", b" 0.9999"),
            (b"cfa_feed_lag_seconds", b" 0.5"),
            (b"cfa_incidents_open", b'{severity="page"} 1'),
            (b"cfa_destination_broken", b'{destination="oncall"} 0'),
            (b"cfa_page_waits_seconds", b'{destination="oncall"} 0'),
            (b"cfa_heartbeat_age_seconds", b" 12"),
            (b"cfa_active", b" 1"),
            (b"cfa_time_to_page_month_seconds", b'{quantile="0.95"} 2.4'),
        )
    )
    return lambda: generate_latest(registry) + rest


@contextlib.asynccontextmanager
async def exporters() -> AsyncIterator[list[ScrapeTarget]]:
    """One page of each part, each on a free port, as targets."""
    pages = {"router": router(), "node": node(), "canary": canary(), "collector": collector(), "cfa": judgement()}
    runners, targets = [], []
    for job, page in pages.items():
        app = web.Application()
        app.router.add_get("/metrics", _serve(page))
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        zone = "az1" if job in ("router", "node", "canary") else ""
        address = f"127.0.0.1:{runner.addresses[0][1]}"
        targets.append(ScrapeTarget(job=job, address=address, component=f"az1-{job}-1", zone=zone))
    try:
        yield targets
    finally:
        for runner in runners:
            await runner.cleanup()


def _serve(page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler for a page."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=page(), headers={"Content-Type": "text/plain; version=0.0.4"})

    return handle
