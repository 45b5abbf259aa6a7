"""The tables that exist from the start are put into the catalogue by whoever leads it (shell)."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from cluster.config import ClusterConfig
from cluster.control import catalogue
from cluster.node import StorageNode
from cluster.routing.messages import Refused, WriteItem
from cluster.storage.table import CorruptItem, TableDamaged

logger = logging.getLogger("cluster")

LOOK_SECONDS = 0.5
WRITE_SECONDS = 2.0


async def keep_tables(
    config: ClusterConfig,
    node: Callable[[], StorageNode | None],
    *,
    wall_clock: Callable[[], float] = time.time,
    nonce: Callable[[], str] = lambda: secrets.token_hex(4),
) -> None:
    """Whenever the node leads the catalogue, see to it that it holds the configured tables; until cancelled.

    ``nonce`` makes a table's id unlike that of an earlier table of the same name.
    """
    complete: StorageNode | None = None
    while True:
        found = node()
        group = found.groups.get(catalogue.GROUP) if found else None
        if found is not None and group is not None and found is not complete and group.leads():
            names = _names(found)
            wanted = catalogue.missing(config, names or (), at=wall_clock(), nonce=nonce()) if names is not None else ()
            for table in wanted:
                request = WriteItem(catalogue.GROUP, catalogue.item_key(table.name), catalogue.creation(table))
                answer = await group.answer(request, asyncio.get_running_loop().time() + WRITE_SECONDS)
                logger.info("table %s: %s", table.name, answer.kind if isinstance(answer, Refused) else "created")
            if names is not None and not wanted:
                complete = found
        await asyncio.sleep(LOOK_SECONDS)


def _names(node: StorageNode) -> list[str] | None:
    """The tables in the catalogue; None while it cannot be read, which is then seen to."""
    try:
        return [table.name for table in node.tables()]
    except CorruptItem as error:
        node.scrub.met(catalogue.GROUP, error)
    except TableDamaged as error:
        node.condemn(str(error))
    return None
