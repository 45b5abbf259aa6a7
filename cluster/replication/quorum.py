"""Quorum arithmetic: what a majority of the members has reached (pure).

Any two majorities share a member; everything in Paxos rests on that (Lamport, "Paxos Made Simple", §2.2).
"""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T", int, float)


def majority(members: int) -> int:
    """The size of the smallest quorum among ``members``."""
    return members // 2 + 1


def reached(values: Iterable[T], members: int) -> T:
    """The highest value that a quorum has reached, given one value for each of ``members``.

    LSNs stored: everything up to the result is chosen. Send times of acknowledged renewals: the lease counts from the result.
    """
    return sorted(values, reverse=True)[majority(members) - 1]
