"""The archive in memory, for tests and the simulation: it can stall, be slow, and rot, and always does so in the same way (shell)."""

import asyncio

from cluster.archive.store import LIST_KEYS, ArchiveUnavailable


class MemoryStore:
    """Objects in a dict. ``stalled`` refuses everything; ``delay_seconds`` is slept (virtually, in the simulation) by every call."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.stalled = False
        self.delay_seconds = 0.0

    async def _turn(self) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.stalled:
            raise ArchiveUnavailable("the archive is stalled")

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """See :class:`cluster.archive.store.ObjectStore`."""
        await self._turn()
        if key in self.objects:
            return False
        self.objects[key] = data
        return True

    async def get(self, key: str) -> bytes | None:
        """See :class:`cluster.archive.store.ObjectStore`."""
        await self._turn()
        return self.objects.get(key)

    async def list(self, prefix: str, after: str = "") -> tuple[str, ...]:
        """See :class:`cluster.archive.store.ObjectStore`."""
        await self._turn()
        return tuple(sorted(key for key in self.objects if key.startswith(prefix) and key > after)[:LIST_KEYS])

    async def delete(self, key: str) -> None:
        """See :class:`cluster.archive.store.ObjectStore`."""
        await self._turn()
        self.objects.pop(key, None)

    def rot(self, key: str) -> None:
        """Flip a byte in the middle of an object, as storage does that keeps no promise."""
        data = bytearray(self.objects[key])
        data[len(data) // 2] ^= 0xFF
        self.objects[key] = bytes(data)
