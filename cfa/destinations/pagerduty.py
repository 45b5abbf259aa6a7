"""PagerDuty, by its Events API v2 (shell). 429 and 5xx are tried again, a refused event (400) only after a change."""

from pathlib import Path

from cfa.destinations.config import PAGERDUTY_URL
from cfa.destinations.http import JsonPoster, secret
from cfa.destinations.pagerduty_event import event
from cfa.notices import Notice


class PagerDutyDestination:
    """One event for each notice; the integration key comes from a file."""

    refresh_seconds: float | None = None

    def __init__(
        self, name: str, routing_key_file: Path, console_url: str, url: str = "", ca_file: Path | None = None
    ) -> None:
        self.name = name
        self._key_file = routing_key_file
        self._console_url = console_url
        self._poster = JsonPoster(url or PAGERDUTY_URL, None, ca_file)

    async def send(self, notice: Notice, now: float) -> None:  # noqa: ARG002 -- the port's signature
        """One event; raises ``DeliveryFailed``."""
        await self._poster.post(event(notice, self._console_url, secret(self._key_file)))

    async def close(self) -> None:
        """Closes the connections."""
        await self._poster.close()
