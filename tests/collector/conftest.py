"""Fixtures: a collector that listens, and its client."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from collector.config import CollectorConfig
from tests.collector.samples import Client, free_port, running


@pytest.fixture
def config_of(tmp_path: Path) -> Callable[..., CollectorConfig]:
    def make(**changes: Any) -> CollectorConfig:
        return CollectorConfig(**{"port": free_port(), "data_dir": tmp_path / "collector", **changes})

    return make


@pytest.fixture
async def client(config_of: Callable[..., CollectorConfig]) -> AsyncIterator[Client]:
    async with running(config_of()) as one:
        yield one
