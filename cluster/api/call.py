"""One request on its way through an operation: what it may use, and what it leaves behind for headers and metrics (pure)."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from cluster.errors import ApiError
from cluster.ports import Store, Table, Via

_NOBODY = Via()


@dataclass(slots=True, kw_only=True)
class Call:
    """``table`` and ``via`` are filled in as the operation learns them; ``gate`` bounds what batches do at once."""

    store: Store
    region: str
    account: str
    now: Callable[[], float]
    gate: AbstractAsyncContextManager[object]
    host: str = ""
    body_bytes: int = 0
    table: str = ""
    via: Via = _NOBODY

    async def find(self, name: str, *, named: bool = False) -> Table:
        """The table; raises ResourceNotFound, which names it if ``named`` (as the control operations do)."""
        table = await self.store.table(name)
        if table is None:
            raise ApiError("ResourceNotFoundException", no_such_table(name) if named else "")
        self.table = name
        return table

    def arn(self, table: str) -> str:
        """The table's Amazon resource name."""
        return f"arn:aws:dynamodb:{self.region}:{self.account}:table/{table}"


def no_such_table(name: str) -> str:
    """DynamoDB's words."""
    return f"Requested resource not found: Table: {name} not found"
