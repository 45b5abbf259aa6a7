"""Looking at the pages of a node's item table, whether or not anybody reads them (shell)."""

import asyncio
from collections.abc import Callable
from functools import partial

from cluster.storage.group_commit import GroupCommit
from cluster.storage.table import ItemTable

PIECE_PAGES = 256
"""A megabyte: a millisecond of the worker's time once it is read."""
PAUSE_SECONDS = 0.02


async def damaged_page(items: ItemTable, log: GroupCommit) -> str | None:
    """Look at every page, piece by piece, beside everything else that the worker does; what is wrong, or None. Raises OSError."""
    first: int | None = 1
    while first is not None:
        damaged, first = await log.in_worker(partial(items.verify_pages, first, PIECE_PAGES))
        if damaged:
            return f"page {min(damaged)} and {len(damaged) - 1} others do not match their checksums"
        await asyncio.sleep(PAUSE_SECONDS)
    return None


async def keep_verifying(
    items: ItemTable,
    log: GroupCommit,
    *,
    every_seconds: float,
    resting: Callable[[], bool],
    condemn: Callable[[str], None],
) -> None:
    """Until cancelled; a table with a damaged page is condemned."""
    while True:
        await asyncio.sleep(every_seconds)
        if resting():
            continue
        try:
            damage = await damaged_page(items, log)
        except OSError:
            continue  # a disk that refuses is no damage
        if damage is not None:
            condemn(damage)
