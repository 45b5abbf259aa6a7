"""Prometheus' Alertmanager, API v2: grouping, routing and silencing as people already have it (shell)."""

from pathlib import Path

from cfa.destinations.alert import alert
from cfa.destinations.http import JsonPoster
from cfa.notices import Notice

RESEND_SECONDS = 60.0
"""Prometheus sends a firing alert every minute; so do we."""
ENDS_AHEAD_SECONDS = 4 * RESEND_SECONDS
"""If we fall silent, the alert ends by itself after four missed sends, as Prometheus' does."""


class AlertmanagerDestination:
    """Posts to ``URL/api/v2/alerts``; one URL each for every member of a cluster."""

    refresh_seconds: float | None = RESEND_SECONDS

    def __init__(
        self, name: str, url: str, console_url: str, token_file: Path | None = None, ca_file: Path | None = None
    ) -> None:
        self.name = name
        self._console_url = console_url
        base = url.rstrip("/").removesuffix("/api/v2/alerts")
        self._poster = JsonPoster(f"{base}/api/v2/alerts", token_file, ca_file)

    async def send(self, notice: Notice, now: float) -> None:
        """One POST: a resolve ends the alert now, anything else keeps it alive; raises ``DeliveryFailed``."""
        ends_at = now if notice.notify == "resolve" else now + ENDS_AHEAD_SECONDS
        await self._poster.post([alert(notice, self._console_url, ends_at)])

    async def close(self) -> None:
        """Closes the connections."""
        await self._poster.close()
