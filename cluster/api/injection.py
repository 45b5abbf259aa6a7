"""What the front asks of the installed faults (shell: a healthy store asks the machine's clock). The zone process answers; :class:`NoFaults` is a healthy store."""

import time
from typing import Protocol


class FrontFaults(Protocol):
    """The faults that show at a router."""

    def error_for(self, router: str, endpoint: str, operation: str, table: str | None) -> int | None:
        """The HTTP status to answer instead of serving; ``operation``: read or write."""
        ...

    def version_of(self, router: str) -> str | None:
        """The version that a bad deployment has brought to this router; None: its own."""
        ...

    def tls_problem(self, endpoint: str) -> str | None:
        """``expired`` or ``unknown_ca``: the certificate to show for this endpoint."""
        ...

    def metrics_muted(self, component: str) -> bool:
        """Whether the component's metrics page does not answer."""
        ...

    def wall_clock(self, component: str) -> float:
        """UTC epoch seconds as the component believes."""
        ...


class NoFaults:
    """Nothing is broken."""

    def error_for(self, _router: str, _endpoint: str, _operation: str, _table: str | None, /) -> int | None:
        """Nothing to answer."""
        return None

    def version_of(self, _router: str, /) -> str | None:
        """Its own."""
        return None

    def tls_problem(self, _endpoint: str, /) -> str | None:
        """The good certificate."""
        return None

    def metrics_muted(self, _component: str, /) -> bool:
        """Metrics answer."""
        return False

    def wall_clock(self, _component: str, /) -> float:
        """The machine's clock."""
        return time.time()
