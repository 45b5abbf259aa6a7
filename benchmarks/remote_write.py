"""A minute without a receiver: Prometheus killed with -9 and VictoriaMetrics stopped, side by side; every sample asked for afterwards.

CPU is the collector's and the sender's of batches in one process, so it is an upper bound; the samples' check is the test's own.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Result
from tests.collector.outage import outage
from tests.collector.receivers import real

AWAY_SECONDS = 60.0


async def _one(kind: str, folder: Path) -> int:
    async with real(kind, folder / "receiver") as receiver:
        return await outage(receiver, folder, before=5, away=AWAY_SECONDS, after=5)


async def _both(folder: Path) -> tuple[int, int]:
    for kind in ("prometheus", "victoria-metrics"):
        (folder / kind).mkdir()
    async with asyncio.TaskGroup() as group:
        prometheus = group.create_task(_one("prometheus", folder / "prometheus"))
        victoria = group.create_task(_one("victoria-metrics", folder / "victoria-metrics"))
    return prometheus.result(), victoria.result()


def run() -> Result:
    """Raises AssertionError when a sample is missing, comes twice, or is wrong."""
    began, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="fivenines-bench-") as folder:
        prometheus, victoria = asyncio.run(_both(Path(folder)))
    figures = {
        "away_seconds": AWAY_SECONDS,
        "prometheus_samples": prometheus,
        "prometheus_samples_missing": 0,
        "victoria_metrics_samples": victoria,
        "victoria_metrics_samples_missing": 0,
        "process_cpu_share": (time.process_time() - cpu) / (time.monotonic() - began),
    }
    return Result(
        name="remote-write", figures=figures, ratio=None, against="every sample that the feed says there should be"
    )
