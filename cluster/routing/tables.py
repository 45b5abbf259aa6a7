"""A router's cache of tables, kept true by MemDS (shell).

A hit also asks MemDS (one message there, one back), so that the load on MemDS is the same whether caches are warm or cold.
"""

import contextlib

from cluster.ports import ErrorKind, StoreError, Table
from cluster.routing.messages import Body, Refused, Routes, RoutesChanged, TableNow, WantTable, WhatRoutes, WhatTable
from cluster.transport import Hub, NoAnswer, Unreachable

ASK_SECONDS = 0.3


class TableCache:
    """``memds``: whom to ask, the own zone's first."""

    def __init__(self, router: str, *, hub: Hub, memds: tuple[str, ...]) -> None:
        self._router, self._hub, self._memds = router, hub, memds
        self._cached: dict[str, Table] = {}

    def told(self, sender: str, body: Body) -> None:  # noqa: ARG002 (any MemDS is as good as another)
        """MemDS answers a hit, or says that the cache is out of date."""
        if isinstance(body, TableNow):
            self.put(body.table, name=body.name)
        elif isinstance(body, RoutesChanged):
            self._cached.clear()

    async def asked(self, sender: str, body: Body, deadline: float) -> Body:  # noqa: ARG002
        """Nobody asks a router."""
        return Refused(ErrorKind.INTERNAL, "routers answer no questions")

    def put(self, table: Table | None, *, name: str | None = None) -> None:
        """What is known of a table now."""
        if table is not None:
            self._cached[table.name] = table
        elif name is not None:
            self._cached.pop(name, None)

    def forget(self, name: str) -> None:
        """Ask again next time."""
        self._cached.pop(name, None)

    async def find(self, name: str) -> Table | None:
        """The table, or None; raises UNAVAILABLE."""
        if (cached := self._cached.get(name)) is not None:
            self._hub.tell(self._router, self._memds[0], WantTable(name))
            return cached
        answer = await self._ask(WhatTable(name))
        if not isinstance(answer, TableNow):
            raise StoreError(ErrorKind.UNAVAILABLE, "no routes are known")
        self.put(answer.table, name=name)
        return answer.table

    async def all(self) -> tuple[Table, ...]:
        """Every table; raises UNAVAILABLE."""
        answer = await self._ask(WhatRoutes(-1))
        if not isinstance(answer, Routes):
            raise StoreError(ErrorKind.UNAVAILABLE, "no routes are known")
        return answer.tables or ()

    async def _ask(self, question: WhatTable | WhatRoutes) -> Body | None:
        for memds in self._memds:
            with contextlib.suppress(Unreachable, NoAnswer):
                answer = await self._hub.ask(self._router, memds, question, timeout_seconds=ASK_SECONDS)
                if not isinstance(answer, Refused):
                    return answer
        return None
