"""One POST of JSON with a deadline, as webhook and Alertmanager need it (shell)."""

from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from cfa.destinations.port import DeliveryFailed
from cfa.feed import bearer
from cfa.notices import ATTEMPT_DEADLINE_SECONDS


class JsonPoster:
    """A session of its own for one destination: a stuck one holds no connection that another needs."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self._url = url
        self._token_file = token_file
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_DEADLINE_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "fivenines"})

    async def post(self, body: Any, headers: dict[str, str] | None = None) -> None:
        """Posts once; raises :class:`DeliveryFailed` on anything but 2xx."""
        try:
            allheaders = {"Content-Type": "application/json", **bearer(self._token_file), **(headers or {})}
            async with self._session.post(
                self._url, data=msgspec.json.encode(body), headers=allheaders, allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:
                    detail = (await answer.content.read(200)).decode(errors="replace")
                    raise DeliveryFailed(f"HTTP {answer.status} {detail}".strip())
        except TimeoutError as error:
            raise DeliveryFailed(f"no answer within {ATTEMPT_DEADLINE_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryFailed(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()
