"""Fetching a partition's items from another replica, part by part (shell)."""

from cluster.routing.messages import FetchSnapshot, Row, SnapshotPart
from cluster.transport import Hub

PART_TIMEOUT_SECONDS = 5.0


async def fetch_snapshot(hub: Hub, node: str, source: str, group: str) -> tuple[int, list[Row]]:
    """The LSN and the rows of ``group`` on ``source``; raises Unreachable, NoAnswer, or ValueError when it is refused.

    Rows of later parts may be newer than the LSN: applying the log from there on makes them right again, because an
    entry holds an item's whole image.
    """
    rows: list[Row] = []
    lsn, after = None, None
    while True:
        part = await hub.ask(node, source, FetchSnapshot(group, after), timeout_seconds=PART_TIMEOUT_SECONDS)
        if not isinstance(part, SnapshotPart):
            raise ValueError(f"{source} refused a snapshot: {part}")  # noqa: TRY004
        lsn = part.lsn if lsn is None else lsn
        rows += part.rows
        if not part.more:
            return lsn, rows
        after = (part.rows[-1].hash, part.rows[-1].partition_key, part.rows[-1].sort_key)
