"""Slack, by an incoming webhook, whose address is a secret and comes from a file (shell)."""

from collections.abc import Sequence
from pathlib import Path

from cfa.destinations.http import JsonPoster
from cfa.destinations.slack_message import message, together
from cfa.notices import Notice


class SlackDestination:
    """One message for each notice, or one for several."""

    refresh_seconds: float | None = None

    def __init__(self, name: str, url_file: Path, console_url: str, ca_file: Path | None = None) -> None:
        self.name = name
        self._console_url = console_url
        self._poster = JsonPoster(url_file, None, ca_file)

    async def send(self, notice: Notice, now: float) -> None:  # noqa: ARG002 -- the port's signature
        """One message; raises ``DeliveryFailed``."""
        await self._poster.post(message(notice, self._console_url))

    async def send_together(self, notices: Sequence[Notice], now: float) -> None:  # noqa: ARG002
        """One message about all of them; raises ``DeliveryFailed``."""
        await self._poster.post(together(notices, self._console_url))

    async def close(self) -> None:
        """Closes the connections."""
        await self._poster.close()
