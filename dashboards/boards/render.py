"""A board as the JSON that Grafana reads: the same board gives the same bytes (pure)."""

import json
from typing import Any

from dashboards.boards.model import Board, MatrixTable, Panel, Query, Row, Stat, StateTimeline, TimeSeries

SCHEMA_VERSION = 42
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
Json = dict[str, Any]


def to_text(board: Board) -> str:
    """The file as it is checked in."""
    return json.dumps(to_json(board), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def to_json(board: Board) -> Json:
    """The dashboard model; not editable by hand, because the code is where it is edited."""
    return {
        "id": None,
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": list(board.tags),
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": board.refresh,
        "time": {"from": board.span, "to": "now"},
        "timepicker": {},
        "timezone": "utc",
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "links": [],
        "annotations": {"list": []},
        "templating": {"list": [_source_variable(), *(_variable(n, q) for n, q in board.variables.items())]},
        "panels": _layout(board.rows),
    }


def _source_variable() -> Json:
    """The data source is chosen by the reader, never baked in."""
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "current": {},
    }


def _variable(name: str, query: str) -> Json:
    """A list of label values, read again when the time range changes; everything is chosen at first."""
    return {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "hide": 0,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "options": [],
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _layout(rows: tuple[Row, ...]) -> list[Json]:
    """Rows one below the other, panels from the left, wrapping at 24 columns."""
    placed: list[Json] = []
    y = 0
    for row in rows:
        at = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        placed.append(
            {"id": len(placed) + 1, "type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": at}
        )
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            at = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            placed.append({"id": len(placed) + 1, "gridPos": at, **_panel(panel)})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return placed


def _panel(panel: Panel) -> Json:
    """What all panels say, and what this kind adds."""
    kind, options, custom, transformations = _kind(panel)
    defaults: Json = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"value": s.value, "color": s.color} for s in panel.steps]},
        "custom": custom,
        "noValue": "no data",
    }
    extra = {"decimals": panel.decimals, "min": panel.minimum, "max": panel.maximum}
    defaults |= {name: value for name, value in extra.items() if value is not None}
    newest = kind in ("stat", "table")
    return {
        "type": kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "targets": [_target(q, i, newest=newest, table=kind == "table") for i, q in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "transformations": transformations,
    }


def _target(query: Query, index: int, *, newest: bool, table: bool) -> Json:
    """One query; ``newest`` asks for the present only."""
    return {
        "refId": chr(ord("A") + index),
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "instant": newest,
        "range": not newest,
        "format": "table" if table else "time_series",
    }


def _kind(panel: Panel) -> tuple[str, Json, Json, list[Json]]:
    """Type, options, custom field settings and transformations."""
    match panel:
        case Stat():
            return "stat", _stat_options(panel), {}, []
        case TimeSeries():
            return "timeseries", _lines_options(panel), _lines_custom(panel), []
        case MatrixTable():
            matrix = {"rowField": panel.rows, "columnField": panel.columns, "valueField": "Value"}
            custom = {"cellOptions": {"type": "color-background", "mode": "basic"}, "align": "center"}
            return "table", {"showHeader": True}, custom, [{"id": "groupingToMatrix", "options": matrix}]
        case StateTimeline():
            options = {"mergeValues": True, "showValue": "never", "alignValue": "center", "rowHeight": 0.8}
            return "state-timeline", options, {"fillOpacity": 80, "lineWidth": 0}, []
    raise TypeError(f"no such panel: {panel!r}")


def _stat_options(panel: Stat) -> Json:
    """A figure without a sparkline: an instant query has no history."""
    return {
        "reduceOptions": {"calcs": [panel.reduce], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    }


def _lines_options(panel: TimeSeries) -> Json:
    """A legend with the newest and the worst value; one tooltip for all series."""
    worst = "min" if panel.maximum == 1 else "max"
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", worst]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _lines_custom(panel: TimeSeries) -> Json:
    """Thin lines; gaps stay gaps, because no data is never zero."""
    return {
        "drawStyle": "line",
        "lineInterpolation": "stepAfter",
        "lineWidth": 1,
        "fillOpacity": 20 if panel.stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
        "thresholdsStyle": {"mode": "line" if panel.threshold_line else "off"},
    }
