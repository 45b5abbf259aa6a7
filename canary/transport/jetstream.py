"""Batches into a NATS JetStream: acknowledged when the server has stored them (shell).

The message id is the batch's identity, so that the server drops a second offer within its window; after it the
collector's ledger does. Needs the extra ``nats``.
"""

import asyncio
import logging
import zlib
from typing import TYPE_CHECKING

from canary.backlog import Bound
from canary.transport.config import JetStreamConfig
from canary.transport.port import Answer

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.client import JetStreamContext

logger = logging.getLogger("canary")

CONNECT_TIMEOUT_SECONDS = 1.0
ACK_TIMEOUT_SECONDS = 3.0
RECONNECT_SECONDS = 0.2


def subject_of(host: str, shards: int) -> str:
    """The subject of a host's batches: always the same, so that one collector sees all of its numbering."""
    return f"fivenines.batches.{zlib.crc32(host.encode()) % shards}"


class JetStreamTransport:
    """The stream, as one lane. The connection is made with the first offer and kept up by the client."""

    def __init__(self, config: JetStreamConfig) -> None:
        self.name = f"jetstream:{config.stream}"
        self._config = config
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None

    async def offer(self, bound: Bound) -> Answer:
        """Publish it; only the server's acknowledgement counts."""
        from nats.errors import Error, MaxPayloadError, NoRespondersError  # noqa: PLC0415 - an extra
        from nats.js.errors import APIError, NoStreamResponseError  # noqa: PLC0415

        batch = bound.batch
        try:
            stream = await self._connected()
        except (Error, OSError) as error:
            logger.debug("%s: %r", self.name, error)
            return Answer.NOT_TAKEN
        identity = {"Nats-Msg-Id": f"{batch.host}/{batch.boot}/{batch.sequence}"}
        subject = subject_of(batch.host, self._config.shards)
        try:
            await stream.publish(subject, bound.body, timeout=ACK_TIMEOUT_SECONDS, headers=identity)
        except MaxPayloadError:
            logger.exception("%s: the server's max_payload is below %d bytes", self.name, len(bound.body))
            return Answer.REFUSED
        except (NoStreamResponseError, NoRespondersError, APIError) as error:
            logger.warning("%s took nothing: %r (is there a collector that has made the stream?)", self.name, error)
            return Answer.NOT_TAKEN
        except (Error, OSError) as error:
            logger.debug("%s: %r", self.name, error)
            return Answer.IN_DOUBT
        return Answer.TAKEN

    async def probe(self) -> bool:
        """Whether there is a server."""
        from nats.errors import Error  # noqa: PLC0415

        try:
            await self._connected()
        except (Error, OSError):
            return False
        return True

    async def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _connected(self) -> "JetStreamContext":
        """The stream's context; raises when there is no connection now, so that nothing is left in the client's own buffer."""
        import nats  # noqa: PLC0415
        from nats.errors import ConnectionClosedError  # noqa: PLC0415

        if self._client is None or self._client.is_closed:
            token = self._config.token_file.read_text(encoding="utf-8").strip() if self._config.token_file else None
            async with asyncio.timeout(2 * CONNECT_TIMEOUT_SECONDS):
                self._client = await nats.connect(
                    list(self._config.servers),
                    token=token,
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    reconnect_time_wait=RECONNECT_SECONDS,
                    max_reconnect_attempts=-1,
                    error_cb=self._note,
                )
            self._stream = self._client.jetstream()
        if not self._client.is_connected or self._stream is None:
            raise ConnectionClosedError
        return self._stream

    async def _note(self, error: Exception) -> None:
        logger.debug("%s: %r", self.name, error)
