"""A million tables: a tick's CPU and memory from ten thousand to a million, against Prometheus and VictoriaMetrics on the same windows.

``BENCH_TABLES`` (10000,100000,1000000) and ``BENCH_TICKS`` (16) change the sizes; ``BENCH_PROMETHEUS_TABLES`` (100) and
``BENCH_VICTORIA_TABLES`` (500) how many tables the peers hold. Their cost is linear in tables (``docs/performance.md``), a month of
history for 10,000 would take them an hour to load: what is compared is CPU per table, at our size of 10,000.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import table_peers
from benchmarks.figures import Result

TABLES = tuple(int(n) for n in os.environ.get("BENCH_TABLES", "10000,100000,1000000").split(","))
TICKS = int(os.environ.get("BENCH_TICKS", "16"))
PEER_TABLES = {
    "prometheus": int(os.environ.get("BENCH_PROMETHEUS_TABLES", "100")),
    "victoria": int(os.environ.get("BENCH_VICTORIA_TABLES", "500")),
}


def run() -> Result:
    """Ours at each size, each in a process of its own; then the peers."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        sizes = {tables: _ours(tables, folder / str(tables)) for tables in TABLES}
        figures = {f"{name}_{tables}": value for tables, one in sizes.items() for name, value in one.items()}
        small = sizes[TABLES[0]]["tick_cpu_seconds"] / TABLES[0]
        large = sizes[TABLES[-1]]["tick_cpu_seconds"] / TABLES[-1]
        figures["cpu_per_table_largest_to_smallest"] = large / small
        ratios = {}
        for peer in table_peers.installed():
            counters = table_peers.Counters.of(PEER_TABLES[peer], int(time.time()) - 120)
            found = getattr(table_peers, peer)(folder, counters)
            figures |= found
            ratios[peer] = found[f"{peer}_evaluation_cpu_seconds"] / PEER_TABLES[peer] / small
            figures[f"{peer}_ratio"] = ratios[peer]
    return Result(
        name="table-engine", figures=figures, ratio=ratios.get("prometheus"),
        against=f"Prometheus, the same seven windows (CPU per table at {TABLES[0]:,} tables; our tick has ingest and detectors too)",
        table=_table(sizes, figures, ratios),
    )  # fmt: skip


def _ours(tables: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.table_engine_child", str(tables), str(TICKS), str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _table(sizes: dict[int, dict[str, float]], figures: dict[str, float], ratios: dict[str, float]) -> str:
    names = (
        "counters", "collector_cpu_seconds", "feed_cpu_seconds", "judging_cpu_seconds", "tick_cpu_seconds",
        "tick_cpu_seconds_worst", "counts_mib", "rss_peak_mib",
    )  # fmt: skip
    lines = [f"{'tables':<28}" + "".join(f"{tables:>14,}" for tables in sizes)]
    lines += [f"{name:<28}" + "".join(f"{one[name]:>14,.4g}" for one in sizes.values()) for name in names]
    for peer, ratio in ratios.items():
        used, tables = figures[f"{peer}_evaluation_cpu_seconds"], int(figures[f"{peer}_tables"])
        lines.append(
            f"{peer}: {used:.3f} CPU-seconds an evaluation of {tables} tables: {ratio:,.0f} times ours per table"
        )
    return "\n".join(lines)
