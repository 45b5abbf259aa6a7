"""What may be wrong with an archived object, each by its name (pure)."""

from typing import ClassVar


class Damage(Exception):
    """An archived object cannot be believed. ``key`` names the object, ``lsn`` the entry, where they are known."""

    reason: ClassVar[str] = "damage"

    def __init__(self, message: str, *, key: str | None = None, lsn: int | None = None) -> None:
        super().__init__(message)
        self.message, self.key, self.lsn = message, key, lsn

    def __str__(self) -> str:
        """``<key>: <reason> at LSN n: what is wrong``."""
        place = f" at LSN {self.lsn}" if self.lsn is not None else ""
        return f"{self.key or 'object'}: {self.reason}{place}: {self.message}"


class Truncated(Damage):
    """The object ends too early."""

    reason = "truncated"


class ChecksumWrong(Damage):
    """Bytes have changed since they were sealed."""

    reason = "checksum"


class Gap(Damage):
    """LSNs do not follow each other without a hole."""

    reason = "gap"


class ForeignGroup(Damage):
    """The object belongs to another replication group than its key says."""

    reason = "foreign_group"


class ForeignEntry(Damage):
    """An entry changes an item that is not in this partition's range of the ring."""

    reason = "foreign_entry"


class Mismatch(Damage):
    """The archive and a replica hold different entries under one LSN."""

    reason = "mismatch"


class ManifestWrong(Damage):
    """A manifest is missing, or does not describe its object."""

    reason = "manifest"
