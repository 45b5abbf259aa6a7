"""What Parquet files say of their row groups, remembered: reading it anew would be most of a question's time (shell)."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

BYTES_MAX = 256 * 1024 * 1024
"""Of all footers that are remembered, as they are in memory: 30 days of a thousand tables need about 60 MB."""
UNPACKED = 9
"""So many times larger than in its file is a footer in memory (measured with pyarrow 21)."""


class Footer:
    """A file's row groups, and the least and greatest value of a column in each; None where the file does not say."""

    def __init__(self, metadata: Any) -> None:
        self.metadata = metadata
        self.bytes = metadata.serialized_size * UNPACKED
        self._places = {metadata.schema.column(place).name: place for place in range(metadata.num_columns)}
        self._ranges: dict[str, list[tuple[str, str] | None]] = {}

    def groups(self, where: Mapping[str, str]) -> list[int]:
        """The row groups that may hold rows with these values."""
        found = list(range(self.metadata.num_row_groups))
        for name, value in where.items():
            ranges = self.ranges(name)
            found = [g for g in found if (one := ranges[g]) is None or one[0] <= value <= one[1]]
        return found

    def ranges(self, name: str) -> list[tuple[str, str] | None]:
        """The least and greatest value of a column, by row group."""
        if name not in self._ranges:
            place = self._places[name]
            seen = [self.metadata.row_group(g).column(place).statistics for g in range(self.metadata.num_row_groups)]
            self._ranges[name] = [(one.min, one.max) if one is not None and one.has_min_max else None for one in seen]
        return self._ranges[name]


class Footers:
    """By path; files never change. Those that were not asked for the longest go first. For several threads."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Footer] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, path: str) -> bool:
        return path in self._known

    @property
    def has_room(self) -> bool:
        """Whether more can be remembered without forgetting others."""
        return self.bytes < self._bytes_max

    def of(self, path: str, source: Any) -> Footer:
        """The footer of the file that is open as ``source``."""
        with self._lock:
            if path in self._known:
                self._known.move_to_end(path)
                return self._known[path]
        footer = Footer(pq.read_metadata(source))
        with self._lock:
            if path not in self._known:
                self._known[path] = footer
                self.bytes += footer.bytes
            while self.bytes > self._bytes_max and len(self._known) > 1:
                self.bytes -= self._known.popitem(last=False)[1].bytes
        return footer
