"""One HTTP request to a receiver, and how we show who we are (shell)."""

import base64
import ssl
from dataclasses import dataclass

import aiohttp
import pyarrow as pa

from collector.remote_write.config import RemoteWriteConfig
from collector.remote_write.message import HEADERS

_TOLD_MAX = 300
"""Bytes of an error's body that are read for the log."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``status`` None: no answer, for the reason in ``detail``."""

    status: int | None
    detail: str = ""
    retry_after: str | None = None


class Door:
    """A receiver's URL with its credentials. Files are read anew for each request, so that a token can be changed at any time."""

    def __init__(self, config: RemoteWriteConfig) -> None:
        self._config = config
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=config.timeout_seconds),
            connector=aiohttp.TCPConnector(limit=config.shards, ssl=_tls(config) or True),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def post(self, body: bytes) -> Reply:
        """Send one request once. Raises OSError when a credentials file cannot be read."""
        headers = {**HEADERS, "User-Agent": "fivenines", **self._credentials()}
        packed = pa.compress(body, codec="snappy", asbytes=True)  # the block format, as remote write wants it
        try:
            async with self._session.post(
                self._config.url, data=packed, headers=headers, allow_redirects=False
            ) as answer:
                told = b"" if answer.status < 300 else await answer.content.read(_TOLD_MAX)
                return Reply(answer.status, told.decode("utf-8", "replace").strip(), answer.headers.get("Retry-After"))
        except TimeoutError:
            return Reply(None, "no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return Reply(None, str(error) or type(error).__name__)

    def _credentials(self) -> dict[str, str]:
        config = self._config
        if config.bearer_token_file is not None:
            return {"Authorization": f"Bearer {config.bearer_token_file.read_text(encoding='utf-8').strip()}"}
        if config.username is not None and config.password_file is not None:
            password = config.password_file.read_text(encoding="utf-8").rstrip("\r\n")
            shown = base64.b64encode(f"{config.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {shown}"}
        return {}


def _tls(config: RemoteWriteConfig) -> ssl.SSLContext | None:
    if not config.url.startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=None if config.ca_file is None else str(config.ca_file))
    if config.client_certificate_file is not None and config.client_key_file is not None:
        context.load_cert_chain(config.client_certificate_file, config.client_key_file)
    return context
