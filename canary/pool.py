"""Connections and addresses that one host keeps, as an SDK would (shell)."""

from canary.connection import HttpConnection
from canary.resolver import Places

Slot = tuple[str, str, int]
"""Endpoint, IP address, port."""

IDLE_SECONDS = 60.0
IDLE_PER_SLOT = 4


class Pool:
    """Idle connections by (endpoint, address), and each endpoint's last good addresses.

    The addresses outlive a name service that is down; that is why pooled probes survive it.
    """

    def __init__(self) -> None:
        self._idle: dict[Slot, list[HttpConnection]] = {}
        self._places: dict[str, Places] = {}

    def places(self, endpoint: str) -> Places | None:
        """The last good addresses, None before the first."""
        return self._places.get(endpoint)

    def learn(self, endpoint: str, places: Places) -> None:
        """Addresses of an endpoint as the name service has them now; connections to others are let go."""
        if self._places.get(endpoint) == places:
            return
        self._places[endpoint] = places
        for slot in [s for s in self._idle if s[0] == endpoint and (s[1], s[2]) not in places]:
            for connection in self._idle.pop(slot):
                connection.abort()

    def take(self, slot: Slot, now: float) -> HttpConnection | None:
        """The connection used last that is still open, None when there is none."""
        idle = self._idle.get(slot)
        while idle:
            connection = idle.pop()
            if connection.usable and now - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    def give(self, slot: Slot, connection: HttpConnection, now: float) -> None:
        """Keep an open connection for the next probe."""
        idle = self._idle.setdefault(slot, [])
        endpoint, ip, port = slot
        if len(idle) >= IDLE_PER_SLOT or (ip, port) not in self._places.get(endpoint, ()):
            connection.abort()
            return
        connection.idle_since = now
        idle.append(connection)

    def close(self) -> None:
        """Close everything."""
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()
