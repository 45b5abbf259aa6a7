"""Unit tests of the rules, in the form of ``promtool test rules`` (pure): generated with the rules, so that they go together."""

from collections.abc import Iterable
from typing import Any

from dashboards.rules.alerting import groups as alert_groups
from dashboards.rules.policy import LEVELS
from dashboards.rules.recording import ATTEMPTS, availability, bad, valid

Case = dict[str, Any]
_CELL = {"region": "eu", "zone": "az1", "endpoint": "standard", "operation": "write"}


def cases(objective: str) -> list[Case]:
    """What must be true of the recording rules and of the alerts of one objective."""
    return [
        _figures(),
        _healthy(objective),
        _zone_down(objective),
        _few(objective),
        _silent(objective),
    ]


def slow_cases(objective: str) -> list[Case]:
    """What takes days; evaluated every five minutes."""
    return [_slow(objective)]


def _series(outcome: str, values: str, **changes: str) -> Case:
    labels = {**_CELL, "vantage": "canary", "recused": "false", "outcome": outcome, **changes}
    inside = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return {"series": f"{ATTEMPTS}{{{inside}}}", "values": values}


def _value(record: str, level: str, value: float, **changes: str) -> Case:
    labels = {name: changes.get(name, _CELL[name]) for name in LEVELS[level]}
    inside = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return {"labels": f"{record}{{{inside}}}", "value": value}


def _asked(record: str, at: str, samples: Iterable[Case]) -> Case:
    return {"expr": record, "eval_time": at, "exp_samples": list(samples)}


def _figures() -> Case:
    """90 good and 10 bad a minute in one zone, 100 good in another; neither throttled nor recused nor servers' counts matter."""
    other = {"zone": "az2"}
    return {
        "name": "counts are added up, ratios are made last",
        "interval": "1m",
        "input_series": [
            _series("success", "0+90x60"),
            _series("timeout", "0+10x60"),
            _series("throttled", "0+500x60"),
            _series("unreachable", "0+500x60", recused="true"),
            _series("server_fault", "0+500x60", vantage="server"),
            _series("success", "0+100x60", **other),
        ],
        "promql_expr_test": [
            _asked(bad("cell", "5m"), "30m", [_value(bad("cell", "5m"), "cell", 50), _value(bad("cell", "5m"), "cell", 0, **other)]),
            _asked(valid("region", "5m"), "30m", [_value(valid("region", "5m"), "region", 1000)]),
            _asked(availability("zone", "5m"), "30m", [
                _value(availability("zone", "5m"), "zone", 0.9), _value(availability("zone", "5m"), "zone", 1, **other),
            ]),
            _asked(availability("region", "30m"), "40m", [_value(availability("region", "30m"), "region", 0.95)]),
        ],
    }  # fmt: skip


def _no_alerts(objective: str, at: str) -> list[Case]:
    names = sorted({rule["alert"] for group in alert_groups(objective) for rule in group["rules"]})
    return [{"eval_time": at, "alertname": name, "exp_alerts": []} for name in names]


def _healthy(objective: str) -> Case:
    """A month's worth of objective is kept: nobody is told."""
    return {
        "name": f"{objective} %: no failure, no alert",
        "interval": "1m",
        "input_series": [_series("success", "0+600x100")],
        "alert_rule_test": _no_alerts(objective, "95m"),
    }


def _expected(objective: str, level: str, long_window: str) -> Case:
    found = next(
        rule
        for group in alert_groups(objective)
        for rule in group["rules"]
        if rule["labels"].get("long_window") == long_window and rule["labels"]["scope"] == level
    )
    return {"exp_labels": {**found["labels"], **{name: _CELL[name] for name in LEVELS[level]}}}


def _fires(objective: str, level: str, long_windows: tuple[str, ...]) -> list[str]:
    """The alerts that fire, as an expression's samples: annotations with a share in them are not compared."""
    found = []
    for window in long_windows:
        labels = {
            "alertname": f"Fivenines{level.capitalize()}BudgetBurn", "alertstate": "firing",
            **_expected(objective, level, window)["exp_labels"],
        }  # fmt: skip
        found.append("ALERTS{" + ", ".join(f'{name}="{labels[name]}"' for name in sorted(labels)) + "}")
    return found


def _firing(objective: str, level: str, at: str, *long_windows: str) -> Case:
    name = f"Fivenines{level.capitalize()}BudgetBurn"
    return _asked(
        f'ALERTS{{alertname="{name}", alertstate="firing"}}',
        at,
        [{"labels": labels, "value": 1} for labels in _fires(objective, level, long_windows)],
    )


def _zone_down(objective: str) -> Case:
    """A zone fails wholly after an hour, another goes on: the zone, the endpoint and the region page within minutes, and stop."""
    return {
        "name": f"{objective} %: a zone is down for half an hour",
        "interval": "1m",
        "input_series": [
            _series("success", "0+600x60 36000x30 36000+600x60"),
            _series("unreachable", "0x60 0+600x30 18000x60"),
            _series("success", "0+600x150", zone="az2"),
        ],
        "promql_expr_test": [
            _firing(objective, "zone", "59m"),
            _firing(objective, "zone", "63m", "1h"),
            _firing(objective, "region", "63m", "1h"),
            _firing(objective, "endpoint", "63m", "1h"),
            _firing(objective, "zone", "67m", "1h", "6h"),
            _firing(objective, "zone", "100m", "6h"),
            _firing(objective, "zone", "125m", "3d"),
        ],
    }


def _slow(objective: str) -> Case:
    """Twice the budget for three days: a ticket, no page."""
    bad_each_5m = 2 if objective == "99.99" else 0.2
    return {
        "name": f"{objective} %: twice the budget for days",
        "interval": "5m",
        "input_series": [
            _series("success", f"0+{10_000 - bad_each_5m:g}x1000"),
            _series("server_fault", f"0+{bad_each_5m:g}x1000"),
        ],
        "promql_expr_test": [_firing(objective, "region", "78h", "3d"), _firing(objective, "zone", "78h", "3d")],
    }


def _few(objective: str) -> Case:
    """One failed probe in an hour with little traffic is no reason to tell anyone."""
    return {
        "name": f"{objective} %: a single failure",
        "interval": "1m",
        "input_series": [_series("success", "0+10x80"), _series("timeout", "0x60 1x20")],
        "alert_rule_test": _no_alerts(objective, "62m"),
    }


def _silent(objective: str) -> Case:
    """The canaries of a zone stop: it is told as unobserved, and not as bad."""
    alert = "FiveninesZoneUnobserved"
    labels = {"alertname": alert, "alertstate": "firing", "severity": "ticket", "objective": objective, "scope": "zone"}
    where = {**labels, "region": "eu", "zone": "az1"}
    told = "ALERTS{" + ", ".join(f'{name}="{where[name]}"' for name in sorted(where)) + "}"
    return {
        "name": f"{objective} %: nobody asks any more",
        "interval": "1m",
        "input_series": [_series("success", "0+600x30 stale"), _series("success", "0+600x50", zone="az2")],
        "promql_expr_test": [
            _asked(f'ALERTS{{alertname="{alert}", alertstate="firing"}}', "29m", []),
            _asked(f'ALERTS{{alertname="{alert}", alertstate="firing"}}', "40m", [{"labels": told, "value": 1}]),
            _firing(objective, "zone", "40m"),
        ],
    }
