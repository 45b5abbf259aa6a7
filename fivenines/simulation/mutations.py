"""Bugs planted on purpose: a simulation that does not find them proves nothing (shell).

Each replaces one decision of the store's code for as long as it is planted. ``tests/simulation`` sees to it that each is found.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from cluster.replication import leading
from cluster.replication.lease import NEVER, Lease
from cluster.storage.wal import Wal

Place = tuple[Any, str, Any]
"""An object, the name of its attribute, and what to put there."""


def _one_fsync() -> list[Place]:
    """A write is acknowledged as soon as one replica has it on its disk."""
    return [(leading, "COPIES", 1), (leading, "chosen", lambda stored, _members, _zone_of: max(stored.values()))]


def _lease_ignored() -> list[Place]:
    """A leader that once had a lease reads and leads on for ever."""
    return [
        (Lease, "valid", lambda self, _at: self.until > NEVER),
        (leading, "keep_office", lambda _s, _at: None),
    ]


def _torn_tail() -> list[Place]:
    """A torn tail stays in the WAL, and what is written after it is never read again."""
    return [(Wal, "_make_sound", lambda *_args, **_kwargs: True)]


MUTATIONS: dict[str, Callable[[], list[Place]]] = {
    "one_fsync": _one_fsync,
    "lease_ignored": _lease_ignored,
    "torn_tail": _torn_tail,
}


@contextlib.contextmanager
def planted(mutation: str | None) -> Iterator[None]:
    """The bug is there until the end of the block; None: no bug."""
    places = MUTATIONS[mutation]() if mutation else []
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, value in places:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
