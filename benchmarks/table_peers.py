"""The seven windows of tables in a real Prometheus and a real VictoriaMetrics: history of thirty days, then CPU per evaluation.

Both hold what a fleet of tables exports: requests and errors in all, by table and operation, every minute (Prometheus' usual 15 s
would cost them four times as much). The windows are asked for as instant queries at successive minutes, which is what a rule does.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import running
from cfa.policy import WINDOWS

STEP = 60
BLOCK = 54 * 3600
"""The widest blocks that Prometheus makes of a month."""
ROUNDS = 3
PROMETHEUS, PROMTOOL, VICTORIA = (shutil.which(name) for name in ("prometheus", "promtool", "victoria-metrics"))


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since a start: ``totals[series, minute]``, requests and errors of each table and operation, up to ``end``."""

    tables: int
    end: int
    totals: NDArray[np.int64]

    @classmethod
    def of(cls, tables: int, end: int) -> "Counters":
        """A month (and an hour) at 1 to 100 requests a second, one in a thousand of which fails."""
        dice, minutes = np.random.default_rng(9), (WINDOWS[-1][1] + 3600) // STEP
        rate = np.repeat(np.exp(dice.uniform(0, np.log(100), 2 * tables)) * STEP, 2).reshape(-1, 2)
        rate[:, 1] *= 1e-3
        increments = dice.poisson(rate.reshape(-1, 1), (4 * tables, minutes))
        return cls(tables, end // STEP * STEP, np.cumsum(increments, axis=1))

    def labels(self, series: int) -> tuple[str, dict[str, str]]:
        """Name and labels of a series."""
        name = ("requests_total", "errors_total")[series % 2]
        return name, {"table": f"customer-orders-{series // 4:07d}", "op": ("read", "write")[series // 2 % 2]}

    def times(self) -> NDArray[np.int64]:
        """When each total was read."""
        minutes = self.totals.shape[1]
        return self.end - STEP * np.arange(minutes - 1, -1, -1)

    def share(self, seconds: int, table: int) -> float:
        """Errors of requests of a table's reads in the last so many seconds."""
        last, first = (
            self.totals[4 * table : 4 * table + 2, -1],
            self.totals[4 * table : 4 * table + 2, -1 - seconds // STEP],
        )
        return float((last - first)[1] / (last - first)[0])


def query(window: str) -> str:
    """The failure ratio of every table and operation."""
    return f"sum by (table, op) (rate(errors_total[{window}])) / sum by (table, op) (rate(requests_total[{window}]))"


def prometheus(folder: Path, counters: Counters) -> dict[str, float]:
    """CPU of one evaluation of all windows."""
    assert PROMETHEUS is not None
    data = folder / "prometheus"
    _blocks(folder, data, counters)
    (folder / "prometheus.yml").write_text("{}\n", encoding="utf-8")
    port = _port()
    command = [
        PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=400d", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with running(command, folder / "prometheus.log") as pid:
        _until_ready(port, "/-/ready")
        return {f"prometheus_{k}": v for k, v in _evaluations(port, pid, counters).items()}


def _blocks(folder: Path, data: Path, counters: Counters) -> None:
    """``promtool tsdb create-blocks-from openmetrics``, a file a block: it reads its file once for every block in it."""
    times = counters.times()
    edges = range(int(times[0]) // BLOCK * BLOCK, int(times[-1]) + 1, BLOCK)

    def make(begin: int) -> None:
        path, inside = folder / f"{begin}.txt", (times >= begin) & (times < begin + BLOCK)
        stamps = [f" {t}\n" for t in times[inside].tolist()]
        with path.open("w", encoding="ascii") as file:
            for series in range(4 * counters.tables):
                name, labels = counters.labels(series)
                told = ",".join([f'{k}="{v}"' for k, v in labels.items()])
                head = f"{name}{{{told}}} "
                values = counters.totals[series, inside].tolist()
                file.write("".join([f"{head}{v}{t}" for v, t in zip(values, stamps, strict=True)]))
            file.write("# EOF\n")
        assert PROMTOOL is not None
        command = [
            PROMTOOL,
            "tsdb",
            "create-blocks-from",
            f"--max-block-duration={BLOCK // 3600}h",
            "openmetrics",
            "-q",
        ]
        subprocess.run([*command, str(path), str(data)], check=True, capture_output=True)
        path.unlink()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(make, edges))


def victoria(folder: Path, counters: Counters) -> dict[str, float]:
    """The same."""
    assert VICTORIA is not None
    port = _port()
    command = [
        VICTORIA, f"-storageDataPath={folder / 'victoria'}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=12",
        "-search.latencyOffset=0s", "-search.maxQueryDuration=5m",
    ]  # fmt: skip
    with running(command, folder / "victoria.log") as pid:
        _until_ready(port, "/health")
        stamps = ",".join(map(str, (counters.times() * 1000).tolist()))
        for series in range(4 * counters.tables):
            name, labels = counters.labels(series)
            metric = json.dumps({"__name__": name, **labels})
            values = ",".join(map(str, counters.totals[series].tolist()))
            _ask(port, "POST", "/api/v1/import", f'{{"metric":{metric},"values":[{values}],"timestamps":[{stamps}]}}\n')
        _ask(port, "GET", "/internal/force_flush")
        _settle(pid)
        return {f"victoria_{k}": v for k, v in _evaluations(port, pid, counters).items()}


def _settle(pid: int) -> None:
    """Until merging in the background is done: it is no part of an evaluation."""
    for _ in range(60):
        before = cpu_seconds(pid)
        time.sleep(2)
        if cpu_seconds(pid) - before < 0.05:
            return


def _evaluations(port: int, pid: int, counters: Counters) -> dict[str, float]:
    """The least CPU of some rounds (the first is cold), and the answers compared with what is true."""
    used = []
    for n in range(ROUNDS + 1):
        at = counters.end - STEP * (ROUNDS - n)
        before = cpu_seconds(pid)
        answers = {window: _answer(port, query(window), at) for window, _ in WINDOWS}
        used.append(cpu_seconds(pid) - before)
    for window, seconds in WINDOWS[3:]:
        assert len(answers[window]) == 2 * counters.tables, (window, len(answers[window]))
        told, true = answers[window]["customer-orders-0000000", "read"], counters.share(seconds, 0)
        assert abs(told - true) <= 0.02 * true + 1e-9, (window, told, true)
    return {"evaluation_cpu_seconds": min(used[1:]), "tables": float(counters.tables), "rss_mib": _rss_mib(pid)}


def _answer(port: int, expression: str, at: int) -> dict[tuple[str, str], float]:
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression, "time": at, "timeout": "300s"})
    told = json.loads(_ask(port, "GET", path))
    return {(one["metric"]["table"], one["metric"]["op"]): float(one["value"][1]) for one in told["data"]["result"]}


def _ask(port: int, method: str, path: str, body: str | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        told = answer.read()
    finally:
        connection.close()
    if answer.status > 299:
        raise RuntimeError(f"{method} {path[:80]}: {answer.status} {told[:300]!r}")
    return told


def _until_ready(port: int, path: str) -> None:
    for _ in range(1200):
        with contextlib.suppress(OSError, http.client.HTTPException, RuntimeError):
            _ask(port, "GET", path)
            return
        time.sleep(0.1)
    raise TimeoutError(f"port {port} never answered {path}")


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of a process, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def installed() -> Iterator[str]:
    """The peers that this machine has."""
    if PROMETHEUS and PROMTOOL:
        yield "prometheus"
    if VICTORIA:
        yield "victoria"
