"""The collector's feed and ledger over HTTP (shell)."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from cfa.ports import FeedGap, FeedUnavailable
from collector.series import FeedEntry
from collector.totals import Totals
from collector.wire import UnobservedRow, WireError, decode_feed

ANSWER_SECONDS = 5.0
"""How long an answer may take beyond the wait that was asked for."""
LEDGER_SECONDS = 120.0
ANSWER_BYTES_MOST = 256 * 1024 * 1024

T = TypeVar("T")


def bearer(token_file: Path | None) -> dict[str, str]:
    """The ``Authorization`` header of a token file, read anew each time so that a token may be rotated.

    Raises ``OSError`` when the file cannot be read.
    """
    if token_file is None:
        return {}
    return {"Authorization": f"Bearer {token_file.read_text().strip()}"}


class CollectorClient:
    """A session with one collector; close it when done."""

    def __init__(self, url: str, token_file: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        """``tls``: for https addresses; none: the machine's own authorities, and no certificate of ours."""
        self._url = url.rstrip("/")
        self._token_file = token_file
        connector = aiohttp.TCPConnector(ssl=tls or True)
        self._session = aiohttp.ClientSession(connector=connector, read_bufsize=1 << 20)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
        """``GET /v1/feed``; raises :class:`FeedUnavailable` or :class:`FeedGap`."""
        query = {"after": str(after), "limit": str(limit), "wait": f"{wait_seconds:g}"}
        status, body = await self._get("/v1/feed", query, wait_seconds + ANSWER_SECONDS)
        if status == 410:
            raise FeedGap(_oldest(body))
        return decode_feed_or_unavailable(status, body)

    async def totals(self, kind: str, start: float, end: float) -> Totals:
        """``GET /v1/totals``: sums of the intervals that begin in ``[start, end)``; raises :class:`FeedUnavailable`."""
        query = {"kind": kind, "start": f"{start:.0f}", "end": f"{end:.0f}"}
        return await self._ledger("/v1/totals", query, Totals.decode)

    async def unobserved(self, start: float, end: float) -> list[UnobservedRow]:
        """``GET /v1/unobserved``: what was not asked or not believable; raises :class:`FeedUnavailable`."""
        query = {"start": f"{start:.0f}", "end": f"{end:.0f}"}
        return await self._ledger("/v1/unobserved", query, _decode_unobserved)

    async def _ledger(self, path: str, query: dict[str, str], decode: Callable[[bytes], T]) -> T:
        status, body = await self._get(path, query, LEDGER_SECONDS)
        _expect_ok(status, body)
        try:
            return await asyncio.to_thread(decode, body)
        except (WireError, msgspec.DecodeError, ValueError) as error:
            raise FeedUnavailable(f"{path} is not what the contract says: {error}") from error

    async def _get(self, path: str, query: dict[str, str], deadline_seconds: float) -> tuple[int, bytes]:
        try:
            headers = bearer(self._token_file)
            timeout = aiohttp.ClientTimeout(total=deadline_seconds, connect=2.0)
            async with self._session.get(self._url + path, params=query, headers=headers, timeout=timeout) as answer:
                return answer.status, await _limited(answer)
        except TimeoutError as error:
            raise FeedUnavailable(f"no answer within {deadline_seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise FeedUnavailable(str(error) or type(error).__name__) from error


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MOST:
            raise FeedUnavailable(f"the answer is larger than {ANSWER_BYTES_MOST} bytes")
    return bytes(body)


def _expect_ok(status: int, body: bytes) -> None:
    if status != 200:
        raise FeedUnavailable(f"HTTP {status}: {body[:200].decode(errors='replace')}")


def decode_feed_or_unavailable(status: int, body: bytes) -> list[FeedEntry]:
    """The entries of an answer; raises :class:`FeedUnavailable` when it is not one."""
    _expect_ok(status, body)
    try:
        return decode_feed(body)
    except WireError as error:
        raise FeedUnavailable(f"not a feed: {error}") from error


def _decode_unobserved(body: bytes) -> list[UnobservedRow]:
    return msgspec.json.decode(body, type=list[UnobservedRow])


def _oldest(body: bytes) -> int:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return int(json.loads(body)["oldest"])
    raise FeedUnavailable("410 without the oldest cursor")
