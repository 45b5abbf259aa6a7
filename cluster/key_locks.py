"""Locks by key that exist only while somebody holds or wants them (shell)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class KeyLocks:
    """One holder per key at a time, first come first served."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        """By key that is held: those who want it next."""

    async def hold(self, key: Hashable) -> None:
        """Hold the lock of ``key`` until :meth:`release`; a lock that is free is held without a pause."""
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque()
            return
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release(key)  # it was our turn already
            raise

    def release(self, key: Hashable) -> None:
        """Let the next one hold it."""
        waiting = self._waiting[key]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]

    @asynccontextmanager
    async def held(self, key: Hashable) -> AsyncIterator[None]:
        """Hold the lock of ``key`` within the block."""
        await self.hold(key)
        try:
            yield
        finally:
            self.release(key)

    def __len__(self) -> int:
        """Keys that are held or wanted."""
        return len(self._waiting)
