"""Whatever bytes arrive, the decoder answers with a value or with WireError."""

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import ingest, wire
from collector.ingest import RefusedError
from collector.wire import WireError
from tests.collector.samples import make_batch

GOOD = wire.encode(make_batch(at=1_764_000_000.0))
DECODERS = (wire.decode_batch, wire.decode_feed, wire.decode_intervals)


def attempt(body: bytes) -> None:
    """Only WireError and RefusedError may come out."""
    for decode in DECODERS:
        with contextlib.suppress(WireError):
            decode(body)
    with contextlib.suppress(RefusedError):
        ingest.check(ingest.read(body), at=1_764_000_000.0)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_give_wire_errors_only(body: bytes) -> None:
    """Noise is refused politely."""
    attempt(body)


def test_mutated_batches_give_wire_errors_only() -> None:
    """Bytes flipped, cut, doubled and swapped in a good batch never raise anything else."""
    dice = random.Random(5)
    for _ in range(3000):
        body = bytearray(GOOD)
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(body))
            match dice.randrange(4):
                case 0:
                    body[at] = dice.randrange(256)
                case 1:
                    del body[at : at + dice.randrange(1, 30)]
                case 2:
                    body[at:at] = body[: dice.randrange(1, 30)]
                case _:
                    body[at:at] = dice.choice(
                        [b"1e999", b"-1", b"null", b"[[[[", b'"\\ud800"', b"9" * 400, b"\x00", b"{}", b"true"]
                    )
            if not body:
                break
        attempt(bytes(body))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"readings":[', b'{"host":"h","x":[['])
def test_deep_nesting_is_a_wire_error(opening: bytes) -> None:
    """A hundred thousand open brackets do not exhaust the stack."""
    attempt(opening * 100_000)
