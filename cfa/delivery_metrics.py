"""What the deliveries measure: time to page, broken destinations, second routes, heartbeat, which engine is active (shell)."""

from collections.abc import Iterator
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cfa.dispatch import Dispatch
from cfa.heartbeat import Heartbeat
from cfa.outbox import Outbox


class Side(Protocol):
    """The engine's part in a pair."""

    takeovers: int

    @property
    def active(self) -> bool:
        """Whether it is the one that tells people."""
        ...

    @property
    def lag_seconds(self) -> float | None:
        """How long the other's changes have not been had; None: nothing is followed."""
        ...


class DeliveryMetrics(Collector):
    """Computed when asked."""

    def __init__(
        self, outbox: Outbox, dispatch: Dispatch, heartbeat: Heartbeat | None, side: Side | None = None
    ) -> None:
        self._outbox, self._dispatch, self._heartbeat, self._side = outbox, dispatch, heartbeat, side

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not ask when it registers this."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield self._time_to_page()
        yield self._month()
        yield from self._destinations()
        more = CounterMetricFamily("cfa_second_route_notices", "Notices added beside the plan", labels=("origin",))
        for origin, count in self._dispatch.added.items():
            more.add_metric([origin], count)
        yield more
        yield from _heartbeat(self._heartbeat)
        yield from side_metrics(self._side)

    def _time_to_page(self) -> Metric:
        family = HistogramMetricFamily(
            "cfa_time_to_page_seconds",
            "From the first failure's start until a destination had the page",
            labels=("destination",),
        )
        for name, (buckets, total) in self._outbox.time_to_page.histograms().items():
            family.add_metric([name], buckets, total)
        return family

    def _month(self) -> Metric:
        """A summary by its quantiles alone; from the file, so that a restart forgets nothing."""
        family = Metric("cfa_time_to_page_month_seconds", "The same of 30 days, to the first destination", "summary")
        found = self._dispatch.view["time_to_page"]
        for quantile, name in (("0.5", "p50_seconds"), ("0.95", "p95_seconds"), ("1", "most_seconds")):
            if found[name] is not None:
                family.add_sample(family.name, {"quantile": quantile}, found[name])
        return family

    def _destinations(self) -> Iterator[Metric]:
        names = ("destination",)
        broken = GaugeMetricFamily("cfa_destination_broken", "1 while a destination takes no pages", labels=names)
        waits = GaugeMetricFamily("cfa_page_waits_seconds", "How long the oldest refused page has waited", labels=names)
        rows: list[dict[str, Any]] = self._dispatch.view["destinations"]
        for row in rows:
            broken.add_metric([row["name"]], float(row["broken"]))
            waits.add_metric([row["name"]], row["page_waits_seconds"])
        yield from (broken, waits)


def side_metrics(side: Side | None) -> Iterator[Metric]:
    """Which of two engines side by side this is; an engine alone is active."""
    active = GaugeMetricFamily("cfa_active", "1 while this judgement is the one that tells people")
    active.add_metric([], 1.0 if side is None else float(side.active))
    yield active
    if side is None:
        return
    taken = CounterMetricFamily("cfa_takeovers", "Times that this judgement has become the active one")
    taken.add_metric([], side.takeovers)
    yield taken
    if side.lag_seconds is not None:
        lag = GaugeMetricFamily(
            "cfa_follower_lag_seconds", "Seconds since the active judgement's changes were last had"
        )
        lag.add_metric([], side.lag_seconds)
        yield lag


def _heartbeat(heartbeat: Heartbeat | None) -> Iterator[Metric]:
    if heartbeat is None:
        return
    family = CounterMetricFamily("cfa_heartbeats", "Signs of life by outcome", labels=("outcome",))
    for outcome in ("sent", "failed", "withheld"):
        family.add_metric([outcome], heartbeat.outcomes[outcome])
    yield family
    age = heartbeat.age_seconds
    if age is not None:
        gauge = GaugeMetricFamily("cfa_heartbeat_age_seconds", "Seconds since a sign of life was taken")
        gauge.add_metric([], age)
        yield gauge
