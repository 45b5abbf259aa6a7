"""The console in a real browser."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.dashboards import samples
from tests.dashboards.conftest import Running
from tests.dashboards.peers import dump_dom

Start = Callable[[str], AbstractAsyncContextManager[Running]]


@pytest.mark.peer("chromium")
async def test_the_page_turns_by_itself_when_the_region_does(start: Start, tmp_path: Path) -> None:
    """A page that was opened while all was well shows the incident after polling, and its title says so."""
    async with start("well") as running:
        running.fake.turn_after = ("/v1/status", 1, samples.state("zone_down"))
        dom = await dump_dom(running.url + "/", tmp_path, milliseconds=200_000)
        assert "<h1>1 incident</h1>" in dom
        assert "All well" not in dom
        assert "<title>1 incident" in dom
        assert "The console does not answer" not in dom
