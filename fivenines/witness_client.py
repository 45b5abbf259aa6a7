"""Asks the store as a customer does, once a question and without retries: what came back, when, and from where (shell)."""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from canary.signature import CONTENT_TYPE, Signer

PATIENCE_SECONDS = 3.0
"""Longer than a router's own patience: what has no answer by then is of unknown outcome."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` 0: no answer came; then ``sent`` says whether the question may have arrived. ``reason``: for people."""

    status: int
    sent: bool
    body: dict[str, Any]
    reason: str
    partition: str | None
    replica: str | None
    at: float
    """When it came (monotonic seconds)."""

    @property
    def error(self) -> str:
        """The short name of the error, or ""."""
        return str(self.body.get("__type", "")).rpartition("#")[2]


class WitnessClient:
    """One customer of the plain HTTP endpoints of the routers."""

    def __init__(self, session: aiohttp.ClientSession, access_key_id: str, secret: str, region: str) -> None:
        self._session = session
        self._signer = Signer(access_key_id, secret, region)

    async def ask(self, url: str, operation: str, parameters: dict[str, Any]) -> Answer:
        """One attempt at one router (``http://address:port``); whatever happens is an answer."""
        body = json.dumps(parameters).encode()
        target = f"DynamoDB_20120810.{operation}"
        date, authorization = self._signer.sign(
            host=url.removeprefix("http://"),
            target=target,
            body_sha256=hashlib.sha256(body).hexdigest(),
            at=time.time(),
        )
        headers = {
            "Content-Type": CONTENT_TYPE,
            "X-Amz-Target": target,
            "X-Amz-Date": date,
            "Authorization": authorization,
        }
        try:
            async with self._session.post(url, data=body, headers=headers) as reply:
                content = await reply.json(content_type=None)
        except aiohttp.ClientConnectorError as error:
            return _nothing(False, error)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return _nothing(True, error)
        found = content if isinstance(content, dict) else {}
        return Answer(
            status=reply.status,
            sent=True,
            body=found,
            reason="" if reply.status == 200 else f"{reply.status} {found.get('message', '')}",
            partition=reply.headers.get("x-partition"),
            replica=reply.headers.get("x-replica"),
            at=time.monotonic(),
        )


def session() -> aiohttp.ClientSession:
    """A session for :class:`WitnessClient`."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=10.0))


def _nothing(sent: bool, error: Exception) -> Answer:
    return Answer(0, sent, {}, str(error) or type(error).__name__, None, None, time.monotonic())
