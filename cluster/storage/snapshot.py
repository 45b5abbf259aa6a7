"""Fetching a partition's items from another replica, part by part (shell)."""

from dataclasses import dataclass

from cluster.replication.membership import Config
from cluster.routing.messages import FetchSnapshot, Row, SnapshotPart
from cluster.transport import Hub

PART_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of a group as of ``lsn`` (some may be newer), and its members then."""

    lsn: int
    rows: list[Row]
    config: Config


async def fetch_snapshot(hub: Hub, node: str, source: str, group: str, *, items: bool = True) -> Snapshot:
    """The snapshot of ``group`` on ``source``; raises Unreachable, NoAnswer, or ValueError when it is refused.

    Rows of later parts may be newer than the LSN: applying the log from there on makes them right again, because an
    entry holds an item's whole image. Without ``items`` only the members are asked for.
    """
    rows: list[Row] = []
    first: SnapshotPart | None = None
    after = None
    while True:
        question = FetchSnapshot(group, after, items=items)
        part = await hub.ask(node, source, question, timeout_seconds=PART_TIMEOUT_SECONDS)
        if not isinstance(part, SnapshotPart):
            raise ValueError(f"{source} refused a snapshot: {part}")  # noqa: TRY004
        first = first or part
        rows += part.rows
        if not part.more:
            return Snapshot(first.lsn, rows, first.config)
        after = (part.rows[-1].hash, part.rows[-1].partition_key, part.rows[-1].sort_key)
