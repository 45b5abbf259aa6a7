"""Is every replication group whole: three storage replicas that are up to date, and one leader? From what the zones say (pure)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

REPLICAS = 3
MAX_LAG = 50
"""Log entries that a replica may be behind while writes go on."""


def not_whole(states: Iterable[Mapping[str, Any] | None], zones: int) -> dict[str, str]:
    """By group what is missing; ``states``: each zone's ``GET /state`` (None: it did not answer). Empty: all is well."""
    answered = [state for state in states if state is not None]
    problems: dict[str, str] = {}
    if len(answered) < zones:
        problems["every group"] = f"{zones - len(answered)} zone(s) do not answer"
    for state in answered:
        down = [node for node, is_ in state["nodes"].items() if not is_["up"]]
        problems |= {f"groups on {node}": "the storage node is down" for node in down}
    return problems | {group: why for group, views in _by_group(answered).items() if (why := _missing(views))}


def _by_group(states: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """What each node says of each group."""
    groups: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for state in states:
        for node, said in state["nodes"].items():
            for view in said["groups"]:
                groups[view["group"]][node] = view
    return dict(sorted(groups.items()))


def _missing(views: Mapping[str, Mapping[str, Any]]) -> str | None:
    storage = {
        node: view for node, view in views.items() if view.get("kept", "items") == "items" and view.get("votes", True)
    }
    leaders = [node for node, view in storage.items() if view["serving"]]
    if len(leaders) != 1:
        return f"{len(leaders)} replicas lead"
    members = storage[leaders[0]].get("members") or tuple(storage)
    storage = {node: view for node, view in storage.items() if node in members}  # what else is there was left behind
    if len(storage) < REPLICAS or len(members) > REPLICAS:
        return f"{len(storage)} storage replicas of {REPLICAS}, members are {', '.join(sorted(members))}"
    astray = [node for node, view in storage.items() if view["leader"] not in (None, leaders[0])]
    if astray:
        return f"{', '.join(astray)} follow another leader than {leaders[0]}"
    committed = storage[leaders[0]]["committed"]
    behind = [node for node, view in storage.items() if max(view["lag"], committed - view["applied"]) > MAX_LAG]
    return f"{', '.join(behind)} behind the leader" if behind else None
