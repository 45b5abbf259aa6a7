"""A table as of a point in time, read from the archive alone (shell).

The archive knows its tables by itself: the catalogue of tables is a group like any other, and is archived too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from cluster.archive.reading import rebuild
from cluster.archive.reference import LATEST, Reference, Until
from cluster.archive.store import ObjectStore
from cluster.control import catalogue
from cluster.ports import Item, Table
from cluster.worker import Worker


class NotArchived(Exception):
    """The archive does not hold what is asked for; the text says what it does hold."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A table's definition and its partitions' rows, all as of the same point in time."""

    table: Table
    references: tuple[Reference, ...]

    @property
    def count(self) -> int:
        """How many items."""
        return sum(len(reference.rows) for reference in self.references)

    def items(self) -> list[Item]:
        """All items as DynamoDB JSON, partition after partition."""
        return [
            msgspec.msgpack.decode(row.body, type=dict) for reference in self.references for row in reference.ordered()
        ]


async def read_tables(store: ObjectStore, worker: Worker, at: float | None) -> dict[str, Table]:
    """The tables that there were at ``at`` (UTC seconds; None: latest), by name. Raises :class:`Damage`."""
    found = await rebuild(store, catalogue.GROUP, worker, Until(at=at) if at is not None else LATEST)
    tables = (catalogue.table_in(msgspec.msgpack.decode(row.body)) for row in found.ordered())
    return {table.name: table for table in tables}


async def read_table(
    store: ObjectStore,
    name: str,
    worker: Worker,
    *,
    at: float | None,
    progress: Callable[[str], None] = lambda _: None,
) -> Restored:
    """``name`` as of ``at``; raises :class:`NotArchived`, :class:`Damage` and :class:`ArchiveUnavailable`."""
    tables = await read_tables(store, worker, at)
    if name not in tables:
        known = ", ".join(sorted(tables)) or "no table"
        raise NotArchived(f"the archive knows no table '{name}' at that time; it knows: {known}")
    table = tables[name]
    references = []
    for partition in table.partitions:
        group = catalogue.group_of(table, partition)
        reference = await rebuild(store, group, worker, Until(at=at) if at is not None else LATEST)
        progress(f"partition {partition.id}: {len(reference.rows)} items as of LSN {reference.lsn}")
        references.append(reference)
    return Restored(table, tuple(references))
