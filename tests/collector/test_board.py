"""A failure that is durable is put on the board: once, within a budget, and never because of an answer to an ask."""

import asyncio
import time
from pathlib import Path
from typing import Any

from collector.ask import Asks, decode_asks
from collector.board import AGAIN_SECONDS, OLD_SECONDS, Board
from collector.config import CollectorConfig
from collector.observation import Connection, Level, Outcome
from collector.series import Reading
from collector.wire import Batch
from tests.collector.samples import free_port, make_batch, make_failure, make_health, make_series, running

NOW = 1_764_000_000.0


def failing(*, at: float = NOW, level: Level = Level.ATTEMPT, **changes: Any) -> Batch:
    """A batch with one failure."""
    failure = make_failure(at, **changes)
    series = make_series(level=level, endpoint=failure.endpoint, connection=failure.connection)
    reading = Reading(series=series, at=int(at), counts={failure.outcome: 1}, failures=(failure,))
    return make_batch(at=at, readings=(reading,))


def test_a_first_failure_is_asked_about_once_with_its_place() -> None:
    """Zone, cell, partition and address travel; the same cell again only after a while."""
    board = Board(10, 100)
    (ask,) = board.hear(failing(partition="p-1", address="127.0.1.1:8443"), NOW)
    assert (ask.number, ask.zone, ask.endpoint, ask.partition, ask.address) == (101, "az1", "standard", "p-1", "127.0.1.1:8443")  # fmt: skip
    assert board.hear(failing(at=NOW + 1), NOW + 1) == ()
    assert len(board.hear(failing(connection=Connection.POOLED), NOW + 1)) == 1
    assert len(board.hear(failing(at=NOW + AGAIN_SECONDS), NOW + AGAIN_SECONDS)) == 1
    assert board.counts == {"asked": 3, "lately": 1, "budget": 0}


def test_an_endpoint_has_a_budget_of_its_own() -> None:
    """What is over the budget is counted; another endpoint's is untouched, and a minute later there is a new one."""
    board = Board(2, 0)
    cells = [failing(connection=connection, endpoint="fips") for connection in Connection]
    assert [len(board.hear(batch, NOW)) for batch in cells] == [1, 1]
    assert board.hear(failing(at=NOW + 20, endpoint="fips"), NOW + 20) == ()
    assert len(board.hear(failing(at=NOW + 20), NOW + 20)) == 1
    assert len(board.hear(failing(at=NOW + 61, endpoint="fips"), NOW + 61)) == 1
    assert board.counts["budget"] == 1
    assert Board(0, 0).hear(failing(), NOW) == ()


def test_no_ask_comes_of_an_answer_to_an_ask_of_the_past_or_of_a_sick_host() -> None:
    """Confirming attempts, calls, spooled failures, throttles, and what a recused host says are passed over."""
    board = Board(10, 0)
    for level in (Level.CONFIRM, Level.CALL):
        assert board.hear(failing(level=level), NOW) == ()
    assert board.hear(failing(), NOW + OLD_SECONDS + 1) == ()
    assert board.hear(failing(outcome=Outcome.THROTTLED, reason="throttled"), NOW) == ()
    board.hear(make_batch(at=NOW, readings=(), health=make_health(NOW, recused=True)), NOW)
    assert board.hear(failing(), NOW) == ()
    board.hear(make_batch(at=NOW, readings=(), health=make_health(NOW)), NOW)
    assert len(board.hear(failing(), NOW)) == 1


def test_what_is_old_is_not_told() -> None:
    """A canary that was away is not sent after faults of the past."""
    board = Board(10, 0)
    board.hear(failing(), NOW)
    assert [ask.number for ask in board.after(0, NOW + 1).asks] == [1]
    assert board.after(1, NOW + 1) == Asks(1)
    assert board.after(0, NOW + OLD_SECONDS + 1) == Asks(1)


async def test_whoever_waits_hears_of_a_failure_as_soon_as_it_is_durable(tmp_path: Path) -> None:
    """A long poll over HTTP is answered within a moment of the batch; without a failure it comes back empty."""
    async with running(CollectorConfig(port=free_port(), data_dir=tmp_path / "ledger")) as client:

        async def asks(query: str) -> Asks:
            async with client.session.get(f"{client.base}/v1/asks{query}") as answer:
                assert answer.status == 200
                return decode_asks(await answer.read())

        start = (await asks("")).after
        waiting = asyncio.create_task(asks(f"?after={start}&wait=10"))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert (await client.post(make_batch()))[0] == 200
        (ask,) = (await waiting).asks
        assert time.monotonic() - began < 2.0
        assert (ask.zone, ask.host, ask.endpoint) == ("az1", "az1-canary-1", "standard")
        assert (await asks(f"?after={ask.number}&wait=0.05")).asks == ()
        assert (await client.get("/v1/asks?after=x"))[0] == 400
        page = (await client.get("/metrics"))[1]
        assert 'collector_confirm_asks_total{result="asked"} 1.0' in page
