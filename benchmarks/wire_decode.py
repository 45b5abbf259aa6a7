"""Decoding a canary's batch: the contract's decoder against pydantic models of the same shape."""

from pydantic import TypeAdapter

from benchmarks.figures import Result, cpu_of
from collector.observation import Connection, OperationClass, Outcome, Vantage
from collector.series import Reading, Series
from collector.wire import Batch, decode_batch, encode

READINGS = 200
TURNS = 50


def batch() -> Batch:
    """A busy second of one host."""
    readings = tuple(
        Reading(
            series=Series(
                vantage=Vantage.CANARY, host="az1-canary-1", zone="az1", operation=OperationClass.WRITE, table="canary",
                endpoint="standard", connection=Connection.FRESH, partition=str(n), router="az1-router-1", router_zone="az1",
            ),
            at=1_795_000_000,
            counts={Outcome.SUCCESS: n + 1},
            latency=(0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0),
        )
        for n in range(READINGS)
    )  # fmt: skip
    return Batch(host="az1-canary-1", zone="az1", boot="b", sequence=1, sent_at=1_795_000_000.0, readings=readings)


def run() -> Result:
    """CPU per reading."""
    data = encode(batch())
    readings = encode(batch().readings)
    model = TypeAdapter(tuple[Reading, ...])
    ours = cpu_of(lambda: [decode_batch(data) for _ in range(TURNS)]) / (TURNS * READINGS)
    theirs = cpu_of(lambda: [model.validate_json(readings) for _ in range(TURNS)]) / (TURNS * READINGS)
    figures = {"decode_us_per_reading": ours * 1e6, "pydantic_us_per_reading": theirs * 1e6}
    return Result(
        name="wire-decode", figures=figures, ratio=theirs / ours, against="pydantic validate_json, same dataclasses"
    )
