"""Names of archived objects (pure).

``<group>/<first LSN>.wal`` is a segment, ``<group>/<LSN>.snapshot`` the rows as of an LSN; ``.manifest`` is added for what is
written beside each. LSNs have twenty digits, so that the order of names is the order of the log.
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["wal", "snapshot"]
MANIFEST = ".manifest"
_NAME = re.compile(r"(?P<group>.+)/(?P<lsn>[0-9]{20})\.(?P<kind>wal|snapshot)(?P<manifest>\.manifest)?")


@dataclass(frozen=True, slots=True)
class Key:
    """A name taken apart. ``lsn``: a segment's first, a snapshot's own."""

    group: str
    lsn: int
    kind: Kind
    manifest: bool

    def __str__(self) -> str:
        """The name."""
        return f"{self.group}/{self.lsn:020d}.{self.kind}{MANIFEST if self.manifest else ''}"


def segment_key(group: str, first: int) -> str:
    """The segment of ``group`` whose first entry is ``first``."""
    return str(Key(group, first, "wal", manifest=False))


def snapshot_key(group: str, lsn: int) -> str:
    """The snapshot of ``group`` as of ``lsn``."""
    return str(Key(group, lsn, "snapshot", manifest=False))


def manifest_key(key: str) -> str:
    """The manifest of the object ``key``."""
    return key + MANIFEST


def parse(name: str) -> Key | None:
    """``name`` taken apart; None when it is not of the archive."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    kind: Kind = "wal" if found["kind"] == "wal" else "snapshot"
    return Key(found["group"], int(found["lsn"]), kind, manifest=found["manifest"] is not None)
