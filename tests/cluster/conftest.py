"""Fixtures of the store's tests."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.cluster.small_region import Region, quick_config

MakeRegion = Callable[..., Region]


@pytest.fixture
async def make_region(tmp_path: Path) -> AsyncIterator[MakeRegion]:
    """Makes regions that are stopped at the end."""
    made: list[Region] = []

    def make(**changes: object) -> Region:
        made.append(Region(quick_config(tmp_path, **changes)))
        return made[-1]

    yield make
    for region in made:
        for name in list(region.zones):
            await region.stop(name)


@pytest.fixture
async def region(make_region: MakeRegion) -> Region:
    """A region that is ready."""
    made = make_region()
    await made.start()
    return made
