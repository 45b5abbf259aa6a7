"""Takes batches from a NATS JetStream: acknowledged there only when they are durable here (shell).

The stream is a work queue: a message goes when it is acknowledged, and the server lets no second consumer have the same
shard, so that no two ledgers hold the same batch. What is delivered again after a crash of either side, the ledger
recognises by its number. Needs the extra ``nats``.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from collector.ask import SUBJECT, Asks
from collector.ingest import LATE_SECONDS, Duplicate, RefusedError
from collector.metrics import Metrics
from collector.submission import Answer
from collector.transport.admission import admit
from collector.transport.config import JetStreamIntakeConfig
from collector.wire import Batch
from collector.writer import BusyError, StorageUnavailableError, Writer

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext

logger = logging.getLogger("collector")

FETCH_MESSAGES = 64
FETCH_SECONDS = 2.0
ACK_WAIT_SECONDS = 30.0
AGAIN_SECONDS = 1.0
DUPLICATE_WINDOW_SECONDS = 600.0
RECONNECT_SECONDS = 0.2
ASKS_WAITING_MAX = 64


class JetStreamIntake:
    """One task for each shard of ours; a server that is away is waited for. Raises ``ValueError`` without the extra ``nats``."""

    def __init__(
        self,
        config: JetStreamIntakeConfig,
        writer: Writer,
        metrics: Metrics,
        *,
        data_dir: Path,
        late_seconds: float = LATE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if find_spec("nats") is None:
            raise ValueError("collector.jetstream needs the extra nats: pip install 'fivenines[nats]'")
        self._config = config
        self._writer = writer
        self._metrics = metrics
        self._late_seconds = late_seconds
        self._clock = clock
        self._name = f"ledger-{identity(data_dir)}"
        self._complained = ""
        self._asks: asyncio.Queue[Asks] = asyncio.Queue(ASKS_WAITING_MAX)

    def ask(self, asks: Asks) -> None:
        """Have canaries told what they should look at; while the server is away, nobody is."""
        with contextlib.suppress(asyncio.QueueFull):
            self._asks.put_nowait(asks)

    async def run(self) -> None:
        """Until cancelled."""
        client = await self._connect()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell(client))
                for shard in self._config.mine:
                    group.create_task(self._consume(client.jetstream(), shard))
        finally:
            await client.close()

    async def _tell(self, client: "Client") -> None:
        from nats.errors import Error  # noqa: PLC0415 - an extra

        while True:
            asks = await self._asks.get()
            if client.is_connected:
                try:
                    await client.publish(SUBJECT, msgspec.json.encode(asks))
                except (Error, OSError) as error:
                    logger.debug("asks not published: %r", error)

    async def _connect(self) -> "Client":
        import nats  # noqa: PLC0415 - an extra
        from nats.errors import Error  # noqa: PLC0415

        token = self._config.token_file.read_text(encoding="utf-8").strip() if self._config.token_file else None
        while True:
            try:
                return await nats.connect(
                    list(self._config.servers),
                    token=token,
                    connect_timeout=2,
                    reconnect_time_wait=RECONNECT_SECONDS,
                    max_reconnect_attempts=-1,
                    allow_reconnect=True,
                    error_cb=self._note,
                )
            except (Error, OSError) as error:
                self._complain(f"no NATS server at {', '.join(self._config.servers)}: {error!r}")
                await asyncio.sleep(AGAIN_SECONDS)

    async def _note(self, error: Exception) -> None:
        logger.debug("NATS: %r", error)

    def _complain(self, text: str) -> None:
        """Once, until something else is wrong."""
        if text != self._complained:
            logger.warning("%s", text)
        self._complained = text

    async def _consume(self, stream: "JetStreamContext", shard: int) -> None:
        from nats.errors import Error  # noqa: PLC0415

        while True:
            try:
                await self._make_stream(stream)
                await self._fetch_all(stream, shard)
            except (Error, OSError) as error:
                self._complain(f"shard {shard} of {self._config.stream}: {error!r}")
                await asyncio.sleep(AGAIN_SECONDS)

    async def _make_stream(self, stream: "JetStreamContext") -> None:
        from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig  # noqa: PLC0415
        from nats.js.errors import NotFoundError  # noqa: PLC0415

        with contextlib.suppress(NotFoundError):
            await stream.stream_info(self._config.stream)
            return
        await stream.add_stream(
            StreamConfig(
                name=self._config.stream,
                subjects=["fivenines.batches.*"],
                retention=RetentionPolicy.WORK_QUEUE,
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                max_bytes=self._config.max_bytes,
                num_replicas=self._config.replicas,
                duplicate_window=DUPLICATE_WINDOW_SECONDS,
            )
        )

    async def _fetch_all(self, stream: "JetStreamContext", shard: int) -> None:
        """Until something fails."""
        from nats.errors import TimeoutError as Nothing  # noqa: PLC0415
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy  # noqa: PLC0415

        subscription = await stream.pull_subscribe(
            f"fivenines.batches.{shard}",
            durable=f"{self._name}-{shard}",
            stream=self._config.stream,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_SECONDS,
                max_ack_pending=16 * FETCH_MESSAGES,
            ),
        )
        try:
            while True:
                try:
                    messages = await subscription.fetch(FETCH_MESSAGES, timeout=FETCH_SECONDS)
                except Nothing:
                    await subscription.consumer_info()  # raises when server, stream or consumer are gone
                    continue
                self._complained = ""
                await asyncio.gather(*map(self._take, messages))
        finally:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()

    async def _take(self, message: "Msg") -> None:
        """One message: durable first, then acknowledged."""
        try:
            admitted = admit(message.data, at=self._clock(), late_seconds=self._late_seconds)
        except RefusedError as refused:
            logger.error("a message of the stream is no batch and is lost: %s", refused)  # noqa: TRY400
            self._metrics.refuse(refused.reason)
            await message.term()
            return
        try:
            answer = await self._writer.submit(admitted.batch, size=len(message.data))
        except (BusyError, StorageUnavailableError):
            await message.nak(AGAIN_SECONDS)
            return
        if admitted.refused is not None and not isinstance(answer, Duplicate):
            self._metrics.refuse(admitted.refused)
        else:
            self._count(admitted.batch, answer)
        await message.ack()

    def _count(self, batch: Batch, answer: Answer) -> None:
        if isinstance(answer, RefusedError):
            logger.error("a batch of %s is lost: %s", batch.host, answer)
            self._metrics.refuse(answer.reason)
        elif isinstance(answer, Duplicate):
            self._metrics.batches.labels("duplicate").inc()
        else:
            self._metrics.batches.labels("accepted").inc()
            self._metrics.readings.inc(len(batch.readings))


def identity(data_dir: Path) -> str:
    """The ledger's own name, drawn once: another ledger must not go on where this one has stopped."""
    path = data_dir / "identity"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(6) + "\n", encoding="ascii")
    return path.read_text(encoding="ascii").strip()
