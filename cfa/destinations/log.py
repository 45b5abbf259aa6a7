"""The destination that always exists: the page's text, appended to a file and written to the process's log (shell)."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cfa.destinations.port import DeliveryFailed
from cfa.notices import LOG, Notice
from cfa.page_text import headline, page_text

logger = logging.getLogger("cfa.pages")

TAIL_BYTES = 256 * 1024
"""How far back a repeated delivery looks for itself."""


class LogDestination:
    """Appends to ``path``. A notice whose delivery was cut short by a crash is found in the file and not written twice.

    The thread is its own: name lookups of other destinations may hold every thread of the loop's default executor.
    """

    refresh_seconds: float | None = None

    def __init__(self, path: Path, console_url: str, name: str = LOG) -> None:
        self.name = name
        self._path = path
        self._console_url = console_url
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cfa-pages")

    async def send(self, notice: Notice, now: float) -> None:  # noqa: ARG002 -- the port's signature
        """Appends the page; raises :class:`DeliveryFailed` when the file cannot be written."""
        text = page_text(notice, self._console_url)
        try:
            loop = asyncio.get_running_loop()
            written = await loop.run_in_executor(self._thread, _append_once, self._path, headline(notice), text)
        except OSError as error:
            raise DeliveryFailed(f"{self._path}: {error.strerror or error}") from error
        if written:
            logger.warning("%s", text)

    async def close(self) -> None:
        """Lets the thread go; no file is held open between pages."""
        self._thread.shutdown(wait=False)


def _append_once(path: Path, first_line: str, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - TAIL_BYTES))
        if (first_line + "\n").encode() in file.read():
            return False
        file.write((text + "\n\n").encode())
    return True
