"""The sender's side: nothing counted is lost between counting and acknowledgement, and what is given up is told."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.bulk.books import Registered
from collector.bulk.outgoing import Outgoing
from collector.bulk.refusals import STATUS, BulkRefusedError
from collector.bulk.sender import CounterSender
from collector.bulk.store import CounterStore
from collector.config import CollectorConfig
from collector.observation import OperationClass, Vantage
from collector.series import Series
from tests.collector.bulk.frames import NOW, open_store, totals
from tests.collector.samples import running


def series(n: int) -> Series:
    return Series(
        vantage=Vantage.CUSTOMER, host="shop", zone="az1", operation=OperationClass.WRITE, table=f"orders-{n}"
    )  # fmt: skip


def answer_of(store: CounterStore, body: bytes) -> tuple[int, dict[str, Any]]:
    """What the collector would answer over HTTP."""
    (decision,) = store.apply([body], at=NOW)
    if isinstance(decision, BulkRefusedError):
        return STATUS.get(decision.reason, 422), {"error": str(decision.reason), **decision.more}
    return 200, {"status": "registered" if isinstance(decision, Registered) else "accepted"}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.sampled_from(("success", "timeout")), st.integers(0, 9), st.integers(1, 99)),
        st.tuples(st.sampled_from(("cut", "send", "answer lost", "no connection", "collector forgets"))),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_through_lost_answers_and_forgetful_collectors_each_count_arrives_once(story: list[Any]) -> None:
    """Whatever the connection does, in the end the collector has exactly what was counted."""
    wanted: Counter[tuple[str, str]] = Counter()
    with TemporaryDirectory() as folder:
        store, outgoing = open_store(Path(folder)), Outgoing("lb-7", "az1", "b")
        for step in story:
            match step:
                case ("count", place, n, count):
                    outgoing.add(place, outgoing.number(series(n)), count)
                    wanted[f"orders-{n}", place] += count
                case ("cut",):
                    outgoing.cut(NOW, sent_at=NOW)
                case ("collector forgets",):
                    sender = store.books.senders.of("lb-7", "b")
                    if sender is not None:
                        sender.ids = sender.ids[:0]
                case (kind,):
                    body = outgoing.next()
                    if body is not None:
                        answer = (0, {}) if kind == "no connection" else answer_of(store, body)
                        outgoing.heard(*((0, {}) if kind == "answer lost" else answer), at=NOW)
        outgoing.cut(NOW, sent_at=NOW)
        while (body := outgoing.next()) is not None:
            outgoing.heard(*answer_of(store, body), at=NOW)
        got: Counter[tuple[str, str]] = Counter()
        for (_, table, _, _, place), count in totals(store).items():
            got[table, place] += count
        assert got == wanted
        assert outgoing.dropped == 0
        store.close()


def test_what_does_not_fit_any_more_is_given_up_and_told(tmp_path: Path) -> None:
    """The oldest batches lose their counts but not their numbers; the collector knows how much is missing, and has no hole."""
    store, outgoing = open_store(tmp_path), Outgoing("lb-7", "az1", "b", kept_bytes_max=3000)
    for second in range(20):
        for n in range(50):
            outgoing.add("success", outgoing.number(series(n)), n + 1)
        outgoing.cut(NOW + second, sent_at=NOW)
    while (body := outgoing.next()) is not None:
        outgoing.heard(*answer_of(store, body), at=NOW)
    counted = sum(totals(store).values())
    sender = store.books.senders.of("lb-7", "b")
    assert sender is not None
    assert 0 < counted < 20 * 1275
    assert counted + sender.dropped == 20 * 1275
    assert (sender.dropped, sender.seen) == (outgoing.dropped, ((1, 20),))
    store.close()


def test_what_is_refused_for_good_does_not_stop_the_rest(tmp_path: Path) -> None:
    """A batch from the future is refused; its number is used up by an empty one that says what is missing."""
    store, outgoing = open_store(tmp_path), Outgoing("lb-7", "az1", "b")
    for at in (NOW + 100_000, NOW):
        outgoing.add("success", outgoing.number(series(1)), 5)
        outgoing.cut(at, sent_at=NOW)
    while (body := outgoing.next()) is not None:
        outgoing.heard(*answer_of(store, body), at=NOW)
    sender = store.books.senders.of("lb-7", "b")
    assert sender is not None
    assert (sum(totals(store).values()), sender.dropped, sender.seen) == (5, 5, ((1, 2),))
    store.close()


async def test_a_sender_waits_for_its_collector(config_of: Callable[..., CollectorConfig]) -> None:
    """Counting begins before the collector is there; once it is, all arrives; the same after its restart."""
    config = config_of()
    async with CounterSender(f"http://{config.host}:{config.port}", host="lb-7", zone="az1") as sender:
        number = sender.outgoing.number(series(1))
        for n in range(2):
            sender.outgoing.add("success", number, 5)
            flushing = asyncio.create_task(sender.flush())
            await asyncio.sleep(0.05)
            async with running(config) as client, asyncio.timeout(20):
                await flushing
                path = f"/v1/counters/intervals?start={time.time() - 600}&end={time.time() + 1}&table=orders-1"
                _, rows = await client.get(path)
                assert sum(row["counts"]["success"] for row in rows) == 5 * (n + 1)
