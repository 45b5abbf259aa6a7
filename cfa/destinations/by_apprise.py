"""Everything else that Apprise knows: Telegram, Teams, Matrix, SMS and a hundred more; an extra (shell).

Apprise is synchronous, so it works in a thread of its own: at most one attempt at a time, and a stuck one delays nobody else.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cfa.destinations.http import secret
from cfa.destinations.port import DeliveryFailed
from cfa.destinations.slack_message import ordered
from cfa.notices import Notice
from cfa.page_text import headline, page_text

REMEDY = "kind: apprise needs the package: pip install 'fivenines[apprise]'"
TYPES = {"trigger": "failure", "update": "warning", "resolve": "success", "ticket": "info"}


class MissingPackage(RuntimeError):
    """An extra that is not installed; the text says how to."""


def library() -> Any:
    """The package; raises :class:`MissingPackage` when it is not installed."""
    try:
        import apprise  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise MissingPackage(REMEDY) from error
    return apprise


class AppriseDestination:
    """One address of Apprise, from a file because it holds the secret."""

    refresh_seconds: float | None = None

    def __init__(self, name: str, url_file: Path, console_url: str) -> None:
        """Raises :class:`MissingPackage` when Apprise is not installed."""
        self.name = name
        self._url_file = url_file
        self._console_url = console_url
        self._library = library()
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs addresses, which are secrets
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cfa-apprise")

    async def send(self, notice: Notice, now: float) -> None:  # noqa: ARG002 -- the port's signature
        """One message; raises ``DeliveryFailed``."""
        await self._notify(headline(notice), page_text(notice, self._console_url), TYPES[notice.notify])

    async def send_together(self, notices: Sequence[Notice], now: float) -> None:  # noqa: ARG002
        """One message about all of them; raises ``DeliveryFailed``."""
        rows = ordered(notices)
        lines = "\n".join(f"{headline(one)}\n  {one.incident.summary}" for one in rows)
        await self._notify(f"{len(rows)} notices", lines, TYPES[rows[0].notify])

    async def _notify(self, title: str, body: str, kind: str) -> None:
        address = secret(self._url_file)
        place = self._library.Apprise()
        if not place.add(address):
            raise DeliveryFailed(f"{self._url_file} does not hold an address that Apprise knows", for_good=True)
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: bool(place.notify(title=title, body=body, notify_type=kind, body_format="text"))
        )
        with contextlib.suppress(TypeError):
            if await work:
                return
        raise DeliveryFailed("Apprise could not deliver it")

    async def close(self) -> None:
        """Lets the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)
