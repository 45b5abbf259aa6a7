"""An incident, a silence and a maintenance window as text for a terminal (pure)."""

from datetime import UTC, datetime
from typing import Any


def clock(at: float | None) -> str:
    """``2026-11-24 09:00:02Z``."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def scope_words(scope: dict[str, str]) -> str:
    """``zone=az1 endpoint=fips``."""
    return " ".join(f"{key}={value}" for key, value in scope.items()) or "everything"


def incident_text(incident: dict[str, Any]) -> str:
    """What is known, who took it, what mutes it, and its timeline."""
    lines = [
        f"{incident['id']}  {incident['state']}  {incident['severity']}  {scope_words(incident['scope'])}",
        incident["summary"],
        f"since        {clock(incident['first_failure_at'])}, paged {clock(incident['paged_at'])}, over {clock(incident['closed_at'])}",
    ]
    lines += [f"{name:<12} {text}" for name, text in _extras(incident)]
    lines.append("timeline")
    lines += [f"  {_moment(entry)}" for entry in incident["timeline"]]
    return "\n".join(lines)


def _extras(incident: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    if incident.get("acknowledged_at"):
        found.append(("acknowledged", f"by {incident['acknowledged_by']} at {clock(incident['acknowledged_at'])}"))
    if incident.get("muted_by"):
        found.append(("muted by", ", ".join(incident["muted_by"])))
    if incident.get("folded_into"):
        found.append(("folded into", incident["folded_into"]))
    if incident.get("children"):
        found.append(("took over", ", ".join(incident["children"])))
    if incident.get("earlier"):
        found.append(("opened again", f"{len(incident['earlier'])} times"))
    recovery = incident.get("recovery")
    if recovery:
        found.append(("evidence", recovery_text(recovery)))
    return found


def recovery_text(recovery: dict[str, Any]) -> str:
    """Why it is believed to be over."""
    return (
        f"{recovery['successes']} successes by {len(recovery['hosts'])} witnesses in {recovery['quiet_seconds']:.0f} s since the last "
        f"failure; at most {100 * recovery['share_at_most']:.2g} % can still fail (95 %)"
    )


def _moment(entry: dict[str, Any]) -> str:
    by = f" by {entry['by']}" if entry.get("by") else ""
    note = f": {entry['note']}" if entry.get("note") else ""
    reason = "" if entry["reason"] in (entry["event"], "note") else f" ({entry['reason']})"
    return f"{clock(entry['at'])}  {entry['event']}{reason}{by}{note}"


def mute_text(mute: dict[str, Any]) -> str:
    """One silence or window on one line."""
    only = f" {'+'.join(mute['operations'])}" if mute["operations"] else ""
    upto = "" if mute["severity"] == "page" else f" up to {mute['severity']}"
    state = "" if mute["in_force"] else " (ended)" if mute.get("expired_at") else " (not in force)"
    over = mute["expired_at"] if mute.get("expired_at") else mute["ends_at"]
    comment = f": {mute['comment']}" if mute["comment"] else ""
    return f"{mute['id']}{state}  {scope_words(mute['scope'])}{only}{upto}  {clock(mute['starts_at'])} – {clock(over)}  {mute['author']}{comment}"
