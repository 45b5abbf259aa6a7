"""Any HTTP receiver of Alertmanager's webhook body, version "4" (shell)."""

from pathlib import Path

from cfa.destinations.alert import webhook_body
from cfa.destinations.http import JsonPoster
from cfa.notices import Notice


class WebhookDestination:
    """Posts each notice once; ``Idempotency-Key`` lets the receiver drop a delivery repeated after a crash."""

    refresh_seconds: float | None = None

    def __init__(self, name: str, url: str, console_url: str, token_file: Path | None = None) -> None:
        self.name = name
        self._console_url = console_url
        self._poster = JsonPoster(url, token_file)

    async def send(self, notice: Notice, now: float) -> None:  # noqa: ARG002 -- the port's signature
        """One POST; raises ``DeliveryFailed``."""
        await self._poster.post(webhook_body(notice, self._console_url), {"Idempotency-Key": notice.key})

    async def close(self) -> None:
        """Closes the connections."""
        await self._poster.close()
