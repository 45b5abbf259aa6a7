"""Files in memory that forget what was not synced when the power goes, as real ones do (shell).

What a power-off may do to bytes that were written and not synced: they may be there, or not; a write may be torn at any byte, with
garbage in the rest of its sector; a later write may be there while an earlier one is not. A name that was given, changed or removed
without a sync of its directory may be there, or not. What was synced is there.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

SECTOR_BYTES = 512


@dataclass(slots=True)
class _Write:
    """Bytes that were written at ``offset``; ``before`` is what was there, ``size`` how long the file was."""

    offset: int
    data: bytes
    before: bytes
    size: int


@dataclass(slots=True)
class MemoryFile:
    """A file as the operating system shows it, and what has happened to it since it was synced last."""

    data: bytearray = field(default_factory=bytearray)
    _unsynced: list[_Write] = field(default_factory=list)

    def read(self, amount: int, offset: int) -> bytes:
        """Up to ``amount`` bytes."""
        return bytes(memoryview(self.data)[offset : offset + amount])

    def write(self, data: bytes, offset: int) -> None:
        """Write, not durably."""
        size = len(self.data)
        if offset > size:
            self.data.extend(bytes(offset - size))
        self._unsynced.append(_Write(offset, data, bytes(self.data[offset : offset + len(data)]), size))
        self.data[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        """Cut off, not durably."""
        self._unsynced.append(_Write(size, b"", bytes(self.data[size:]), len(self.data)))
        del self.data[size:]

    def sync(self) -> None:
        """All that was done to it is durable."""
        self._unsynced.clear()

    def after_power_off(self, draw: random.Random) -> "MemoryFile":
        """What is there when the power is back."""
        if not self._unsynced:
            return MemoryFile(bytearray(self.data))
        data = bytearray(self.data)
        for write in reversed(self._unsynced):
            data[write.offset : write.offset + len(write.data)] = write.before
            del data[write.size :]
        for write in self._survivors(draw):
            if not write.data:
                del data[write.offset :]
                continue
            data.extend(bytes(max(0, write.offset - len(data))))
            data[write.offset : write.offset + len(write.data)] = write.data
        return MemoryFile(data)

    def _survivors(self, draw: random.Random) -> Iterator[_Write]:
        """Some of the writes: mostly those up to a moment, the last one of them torn; sometimes any."""
        in_order = draw.random() < 0.7
        last = draw.randint(0, len(self._unsynced))
        for number, write in enumerate(self._unsynced):
            whole = number < last if in_order else draw.random() < 0.5
            if whole:
                yield write
            elif write.data and (number == last or not in_order) and (torn := _torn(write, draw)).data:
                yield torn


def _torn(write: _Write, draw: random.Random) -> _Write:
    """A piece from the front of a write (perhaps nothing), and perhaps garbage to the end of its sector."""
    length = draw.randint(0, len(write.data))
    data = write.data[:length]
    if data and draw.random() < 0.3:
        rest = min(-(write.offset + length) % SECTOR_BYTES, len(write.data) - length)
        data += draw.randbytes(rest)
    return _Write(write.offset, data, b"", write.size)


class Directory:
    """Names of files, and the names that are durable. Names in folders are told apart by ``/``; one sync is for all."""

    def __init__(self) -> None:
        self.files: dict[str, MemoryFile] = {}
        self._durable: dict[str, MemoryFile] = {}

    def sync(self) -> None:
        """All names are durable."""
        self._durable = dict(self.files)

    def after_power_off(self, draw: random.Random) -> "Directory":
        """What is there when the power is back."""
        directory = Directory()
        for name in sorted({*self.files, *self._durable}):
            now, before = self.files.get(name), self._durable.get(name)
            found = now if now is before else draw.choice((now, before))
            if found is not None:
                directory.files[name] = found.after_power_off(draw)
        directory.sync()
        return directory
