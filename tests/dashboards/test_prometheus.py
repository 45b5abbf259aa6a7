"""Every query of every dashboard, asked of a real Prometheus that scrapes pages of the real metrics."""

import asyncio
from pathlib import Path

import pytest

from dashboards.check import query_all
from dashboards.prometheus import prometheus_config
from tests.dashboards.exporter import exporters
from tests.dashboards.peers import prometheus


@pytest.mark.peer("prometheus")
async def test_every_panel_returns_data(tmp_path: Path) -> None:
    """No panel is empty once two scrapes have been made: names, labels and functions are right."""
    async with exporters() as targets:
        config = prometheus_config(targets, scrape_interval="500ms")
        async with prometheus(config, tmp_path) as url, asyncio.timeout(20):
            while True:
                counts = await query_all(url, rate_interval="10s")
                if all(counts.values()):
                    break
                await asyncio.sleep(0.5)
    assert len(counts) >= 25
