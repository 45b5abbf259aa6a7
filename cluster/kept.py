"""What a replica keeps (pure)."""

from enum import StrEnum


class Kept(StrEnum):
    """What a replica keeps of its group beside the log."""

    ITEMS = "items"
    LOG = "log"
    """It is a log replica."""
    NOTHING = "nothing"
    """Its items were lost, and are fetched."""
