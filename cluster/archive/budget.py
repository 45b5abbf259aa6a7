"""What a node does while the archive does not take its log: keep serving until the log's budget is nearly spent, then shed (pure).

A silent stall of the archive becomes an outage hours later; shedding says so in time, and in words, instead of a full disk.
"""

SHED_RATIO = 0.95
"""From this share of the budget on writes are refused."""
KEEP_ENTRIES = 1000
"""Entries kept per group though they are archived and applied, so that a follower which was away for a moment needs no snapshot."""
_KEEP_LESS_RATIO, _KEEP_NONE_RATIO = 0.25, 0.5


SPENT_REASON = "the write-ahead log's budget is spent, because the archive does not take the log"


def ratio(wal_bytes: int, budget_bytes: int) -> float:
    """The share of the budget that is spent."""
    return wal_bytes / budget_bytes


def sheds(spent: float) -> bool:
    """Whether writes are to be refused."""
    return spent >= SHED_RATIO


def kept_entries(spent: float) -> int:
    """How many entries per group are kept for followers: a convenience that ends where the budget is wanted."""
    if spent >= _KEEP_NONE_RATIO:
        return 0
    return KEEP_ENTRIES // 10 if spent >= _KEEP_LESS_RATIO else KEEP_ENTRIES
