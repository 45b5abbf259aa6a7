"""Writing a restored table through the store's own API (shell)."""

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import aiohttp

from canary.signature import CONTENT_TYPE, Signer
from cluster.archive.restore import Restored
from cluster.ports import Item, Table

BATCH_ITEMS = 25
BATCH_BYTES = 4 * 1024 * 1024
IN_FLIGHT = 8
ATTEMPTS = 20
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.05, 2.0
ACTIVE_SECONDS = 60.0
_AGAIN = ("ProvisionedThroughputExceeded", "Throttling", "RequestLimitExceeded")


class RestoreFailed(Exception):
    """The store refused; the text says what, and what has been written by then."""


def instant_of(text: str) -> float | None:
    """``latest`` (None) or a UTC time like ``2026-11-24T12:00:00Z`` in epoch seconds; raises ValueError with an example."""
    if text == "latest":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"'{text}' is not a time; write it like 2026-11-24T12:00:00Z, or latest")
    return moment.timestamp()


class StoreWriter:
    """Talks DynamoDB's API to one endpoint, and has the patience of somebody who restores."""

    def __init__(self, endpoint: str, session: aiohttp.ClientSession, signer: Signer) -> None:
        self._url, self._session, self._signer = endpoint.rstrip("/"), session, signer

    async def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One operation, tried again while the store is busy or away; raises :class:`RestoreFailed`."""
        body = json.dumps(parameters).encode()
        pause = PAUSE_SECONDS
        for _ in range(ATTEMPTS):
            status, answer = await self._attempt(operation, body)
            if status == 200:
                return answer
            kind = str(answer.get("__type", "")).rpartition("#")[2]
            if status < 500 and not kind.startswith(_AGAIN):
                raise RestoreFailed(f"{operation}: {kind} {answer.get('message', '')}".strip())
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
        raise RestoreFailed(f"{operation}: the store at {self._url} did not take it in {ATTEMPTS} attempts")

    async def _attempt(self, operation: str, body: bytes) -> tuple[int, dict[str, Any]]:
        target = f"DynamoDB_20120810.{operation}"
        host = self._url.partition("://")[2]
        date, authorization = self._signer.sign(
            host=host, target=target, body_sha256=hashlib.sha256(body).hexdigest(), at=time.time()
        )
        headers = {
            "Content-Type": CONTENT_TYPE,
            "X-Amz-Target": target,
            "X-Amz-Date": date,
            "Authorization": authorization,
        }
        try:
            async with self._session.post(f"{self._url}/", data=body, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 503, {}

    async def create(self, table: Table, name: str) -> None:
        """Create ``name`` as ``table`` is defined, and wait until it can be used."""
        keys = [table.hash_key, *([table.range_key] if table.range_key else [])]
        wanted: dict[str, Any] = {
            "TableName": name,
            "AttributeDefinitions": [{"AttributeName": key.name, "AttributeType": key.type} for key in keys],
            "KeySchema": [
                {"AttributeName": key.name, "KeyType": role} for key, role in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            "BillingMode": table.billing_mode,
        }
        if table.billing_mode == "PROVISIONED":
            units = {"ReadCapacityUnits": table.read_units, "WriteCapacityUnits": table.write_units}
            wanted["ProvisionedThroughput"] = units
        await self.call("CreateTable", wanted)
        give_up_at = time.monotonic() + ACTIVE_SECONDS
        while True:
            described = (await self.call("DescribeTable", {"TableName": name}))["Table"]
            if described["TableStatus"] == "ACTIVE":
                return
            if time.monotonic() > give_up_at:
                raise RestoreFailed(f"{name} is still {described['TableStatus']} after {ACTIVE_SECONDS:.0f} s")
            await asyncio.sleep(0.2)

    async def write(self, name: str, items: Sequence[Item], progress: Callable[[int], None]) -> int:
        """Write all items, several batches at a time; how many."""
        gate, written = asyncio.Semaphore(IN_FLIGHT), 0

        async def one(batch: list[Item]) -> None:
            nonlocal written
            async with gate:
                await self._write_batch(name, batch)
            written += len(batch)
            progress(written)

        async with asyncio.TaskGroup() as group:
            for batch in batches(items):
                group.create_task(one(batch))
        return written

    async def _write_batch(self, name: str, batch: list[Item]) -> None:
        waiting: Any = [{"PutRequest": {"Item": item}} for item in batch]
        pause = PAUSE_SECONDS
        for _ in range(ATTEMPTS):
            answer = await self.call("BatchWriteItem", {"RequestItems": {name: waiting}})
            waiting = answer.get("UnprocessedItems", {}).get(name)
            if not waiting:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
        raise RestoreFailed(f"{len(waiting)} items were not taken in {ATTEMPTS} attempts")


def batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    """``items`` in the portions that BatchWriteItem takes."""
    batch: list[Item] = []
    size = 0
    for item in items:
        weight = len(json.dumps(item))
        if batch and (len(batch) == BATCH_ITEMS or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if batch:
        yield batch


async def write_table(
    restored: Restored, name: str, *, endpoint: str, signer: Signer, progress: Callable[[int], None]
) -> int:
    """Create ``name`` at ``endpoint`` and write everything; how many items. Raises :class:`RestoreFailed`."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        writer = StoreWriter(endpoint, session, signer)
        await writer.create(restored.table, name)
        try:
            return await writer.write(name, restored.items(), progress)
        except BaseExceptionGroup as group:
            raise next(iter(_leaves(group))) from group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    return itertools.chain.from_iterable(
        _leaves(error) if isinstance(error, BaseExceptionGroup) else [error] for error in group.exceptions
    )
