"""Talks to a collector about its ledger (shell)."""

from pathlib import Path
from typing import Any

import aiohttp
import msgspec

SECONDS = 120.0


class NoCollector(OSError):
    """Nothing listens there."""


class LedgerRefused(OSError):
    """The collector said no; the text is its reason."""


class LedgerClient:
    """One collector."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self._url = url
        self._token_file = token_file

    async def get(self, path: str, parameters: dict[str, str]) -> Any:
        """The JSON of an answer; raises :class:`NoCollector` or :class:`LedgerRefused`."""
        return await self._ask("GET", path, params=parameters)

    async def post(self, path: str, value: dict[str, Any]) -> Any:
        """The same for something to be done."""
        return await self._ask("POST", path, json=value)

    async def _ask(self, method: str, path: str, **what: Any) -> Any:
        headers = {}
        if self._token_file is not None and self._token_file.exists():
            headers["Authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        timeout = aiohttp.ClientTimeout(total=SECONDS, connect=3.0)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.request(method, self._url + path, **what) as answer,
            ):
                body = await answer.read()
        except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
            raise NoCollector(f"no collector at {self._url}; is `fivenines up` running?") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LedgerRefused(f"{self._url}: {error or 'no answer'}") from error
        if answer.status >= 300:
            raise LedgerRefused(f"HTTP {answer.status}: {body[:300].decode(errors='replace')}")
        return msgspec.json.decode(body)
