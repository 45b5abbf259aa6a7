"""Frames: what is written is read back, and nothing else is taken for one."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.bulk import books
from collector.bulk.books import Books
from collector.bulk.refusals import BulkRefusedError
from collector.column_batch import FrameError, Told, decode, decode_told, encode_names
from tests.collector.bulk.frames import NOW, counts, names


@given(
    st.dictionaries(st.integers(0, 2**24 - 1), st.integers(0, 2**32 - 1), max_size=50),
    st.dictionaries(st.integers(0, 100), st.integers(0, 255), max_size=50),
)
def test_counts_come_back_as_they_were_written(one: dict[int, int], other: dict[int, int]) -> None:
    """Numbers in runs and with holes, both."""
    frame = decode(counts("h", 3, NOW, {"success": one, "timeout": other}))
    got = {i.place: dict(zip(i.numbers.tolist(), i.values.tolist(), strict=True)) for i in frame.increments}
    assert got == {"success": one, "timeout": other}


@given(st.lists(st.one_of(st.none(), st.text(min_size=1, max_size=20)), min_size=1, max_size=30))
def test_texts_come_back_as_they_were_written(texts: list[str | None]) -> None:
    """Constant, missing, repeated and foreign ones."""
    frame = decode(encode_names(("h", "z", "b"), np.arange(len(texts), dtype=np.uint32), [("endpoint", texts)]))
    (column,) = frame.columns
    codes = [1 if column.texts else 0] * len(texts) if column.codes is None else column.codes.tolist()
    assert [None if code == 0 else column.texts[code - 1] for code in codes] == texts


def test_a_damaged_frame_is_refused_and_never_more() -> None:
    """Twenty thousand mutations of good frames: taken, or refused for a named reason; never another error."""
    dice = random.Random(5)
    good = [
        counts("az1-a", 2, NOW, {"success": {0: 5, 2: 7}, "bucket_3": {1: 1}}),
        names("az1-a", range(8), endpoint="standard"),
    ]
    some = Books()
    some.take(books.read(good[1]), good[1], at=NOW)
    refused = 0
    for _ in range(20_000):
        body = bytearray(dice.choice(good))
        for _ in range(dice.randint(1, 4)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        body = body[: dice.randint(0, len(body))] if dice.random() < 0.2 else body
        try:
            some.take(books.read(bytes(body)), bytes(body), at=NOW)
        except BulkRefusedError:
            refused += 1
    assert refused > 5_000
    assert len(some.dictionary) < 20_000


def test_what_a_frame_claims_is_not_allocated() -> None:
    """A short frame that tells of thousands of millions of values is refused for its length."""
    body = counts("az1-a", 2, NOW, {"success": dict.fromkeys(range(100), 1)})
    large = body.replace(b"\xa5count\x64", b"\xa5count\x7f")
    assert large != body
    with pytest.raises(FrameError, match="does not fit"):
        decode(large)


def test_a_feed_is_frames_of_its_own_kind() -> None:
    """A batch is no entry of a feed, and an entry is no batch."""
    with pytest.raises(FrameError):
        list(decode_told(counts("az1-a", 1, NOW, {})))
    some = Books()
    body = counts("az1-a", 1, NOW, {})
    taken = some.take(books.read(body), body, at=NOW)
    assert isinstance(taken, books.Taken)
    assert isinstance(decode(taken.record).header, Told)
    with pytest.raises(BulkRefusedError):
        books.read(taken.record)
