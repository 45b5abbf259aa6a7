"""One POST with a deadline and a verified certificate, as every destination over HTTP needs it (shell)."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from cfa.destinations.config import checked_url
from cfa.destinations.port import DeliveryFailed
from cfa.feed import bearer
from cfa.notices import ATTEMPT_DEADLINE_SECONDS

SECRET_BYTES_MOST = 8192
AGAIN = frozenset({408, 425, 429})
"""Client errors that may be gone at the next attempt."""
WAIT_SECONDS_MOST = 300.0


def secret(path: Path) -> str:
    """The content of a secret's file, read anew each time so that it may be rotated; raises :class:`DeliveryFailed`."""
    try:
        with path.open("rb") as file:
            text = file.read(SECRET_BYTES_MOST).decode().strip()
    except (OSError, ValueError) as error:
        raise DeliveryFailed(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if not text:
        raise DeliveryFailed(f"{path} is empty")
    return text


class JsonPoster:
    """A session of its own for one destination: a stuck one holds no connection that another needs."""

    def __init__(self, url: str | Path, token_file: Path | None, ca_file: Path | None = None) -> None:
        """``url``: the address, or the file that holds it where it is a secret; then no error repeats it."""
        self._url = url
        self._token_file = token_file
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_DEADLINE_SECONDS)
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca_file) if ca_file else True)
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            connector=connector,
            headers={"User-Agent": "fivenines"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, body: Any, headers: dict[str, str] | None = None) -> None:
        """Posts JSON once; raises :class:`DeliveryFailed` on anything but 2xx."""
        await self.post_bytes(msgspec.json.encode(body), headers)

    async def post_bytes(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Posts these bytes once, as JSON; raises :class:`DeliveryFailed` on anything but 2xx."""
        url = self._address()
        try:
            allheaders = {"Content-Type": "application/json", **bearer(self._token_file), **(headers or {})}
            async with self._session.post(url, data=body, headers=allheaders, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    raise await _refusal(answer)
        except TimeoutError as error:
            raise DeliveryFailed(f"no answer within {ATTEMPT_DEADLINE_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryFailed(self._told(error)) from None

    def _address(self) -> str:
        if isinstance(self._url, str):
            return self._url
        try:
            return checked_url(secret(self._url))
        except ValueError:
            raise DeliveryFailed(f"{self._url} does not hold an http:// or https:// address") from None

    def _told(self, error: Exception) -> str:
        """The error's text, or only its kind where the text could hold a secret address."""
        if isinstance(self._url, str):
            return str(error) or type(error).__name__
        host = getattr(error, "host", None)
        return f"{type(error).__name__} ({host})" if host else type(error).__name__

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


async def _refusal(answer: aiohttp.ClientResponse) -> DeliveryFailed:
    detail = (await answer.content.read(200)).decode(errors="replace")
    try:
        wait = min(WAIT_SECONDS_MOST, max(0.0, float(answer.headers.get("Retry-After", "0"))))
    except ValueError:
        wait = 0.0
    for_good = 300 <= answer.status < 500 and answer.status not in AGAIN
    return DeliveryFailed(f"HTTP {answer.status} {detail}".strip(), wait_seconds=wait, for_good=for_good)
