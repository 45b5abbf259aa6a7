"""The counters' feed and names of a collector over HTTP (shell)."""

import asyncio
import json
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from cfa.feed import bearer
from cfa.ports import FeedGap, FeedUnavailable
from collector.column_batch import Frame, FrameError, Increments, Told, decode, decode_told

ANSWER_SECONDS = 30.0
ANSWER_BYTES_MOST = 256 * 1024 * 1024
PAGE = 65_536

Entry = tuple[Told, tuple[Increments, ...]]


class CountersSource:
    """A session with one collector."""

    def __init__(self, url: str, token_file: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._url, self._token_file = url.rstrip("/"), token_file
        connector = aiohttp.TCPConnector(ssl=tls or True)
        self._session = aiohttp.ClientSession(connector=connector, read_bufsize=1 << 20)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def read(self, after: int, wait_seconds: float) -> list[Entry]:
        """Entries after the cursor; raises :class:`FeedUnavailable` or :class:`FeedGap`."""
        status, body = await self._get(f"/v1/counters/feed?after={after}&wait={wait_seconds:g}", wait_seconds)
        if status == 410:
            raise FeedGap(int(json.loads(body)["oldest"]))
        try:
            return list(await asyncio.to_thread(lambda: list(decode_told(body)))) if status == 200 else []
        except FrameError as error:
            raise FeedUnavailable(f"not a feed of counters: {error}") from error

    async def series(self, first: int) -> Frame | None:
        """A page of names from the series ``first`` on; None when there are none yet."""
        status, body = await self._get(f"/v1/counters/series?first={first}&limit={PAGE}", 0.0)
        try:
            return await asyncio.to_thread(decode, body) if status == 200 and body else None
        except FrameError as error:
            raise FeedUnavailable(f"not a page of series: {error}") from error

    async def _get(self, path: str, wait_seconds: float) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=wait_seconds + ANSWER_SECONDS, connect=2.0)
        try:
            headers = bearer(self._token_file)
            async with self._session.get(self._url + path, headers=headers, timeout=timeout) as answer:
                body = await answer.content.read(1) if answer.status == 204 else await _limited(answer)
        except TimeoutError as error:
            raise FeedUnavailable(f"{path.partition('?')[0]}: no answer") from error
        except (aiohttp.ClientError, OSError) as error:
            raise FeedUnavailable(str(error) or type(error).__name__) from error
        if answer.status not in (200, 204, 410):
            raise FeedUnavailable(
                f"{path.partition('?')[0]}: HTTP {answer.status} {body[:200].decode(errors='replace')}"
            )
        return answer.status, body


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > ANSWER_BYTES_MOST:
            raise FeedUnavailable(f"the answer is larger than {ANSWER_BYTES_MOST} bytes")
    return bytes(body)
