"""Who may stay connected: not too many, and nobody who sends half a request and then nothing (shell)."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 69\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    b'{"error": "busy", "detail": "too many connections: try again later."}'
)


class _Turned(asyncio.Protocol):
    """A connection too many: one polite sentence, then the end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say it and close."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(_FULL)
        transport.close()


class Doorkeeper:
    """Counts connections and closes those on which no request has been completed for ``patience_seconds``."""

    def __init__(
        self,
        server: web.Server,
        *,
        connections_max: int,
        patience_seconds: float,
        count: Callable[[str], None],
    ) -> None:
        self._server = server
        self._connections_max = connections_max
        self._patience_seconds = patience_seconds
        self._count = count
        self._busy: set[object] = set()
        self._idle_since: dict[object, float] = {}

    def __call__(self) -> asyncio.Protocol:
        """A protocol for a new connection."""
        if len(self._server.connections) >= self._connections_max:
            self._count("too_many")
            return _Turned()
        protocol: asyncio.Protocol = self._server()
        return protocol

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """While a request is being answered its connection is not idle (handlers have their own limits)."""
        self._busy.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._busy.discard(request.protocol)
            self._idle_since.pop(request.protocol, None)

    async def watch(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self.sweep(asyncio.get_running_loop().time())

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long. ``now``: the loop's monotonic time."""
        connections = self._server.connections
        self._idle_since = {c: self._idle_since.get(c, now) for c in connections if c not in self._busy}
        for connection, since in self._idle_since.items():
            if now - since > self._patience_seconds:
                self._count("idle")
                connection.force_close()  # type: ignore[attr-defined]  # keys are aiohttp's handlers
