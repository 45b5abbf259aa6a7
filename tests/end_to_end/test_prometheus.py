"""The Grafana dashboard's queries against a real Prometheus that scrapes the running stack."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from dashboards.check import query_all
from dashboards.prometheus import default_targets, prometheus_config

pytestmark = [pytest.mark.end_to_end, pytest.mark.peer("prometheus")]
PATIENCE_SECONDS = 40.0


def test_every_panel_returns_data_from_the_running_stack(stack: Any, tmp_path: Path) -> None:
    """With the provisioned scrape configuration, each panel of *Region now* has at least one series."""
    binary = shutil.which("prometheus")
    if binary is None:
        if os.environ.get("FIVENINES_REQUIRE_PEERS") == "1":
            pytest.fail("prometheus is not installed")
        pytest.skip("prometheus is not installed")
    (tmp_path / "prometheus.yml").write_text(prometheus_config(default_targets(), scrape_interval="1s"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    process = subprocess.Popen([binary, *arguments, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
    try:
        assert empty_panels(f"http://127.0.0.1:{port}") == []
    finally:
        process.terminate()
        process.wait()


def empty_panels(url: str) -> list[str]:
    """Titles of panels that still have no series when patience ends; it ends early when all have some."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    empty = ["Prometheus does not answer"]
    while empty and time.monotonic() < deadline:
        time.sleep(1.0)  # Prometheus scrapes in real time
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=2):
                series = asyncio.run(query_all(url, rate_interval="10s"))
            empty = [title for title, count in series.items() if count == 0]
        except (urllib.error.URLError, OSError):
            continue
    return empty
