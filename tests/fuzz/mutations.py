"""From a valid body to a hostile one, by a seeded random generator: at the level of JSON, and at the level of bytes."""

import copy
import json
import random
import time
from collections.abc import Callable
from typing import Any

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**40, 0.5, -0.0, 1e308, 5e-324, "", " ", "0", "null", "\x00", "\x1b[31m",
    "a" * 1025, "ü" * 600, "\u202e", "\ud800", "../../etc/passwd", "'; DROP TABLE feed; --", [], {}, [[]], [None], {"": ""},
)  # fmt: skip
RAW = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01", b"--1", b'"\\ud800"', b"{", b"]", b",", b"\xff\xfe", b"\x00")


def any_of(rng: random.Random, body: bytes) -> bytes:
    """One to three mutations of one kind or the other."""
    for _ in range(rng.randint(1, 3)):
        body = rng.choice((as_json, as_json, as_bytes))(rng, body)
    return body


def as_json(rng: random.Random, body: bytes) -> bytes:
    """A valid document with another meaning; what is no JSON (any more) is changed byte by byte."""
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return as_bytes(rng, body)
    places = _places(tree)
    if not places:
        return as_bytes(rng, body)
    holder, key = rng.choice(places)
    rng.choice(_CHANGES)(rng, holder, key)
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"[" * 100_000


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found, waiting = [], [tree]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found


def _replace(rng: random.Random, holder: Any, key: Any) -> None:
    holder[key] = copy.deepcopy(rng.choice(NASTY))


def _drop(_rng: random.Random, holder: Any, key: Any) -> None:
    del holder[key]


def _unknown(rng: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[f"x{rng.randint(0, 9)}"] = holder[key]


def _shift(rng: random.Random, holder: Any, key: Any) -> None:
    """Into the future or the past, or just another number."""
    if isinstance(holder[key], (int, float)):
        holder[key] = time.time() + rng.choice((-(10**9), -8 * 86400, -3600, 299, 301, 10**6, 10**12))


def _multiply(rng: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder[key], list) and 0 < len(holder[key]) < 100:
        holder[key] = holder[key] * rng.choice((2, 50, 2000))


def _nest(rng: random.Random, holder: Any, key: Any) -> None:
    for _ in range(rng.choice((1, 20, 500))):
        holder[key] = [holder[key]]


_CHANGES: tuple[Callable[[random.Random, Any, Any], None], ...] = (
    _replace, _replace, _replace, _drop, _unknown, _shift, _shift, _multiply, _nest,
)  # fmt: skip


def as_bytes(rng: random.Random, body: bytes) -> bytes:
    """Flipped, cut, doubled, with something put in; no longer what it was."""
    data = bytearray(body or b"x")
    at = rng.randrange(len(data))
    match rng.randrange(6):
        case 0:
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            del data[at:]
        case 2:
            data[at:at] = rng.choice(RAW)
        case 3:
            data[at:at] = data[: rng.randrange(len(data)) + 1]
        case 4:
            data[at:at] = b"[" * rng.choice((1, 100, 20_000))
        case _:
            data[at:at] = rng.randbytes(rng.choice((1, 8, 4096)))
    return bytes(data)
