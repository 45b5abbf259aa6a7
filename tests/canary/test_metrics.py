"""What is counted with every probe is shown to Prometheus as its own client would show it."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from canary.metrics import Metrics
from canary.plan import Cell
from canary.tally import bucket_of
from collector.observation import Connection, Level, OperationClass, Outcome

CELL = Cell(0, "standard", OperationClass.WRITE, Connection.POOLED)


def test_attempts_calls_and_times_have_their_names_labels_and_cumulative_buckets() -> None:
    """Counts by outcome, a histogram of good attempts only, calls apart, lateness of all."""
    metrics = Metrics(CollectorRegistry())
    figures = metrics.figures(CELL)
    for milliseconds in (0.5, 3.0, 9999.0):
        figures.success(bucket_of(milliseconds), milliseconds / 1000)
    figures.failure(Outcome.TIMEOUT)
    metrics.figures(CELL, Level.CALL).failure(Outcome.TIMEOUT)
    metrics.started(0.0015)
    page = generate_latest(metrics.registry).decode()
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    cell = ("pooled", "standard", "write")
    assert found["canary_probe_attempts_total", *sorted((*cell, "success"))] == 3
    assert found["canary_probe_attempts_total", *sorted((*cell, "timeout"))] == 1
    assert found["canary_probe_duration_seconds_bucket", *sorted((*cell, "0.001"))] == 1
    assert found["canary_probe_duration_seconds_bucket", *sorted((*cell, "0.005"))] == 2
    assert found["canary_probe_duration_seconds_bucket", *sorted((*cell, "+Inf"))] == 3
    assert found["canary_probe_duration_seconds_count", *cell] == 3
    assert found["canary_sdk_calls_total", "standard", "timeout", "write"] == 1
    assert found["canary_probe_lateness_seconds_bucket", "0.001"] == 0
    assert found["canary_probe_lateness_seconds_bucket", "0.002"] == 1
