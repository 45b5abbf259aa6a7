"""A console over a fake judgement, both over real HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from dashboards.config import ConsoleConfig
from dashboards.console.app import run
from tests.dashboards import samples
from tests.dashboards.fake_judgement import Fake, serving
from tests.dashboards.peers import free_port


@dataclass
class Running:
    """A console that listens at ``url`` and asks ``fake``."""

    url: str
    fake: Fake


@contextlib.asynccontextmanager
async def console(answers: dict[str, Any]) -> AsyncIterator[Running]:
    """Both, closed at the end."""
    async with serving(answers) as fake, asyncio.TaskGroup() as group:
        config = ConsoleConfig(port=free_port(), cfa=fake.url)
        ready = asyncio.Event()
        task = group.create_task(run(config, ready))
        await ready.wait()
        try:
            yield Running(f"http://127.0.0.1:{config.port}", fake)
        finally:
            task.cancel()


@pytest.fixture
def start() -> Callable[[str], AbstractAsyncContextManager[Running]]:
    """What starts a console over a state of :mod:`samples` that is named, and stops it at the end of the block."""
    return lambda name: console(samples.state(name))
