"""The judgement's own ``/metrics``: computed when asked, from what is true then (shell). Names and labels: ``docs/metrics.md``."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cfa.engine import Engine
from cfa.outbox import Outbox

SCOPE_KINDS = ("region", "zone", "endpoint", "zone_endpoint", "operation", "table")
"""Partitions are left out: their number has no bound. The API has them."""
SCOPES_PER_KIND_MOST = 100
_WINDOW_LABELS = ("scope_kind", "scope", "side", "window")
_CELL_LABELS = ("zone", "endpoint", "operation", "connection")


def scope_labels(scope: dict[str, str]) -> tuple[str, str]:
    """``("zone_endpoint", "az1/fips")`` of ``{"zone": "az1", "endpoint": "fips"}``."""
    return "_".join(scope), "/".join(scope.values())


class CfaMetrics(Collector):
    """Give :meth:`refresh` the newest status and counts, then let the registry collect."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox
        self._status: dict[str, Any] = {}
        self._pending: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self._pages: dict[str, int] = {}
        self._refused: dict[str, int] = {}

    def refresh(
        self,
        status: dict[str, Any],
        *,
        pending: dict[str, int],
        open_incidents: dict[str, int],
        pages: dict[str, int],
        refused: dict[str, int],
    ) -> None:
        """What :meth:`collect` will say."""
        self._status, self._pending, self._open, self._pages = status, pending, open_incidents, pages
        self._refused = refused

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not ask the engine when it registers this."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from _windows(self._status.get("availability", []))
        yield from _matrix(self._status.get("matrix", []))
        yield _recused(self._status.get("recused", []))
        yield _gauge("cfa_objective_ratio", "The default objective", {(): self._status.get("objective", 0.0)})
        yield _gauge("cfa_incidents_open", "Open incidents", {(k,): v for k, v in self._open.items()}, ("severity",))
        yield _counter("cfa_pages", "Notices of pages by kind", {(k,): v for k, v in self._pages.items()}, ("event",))
        yield _gauge(
            "cfa_outbox_pending", "Notices not yet taken", {(k,): v for k, v in self._pending.items()}, ("destination",)
        )
        yield _counter("cfa_deliveries", "Delivery attempts", dict(self._outbox.outcomes), ("destination", "outcome"))
        refused = {(reason,): count for reason, count in self._refused.items()}
        yield _counter("cfa_refused", "API requests refused by reason", refused, ("reason",))
        yield from self._feed()

    def _feed(self) -> Iterator[Metric]:
        engine = self._engine
        lag = engine.seconds_since_fed
        if lag is not None:
            yield _gauge("cfa_feed_lag_seconds", "Seconds since the last entry was judged", {(): lag})
        feeds = {(one.url,): float(one.ok) for one in engine.feeds}
        yield _gauge("cfa_feed_of_collector_up", "1 while this collector feeds us", feeds, ("collector",))
        yield _gauge("cfa_feed_up", "1 while the collector feeds us", {(): float(engine.feed_error is None)})
        yield _gauge("cfa_feed_cursor", "The last judged entry", {(): engine.cursor})
        yield _counter("cfa_feed_gaps", "Times that entries were lost to us", {(): engine.gaps})
        yield _counter("cfa_feed_entries", "Entries judged", {(): engine.entries})
        yield _counter("cfa_step_seconds", "Time spent judging entries", {(): engine.step_seconds})
        yield _gauge("cfa_cells_answered", "Cells of the matrix that have answered once", {(): len(engine.answered)})
        yield _gauge("cfa_cells_expected", "Cells that must answer before /ready", {(): engine.config.matrix_cells})
        false_pages = engine.config.false_pages_per_year
        yield _gauge("cfa_false_pages_per_year", "The promise that the threshold comes from", {(): false_pages})


def _gauge(name: str, text: str, values: Mapping[Any, float], labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric([str(part) for part in key], value)
    return family


def _counter(name: str, text: str, values: Mapping[Any, float], labels: tuple[str, ...] = ()) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric([str(part) for part in key], value)
    return family


def _windows(rows: list[dict[str, Any]]) -> Iterator[Metric]:
    families = {
        "good": GaugeMetricFamily("cfa_window_good", "Good attempts within the rolling window", labels=_WINDOW_LABELS),
        "bad": GaugeMetricFamily("cfa_window_bad", "Bad attempts within the rolling window", labels=_WINDOW_LABELS),
        "availability": GaugeMetricFamily("cfa_availability_ratio", "good / valid; absent when nothing was seen", labels=_WINDOW_LABELS),
        "burn_rate": GaugeMetricFamily("cfa_burn_rate", "Budget burned per budget earned", labels=_WINDOW_LABELS),
        "budget_remaining": GaugeMetricFamily("cfa_error_budget_remaining_ratio", "Part of the error budget left", labels=_WINDOW_LABELS),
    }  # fmt: skip
    seen: dict[str, set[str]] = {}
    for row in rows:
        kind, scope = scope_labels(row["scope"])
        scopes = seen.setdefault(kind, set())
        if kind not in SCOPE_KINDS or (scope not in scopes and len(scopes) >= SCOPES_PER_KIND_MOST):
            continue
        scopes.add(scope)
        for window, figures in row["windows"].items():
            for name, family in families.items():
                if figures.get(name) is not None:
                    family.add_metric([kind, scope, row["side"], window], figures[name])
    yield from families.values()


def _matrix(cells: list[dict[str, Any]]) -> Iterator[Metric]:
    names = ("good", "bad", "excluded", "unobserved")
    attempts = GaugeMetricFamily(
        "cfa_matrix_attempts", "Attempts of the last 60 seconds by result", labels=(*_CELL_LABELS, "result")
    )
    ratio = GaugeMetricFamily(
        "cfa_matrix_availability_ratio", "good / valid of the last 60 seconds", labels=_CELL_LABELS
    )
    # A summary by its quantiles alone: only summaries may have that label.
    latency = Metric("cfa_matrix_latency_seconds", "Latency of the last 60 seconds", "summary")
    for cell in cells:
        labels = [str(cell[name]) for name in _CELL_LABELS]
        for name in names:
            attempts.add_metric([*labels, name], cell.get(name, 0))
        if cell.get("availability") is not None:
            ratio.add_metric(labels, cell["availability"])
        for quantile, name in (("0.5", "latency_ms_p50"), ("0.99", "latency_ms_p99")):
            if cell.get(name) is not None:
                where = dict(zip(_CELL_LABELS, labels, strict=True))
                latency.add_sample(latency.name, {**where, "quantile": quantile}, cell[name] / 1000.0)
    yield from (attempts, ratio, latency)


def _recused(hosts: list[dict[str, Any]]) -> Metric:
    values: dict[tuple[Any, ...], float] = {(host["host"], host["zone"]): 1.0 for host in hosts}
    return _gauge("cfa_recused", "1 for a witness that is not believed", values, ("host", "zone"))
