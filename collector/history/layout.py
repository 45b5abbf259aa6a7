"""Where what lies in the history, and what its columns are called; ``docs/ledger.md`` tells it to users (pure).

::

    intervals/date=2026-11-24/zone=az1/13-LEDGER-1.parquet   every series of the hour 13:00–14:00 UTC
    hourly/tables/date=2026-11-24/13-LEDGER-1.parquet         the same, added up by table
    hourly/cells/date=2026-11-24/13-LEDGER-1.parquet          the same, added up by zone and endpoint
    daily/tables/date=2026-11-24/LEDGER-1.parquet             a whole day's newest versions, by table
    daily/cells/date=2026-11-24/LEDGER-1.parquet
    manifests/date=2026-11-24/13-LEDGER-1.json                written last: what no manifest names does not exist
    manifests/date=2026-11-24/day-LEDGER-1.json

The last number grows with each file of the hour: a late version is a new file beside the old ones.
"""

import datetime as dt
import re
import string

from collector.merge import OUTCOMES
from collector.series import LATENCY_BOUNDS_MS

HOUR_SECONDS, DAY_SECONDS = 3600, 86400
NO_ZONE = "_none"
"""The partition of series without a zone. Hive's own name for it makes a null, which pandas cannot read among dictionaries."""

DIMENSIONS: tuple[str, ...] = (
    "table", "vantage", "level", "operation", "endpoint", "connection", "host", "partition", "router", "router_zone", "node", "node_zone",
)  # fmt: skip
"""A series' dimensions in the order by which the rows of a file are sorted; the zone is in the path."""
OUTCOME_COLUMNS: tuple[str, ...] = tuple(outcome.value for outcome in OUTCOMES)
LATENCY_COLUMNS: tuple[str, ...] = (*(f"latency_le_{bound:g}_ms" for bound in LATENCY_BOUNDS_MS), "latency_over_ms")
COUNT_COLUMNS = (*OUTCOME_COLUMNS, *LATENCY_COLUMNS)
"""The places of :data:`collector.merge.Tally`, by name."""
ROLLUPS: dict[str, tuple[str, ...]] = {
    "tables": ("table", "vantage", "level", "operation", "at_node"),
    "cells": ("zone", "endpoint", "vantage", "level", "operation", "at_node"),
}
"""The roll-ups and their dimensions, in the order of their rows. ``at_node``: counted at a storage node, the same requests once more."""


def date_of(at: int) -> str:
    """The UTC date as a partition's value."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d")


def hour_of(start: int) -> int:
    """The start of the UTC hour of an interval."""
    return start // HOUR_SECONDS * HOUR_SECONDS


def day_of(start: int) -> int:
    """The start of the UTC day of an interval."""
    return start // DAY_SECONDS * DAY_SECONDS


def hour_stem(hour: int, ledger: str, number: int) -> str:
    """The name of an hour's files, without their ending."""
    return f"{hour % DAY_SECONDS // HOUR_SECONDS:02d}-{ledger}-{number}"


def intervals(hour: int, zone: str, stem: str) -> str:
    """Where the series of one zone are."""
    return f"intervals/date={date_of(hour)}/zone={_escaped(zone)}/{stem}.parquet"


def _escaped(zone: str) -> str:
    """A folder's name, percent-encoded as in a URL, which readers of Hive partitions undo."""
    if not zone:
        return NO_ZONE
    plain = string.ascii_letters + string.digits + "-" + ("_" if zone != NO_ZONE else "")
    return "".join(chr(byte) if chr(byte) in plain else f"%{byte:02X}" for byte in zone.encode())


def zone_of(path: str) -> str:
    """The zone that a path of :func:`intervals` names."""
    folder = path.split("/zone=", 1)[1].split("/", 1)[0]
    if folder == NO_ZONE:
        return ""
    return re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), folder.encode()).decode()


def hourly(kind: str, hour: int, stem: str) -> str:
    """Where an hour's roll-up is."""
    return f"hourly/{kind}/date={date_of(hour)}/{stem}.parquet"


def daily(kind: str, day: int, ledger: str, number: int) -> str:
    """Where a day's roll-up is."""
    return f"daily/{kind}/date={date_of(day)}/{ledger}-{number}.parquet"


def hour_manifest(hour: int, ledger: str, number: int) -> str:
    """The manifest of an hour's files."""
    return f"manifests/date={date_of(hour)}/{hour_stem(hour, ledger, number)}.json"


def day_manifest(day: int, ledger: str, number: int) -> str:
    """The manifest of a day's roll-ups."""
    return f"manifests/date={date_of(day)}/day-{ledger}-{number}.json"


def removal(manifest: str) -> str:
    """What says that retention took the files of a manifest away; the manifest itself stays."""
    return manifest.removesuffix(".json") + ".removed.json"
