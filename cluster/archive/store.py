"""What the archive asks of an object store (pure)."""

from typing import Protocol

LIST_KEYS = 1000
"""A listing comes in parts of at most so many keys."""


class ArchiveUnavailable(Exception):
    """The object store does not answer, or refuses: try again later. The text says why."""


class ObjectStore(Protocol):
    """Immutable objects by name. Every method raises :class:`ArchiveUnavailable`; none changes an object that is there."""

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """Store ``data``, durably and with its checksum verified by the store; False when ``key`` is taken already."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The object, or None."""
        ...

    async def list(self, prefix: str, after: str = "") -> tuple[str, ...]:
        """Names that begin with ``prefix`` and come after ``after``, in order; at most :data:`LIST_KEYS`: ask again after the last."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object (by retention only); nothing when it is not there."""
        ...


async def names(store: ObjectStore, prefix: str, after: str = "") -> list[str]:
    """All names that begin with ``prefix`` and come after ``after``."""
    found: list[str] = []
    while part := await store.list(prefix, after):
        found += part
        after = part[-1]
    return found
