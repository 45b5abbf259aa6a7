"""The console's own metrics (shell)."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest


class ConsoleMetrics:
    """Counters in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry or CollectorRegistry()
        self._requests = Counter(
            "console_requests", "Requests answered, by status.", ["status"], registry=self._registry
        )
        self._refused = Counter("console_refused", "Requests refused, by reason.", ["reason"], registry=self._registry)

    def answered(self, status: int) -> None:
        """Count one answer."""
        self._requests.labels(str(status)).inc()

    def refused(self, reason: str) -> None:
        """Count one refusal; ``reason`` is of a bounded vocabulary."""
        self._refused.labels(reason).inc()

    def page(self) -> tuple[bytes, str]:
        """The metrics page and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
