"""Arrays as bytes in a snapshot: type, shape and compressed values, no pickle (pure)."""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """An array as a msgpack-able dict; mostly zeros, so light compression suffices."""
    return {"type": array.dtype.str, "shape": list(array.shape), "bytes": zlib.compress(array.tobytes(), 1)}


def unpack(packed: dict[str, Any]) -> NDArray[Any]:
    """The array of :func:`pack`, writable; raises ``ValueError`` when the bytes do not fit the shape."""
    try:
        flat = np.frombuffer(zlib.decompress(packed["bytes"]), np.dtype(packed["type"]))
    except zlib.error as error:
        raise ValueError(f"damaged array: {error}") from error
    return flat.reshape(packed["shape"]).copy()
