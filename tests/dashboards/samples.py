"""A judgement's answers for the states that the console must show well: starting, well, zone down, no data."""

from typing import Any

NOW = 1764000000.0
ZONES = ("az1", "az2", "az3")
ENDPOINTS = ("standard", "fips", "dualstack", "account")
OPERATIONS = ("write", "strong_read", "eventual_read")
WINDOWS = ("5m", "30m", "1h", "6h", "1d", "7d", "30d")
INCIDENT_ID = "i-20261123-090000-zone-az1"


def cell(zone: str, endpoint: str, operation: str, connection: str, *, good: int = 30, bad: int = 0) -> dict[str, Any]:
    """One matrix cell."""
    total = good + bad
    verdict = "unobserved" if not total else "breach" if bad > 3 else "not_enough_evidence" if bad else "ok"
    p99 = {"write": 14.2, "strong_read": 6.1, "eventual_read": 3.4}[operation] + (9.0 if connection == "fresh" else 0.0)
    return {
        "zone": zone, "endpoint": endpoint, "operation": operation, "connection": connection, "verdict": verdict,
        "good": good, "bad": bad, "excluded": 0, "unobserved": 0 if total else 30,
        "availability": good / total if total else None, "latency_ms_p50": p99 / 3 if good else None,
        "latency_ms_p99": p99 if good else None, "last_at": NOW - 0.4 if total else None,
    }  # fmt: skip


def matrix(counts: dict[str, tuple[int, int]] | None = None) -> list[dict[str, Any]]:
    """All 72 cells; ``counts`` gives good and bad of a zone or of an endpoint."""
    counts = counts or {}
    cells = []
    for zone in ZONES:
        for endpoint in ENDPOINTS:
            good, bad = counts.get(zone, counts.get(endpoint, (30, 0)))
            cells += [cell(zone, endpoint, o, c, good=good, bad=bad) for o in OPERATIONS for c in ("fresh", "pooled")]
    return cells


def window(good: int, bad: int = 0, verdict: str = "ok") -> dict[str, Any]:
    """One rolling window against 99.99 %."""
    total = good + bad
    if not total:
        return {
            "good": 0,
            "bad": 0,
            "availability": None,
            "burn_rate": None,
            "budget_remaining": None,
            "verdict": "unobserved",
        }
    burn = (bad / total) / 0.0001
    return {
        "good": good,
        "bad": bad,
        "availability": good / total,
        "burn_rate": burn,
        "budget_remaining": 1 - burn,
        "verdict": verdict,
    }


def availability(bad: int = 0) -> list[dict[str, Any]]:
    """Rows of region, zones, endpoints, zone × endpoint, operations, tables and partitions."""
    scopes: list[dict[str, str]] = [
        {"region": "local"},
        *({"zone": z} for z in ZONES),
        *({"endpoint": e} for e in ENDPOINTS),
    ]
    scopes += [{"zone": z, "endpoint": e} for z in ZONES for e in ENDPOINTS]
    scopes += [{"operation": o} for o in OPERATIONS]
    scopes += [{"table": t} for t in ("canary", "orders", "sessions")]
    scopes += [{"table": "canary", "partition": f"canary-{i}"} for i in range(9)]
    rows = []
    for scope in scopes:
        for side in ("read", "write"):
            size = 9000 // (1 if "region" in scope else 3 if len(scope) == 1 else 12)
            lost = bad if scope.get("region") or scope.get("zone") == "az1" else 0
            verdict = "breach" if lost else "ok"
            windows = {"5m": window(size - lost, lost, verdict), "30m": window(size * 6 - lost, lost, verdict)}
            windows["1h"] = window(size * 12 - lost, lost, verdict)
            windows["6h"] = window(size * 30 - lost, lost, verdict if lost else "not_enough_evidence")
            windows |= {name: window(0) for name in ("1d", "7d", "30d")}
            if not lost and "region" in scope and side == "write":
                windows["6h"] = window(size * 30 - 2, 2, "ok")
            rows.append({"scope": scope, "side": side, "windows": windows})
    return rows


def targets(silent: str = "") -> list[dict[str, Any]]:
    """Routers, nodes and canaries; those of the zone ``silent`` do not answer."""
    found = []
    for zone in ZONES:
        for role, count in (("router", 2), ("node", 3), ("canary", 1)):
            for number in range(1, count + 1):
                up = zone != silent or role == "canary"
                at = NOW - (0.8 if up else 21)
                found.append({"target": f"{zone}-{role}-{number}", "zone": zone, "role": role, "up": up, "at": at})
    return found


def status(**changes: Any) -> dict[str, Any]:
    """A well region, with changes."""
    base = {
        "at": NOW, "region": "local", "objective": 0.9999, "ready": True, "cells_answered": 72, "cells_expected": 72,
        "data_age_seconds": 0.6, "matrix": matrix(), "availability": availability(), "recused": [],
        "targets": targets(), "incidents_open": 0, "false_pages_per_year": 1.0,
    }  # fmt: skip
    return base | changes


def incident(**changes: Any) -> dict[str, Any]:
    """The zone az1 is down, with changes."""
    base = {
        "id": INCIDENT_ID, "state": "open", "severity": "page", "scope": {"zone": "az1"}, "connection": None,
        "operations": ["read", "write"], "side": "both", "opened_at": NOW - 20, "first_failure_at": NOW - 21.9,
        "paged_at": NOW - 17.5, "closed_at": None, "closed_reason": None, "reason": "evidence_and_sustained_failure",
        "summary": "az1 fails reads and writes for canaries in az2 and az3: 96 of 96 attempts since 15:59:38",
        "evidence": {"failures": 96, "attempts": 96, "share": 1.0, "share_low": 0.9614, "share_high": 1.0, "log_evidence": 61.2,
                     "log_threshold": 24.1, "hosts": ["az2-canary-1", "az3-canary-1"], "budget_burned": 0.005,
                     "would_happen_once_in_years": 1e15},
        "witnesses": {"bad": ["az2-canary-1", "az2-canary-2", "az3-canary-1"], "good": ["az3-canary-2"], "recused": ["az1-canary-1"]},
        "servers": {"verdict": "silent", "detail": "az1-router-1, az1-router-2, az1-node-1, az1-node-2 and az1-node-3 do not answer"},
        "reasons": {"connect_refused": 80, "http_500": 12, "deadline": 4},
        "examples": [{"at": NOW - 21.9 + i, "host": f"az{2 + i % 2}-canary-1", "reason": "http_500" if i == 3 else "connect_refused",
                      "endpoint": ENDPOINTS[i % 4], "operation": OPERATIONS[i % 3],
                      "request_id": "Q7N1ZK0P5V8M2R4T6Y9B3C1D0F" if i == 3 else None} for i in range(6)],
        "blast_radius": {"endpoints": list(ENDPOINTS), "operations": list(OPERATIONS), "tables": ["canary", "orders"],
                         "partitions": 9, "share_of_region": 0.3333},
        "timeline": [{"at": NOW - 20, "event": "opened", "severity": "watch", "reason": "evidence_crossed"},
                     {"at": NOW - 17.5, "event": "raised", "severity": "page", "reason": "evidence_and_sustained_failure"},
                     {"at": NOW - 17.4, "event": "paged", "severity": "page", "reason": "delivered_to_log"}],
    }  # fmt: skip
    return base | changes


def operated() -> dict[str, Any]:
    """Taken by somebody, with notes, opened again, and with a part that was folded into it."""
    lines = [
        {"at": NOW - 20, "event": "reopened", "severity": "page", "reason": "evidence_and_sustained_failure"},
        {"at": NOW - 17, "event": "paged", "severity": "page", "reason": "evidence_and_sustained_failure"},
        {"at": NOW - 12, "event": "acknowledged", "severity": "page", "reason": "acknowledged", "by": "bob", "note": "looking"},
        {"at": NOW - 9, "event": "noted", "severity": "page", "reason": "note", "by": "bob", "note": "certificate <b>expired</b>"},
    ]  # fmt: skip
    spell = {"opened_at": NOW - 90, "first_failure_at": NOW - 92, "paged_at": NOW - 89, "closed_at": NOW - 50, "closed_reason": "recovered"}  # fmt: skip
    return incident(
        id="i-20251124-155830-endpoint-fips", scope={"endpoint": "fips"}, acknowledged_by="bob", acknowledged_at=NOW - 12,
        earlier=[spell], children=["i-20251124-155900-zone-az2-endpoint-fips"], timeline=lines, finding="gray_failure",
    )  # fmt: skip


def recovered() -> dict[str, Any]:
    """Over, with the evidence that it is."""
    seen = {"last_failure_at": NOW - 40, "quiet_seconds": 15.2, "successes": 182, "hosts": ["az1-canary-1", "az2-canary-1", "az3-canary-1"], "share_at_most": 0.0163}  # fmt: skip
    return incident(id="i-20251124-155500-router-az2-router-1", state="closed", scope={"router": "az2-router-1"},
                    closed_at=NOW - 25, closed_reason="recovered", recovery=seen)  # fmt: skip


def page(**changes: Any) -> dict[str, Any]:
    """A delivered trigger, with changes."""
    base = {"incident": INCIDENT_ID, "event": "trigger", "severity": "page", "destination": "log", "created_at": NOW - 17.5,
            "delivered_at": NOW - 17.4, "attempts": 1, "last_error": None}  # fmt: skip
    return base | changes


def state(name: str) -> dict[str, Any]:
    """All answers of one state: ``status``, ``open``, ``closed``, ``pages``, ``ready``."""
    answers: dict[str, Any] = {"status": status(), "open": [], "closed": [], "pages": [], "ready": None}
    past = incident(id="i-20261122-031500-endpoint-fips", state="closed", scope={"endpoint": "fips"}, closed_at=NOW - 80000,
                    opened_at=NOW - 80100, first_failure_at=NOW - 80102, paged_at=NOW - 80098, closed_reason="recovered")  # fmt: skip
    if name == "starting":
        some = matrix({"az2": (12, 0), "az1": (3, 0), "az3": (0, 0)})
        answers["status"] = status(ready=False, cells_answered=48, matrix=some, availability=[], targets=[])
        answers["ready"] = "48 of 72 cells have answered"
    if name == "well":
        answers |= {"closed": [past], "pages": [page(incident=past["id"], event="resolve"), page(incident=past["id"])]}
    if name == "zone_down":
        sick = [
            {"host": "az1-canary-1", "zone": "az1", "since": NOW - 18, "reasons": ["control_echo_failed", "loop_lag"]}
        ]
        cells = matrix({"az1": (0, 0), "az2": (19, 11), "az3": (29, 1)})
        answers["status"] = status(
            matrix=cells, availability=availability(96), targets=targets("az1"), recused=sick, incidents_open=1
        )
        failed = page(destination="alertmanager", delivered_at=None, attempts=4, last_error="connect refused")
        answers |= {"open": [incident()], "closed": [past], "pages": [page(), failed]}
    if name == "operated":
        answers["status"] = status(matrix=matrix({"az1": (0, 0)}), incidents_open=2, mutes=[
            {"id": "m-4f1c22aa", "kind": "maintenance", "scope": {"zone": "az1"}, "operations": [], "severity": "page",
             "starts_at": NOW - 600, "ends_at": NOW + 3600, "author": "ann", "comment": "power works, announced on Monday"},
            {"id": "s-09be7711", "kind": "silence", "scope": {"endpoint": "fips"}, "operations": ["write"], "severity": "page",
             "starts_at": NOW - 60, "ends_at": NOW + 600, "author": "bob", "comment": ""},
        ])  # fmt: skip
        muted = incident(muted_by=["m-4f1c22aa"], paged_at=None)
        answers |= {"open": [operated(), muted], "closed": [recovered()]}
    if name == "no_data":
        answers["status"] = status(data_age_seconds=14.2, ready=False)
        answers["ready"] = "no data for 14 s"
    return answers
