"""From what servers count since they started to what happened since we last looked (pure).

A router's requests and the replicas' requests are two views of the same work: router series carry ``router`` (and no
node), node series carry ``node`` (and no router). Never add the one to the other.
"""

from math import isfinite

from collector.config import ScrapeTarget
from collector.exposition import NODE_FAMILY, ROUTER_FAMILY, Page, labels_of
from collector.observation import OperationClass, Outcome, Vantage
from collector.series import Reading, Series
from collector.shape import COUNT_MAX, TEXT_LENGTH_MAX

_OPERATIONS = frozenset(OperationClass)
_OUTCOMES = frozenset(Outcome)


def increases(before: Page | None, now: Page) -> dict[str, int]:
    """What each counter grew by. The first page is a baseline: what happened before it was not observed by us.

    A counter that is lower than before, or new on a known page, began at nought: its value is its growth. After a restart
    that holds for all of them; what was counted between our last look and the restart is lost, nothing is counted twice.
    """
    if before is None:
        return {}
    known = {} if has_restarted(before, now) else before.counters
    grown = {}
    for name, value in now.counters.items():
        since = known.get(name, 0.0)
        by = value - since if value >= since else value
        if isfinite(by) and by >= 1:
            grown[name] = min(round(by), COUNT_MAX)
    return grown


def has_restarted(before: Page, now: Page) -> bool:
    """Another start time. Of a page that tells none: another build, or most counters lower; a few are tables that were made anew."""
    if before.starts and now.starts:
        return before.starts != now.starts
    if before.life != now.life:
        return True
    used = [(value, now.counters.get(name, 0.0)) for name, value in before.counters.items() if value > 0]
    return sum(later < earlier for earlier, later in used) * 2 > len(used)


def family_of(target: ScrapeTarget) -> str:
    """The family that ``target``'s role counts requests in."""
    return ROUTER_FAMILY if target.role == "router" else NODE_FAMILY


def series_of(sample: str, target: ScrapeTarget, software_version: str | None = None) -> tuple[Series, Outcome] | None:
    """What a sample of ``target``, which says that it runs ``software_version``, counts; None when its labels are not of our vocabulary."""
    labels = labels_of(sample)
    operation, outcome, table = labels.get("operation", ""), labels.get("outcome", ""), labels.get("table", "")
    if operation not in _OPERATIONS or outcome not in _OUTCOMES or not 0 < len(table) <= TEXT_LENGTH_MAX:
        return None
    if target.role == "router":
        where = {"router": target.name, "router_zone": target.zone, "endpoint": labels.get("endpoint")}
    else:
        where = {"node": target.name, "node_zone": target.zone, "partition": labels.get("partition")}
    where["software_version"] = software_version
    if any(value is not None and len(value) > TEXT_LENGTH_MAX for value in where.values()):
        return None
    series = Series(
        vantage=Vantage.SERVER,
        host=target.name,
        zone=target.zone,
        operation=OperationClass(operation),
        table=table,
        **where,  # type: ignore[arg-type]  # texts all
    )
    return series, Outcome(outcome)


def readings(grown: dict[Series, dict[Outcome, int]], at: float) -> tuple[Reading, ...]:
    """Growth as readings of the second ``at``; what did not grow is not told."""
    return tuple(Reading(series=series, at=int(at), counts=counts) for series, counts in grown.items())
