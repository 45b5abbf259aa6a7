"""Arrays and a few plain values as a file that is there whole or not at all (shell)."""

import contextlib
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct("<4sIQ")
_MAGIC = b"5NT1"


def write(path: Path, plain: Any, arrays: Sequence[NDArray[Any]]) -> None:
    """``plain`` (of JSON types and bytes) and ``arrays``; durable on return. Raises ``OSError``."""
    kept = [np.ascontiguousarray(array) for array in arrays]
    header = msgspec.msgpack.encode([plain, [[array.dtype.str, list(array.shape)] for array in kept]])
    parts: list[bytes | memoryview] = [header, *(array.data.cast("B") for array in kept if array.size)]
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    draft = path.with_suffix(".draft")
    try:
        with draft.open("wb") as file:
            file.write(_HEAD.pack(_MAGIC, crc, len(header)))
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def read(path: Path) -> tuple[Any, list[NDArray[Any]]]:
    """What :func:`write` wrote; the arrays are views. Raises ``OSError``, or ``ValueError`` when it is damaged."""
    data = path.read_bytes()
    if len(data) < _HEAD.size:
        raise ValueError(f"{path} is cut off")
    magic, crc, length = _HEAD.unpack_from(data)
    if magic != _MAGIC or zlib.crc32(memoryview(data)[_HEAD.size :]) != crc:
        raise ValueError(f"{path} is damaged")
    plain, told = msgspec.msgpack.decode(memoryview(data)[_HEAD.size : _HEAD.size + length])
    at, arrays = _HEAD.size + length, []
    for kind, shape in told:
        dtype = np.dtype(kind)
        count = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(data, dtype, count, at).reshape(shape))
        at += count * dtype.itemsize
    return plain, arrays


def sync(folder: Path) -> None:
    """Makes new and renamed names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
