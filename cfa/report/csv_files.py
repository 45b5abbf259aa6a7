"""The report's tables as CSV, one file each (shell)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cfa.report.figures import Report

TABLES = {"figures": "figures", "intervals": "timeline", "coverage": "coverage", "incidents": "incidents"}
"""File name ending → attribute of the report."""


def write_csv(report: Report, folder: Path) -> list[Path]:
    """Writes ``fivenines-PERIOD-TABLE.csv`` for every table, and the provenance as JSON; the paths."""
    import pandas as pd  # noqa: PLC0415 -- slow to import, and a daemon may never need it

    paths = []
    for name, attribute in TABLES.items():
        rows: Sequence[Any] = getattr(report, attribute)
        path = folder / f"fivenines-{report.period}-{name}.csv"
        columns = _columns(report, attribute)
        pd.DataFrame([_flat(row) for row in rows], columns=columns).to_csv(path, index=False)
        paths.append(path)
    path = folder / f"fivenines-{report.period}-provenance.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report.provenance)) + b"\n")
    return [*paths, path]


def _columns(report: Report, attribute: str) -> list[str]:
    """The header is there even when there are no rows."""
    field = next(one for one in msgspec.inspect.type_info(type(report)).fields if one.name == attribute)  # type: ignore[attr-defined]
    return [one.name for one in field.type.item_type.fields]


def _flat(row: object) -> dict[str, Any]:
    """One level deep: what is nested becomes ``key=value`` words."""
    found: dict[str, Any] = msgspec.to_builtins(row)
    return {name: _words(value) for name, value in found.items()}


def _words(value: Any) -> Any:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return " ".join(str(item) for item in value) if isinstance(value, list | tuple) else value
