"""The ledger over HTTP: sums, availability, exclusions; strictly read, and for those who may."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collector import query
from collector.availability import availability
from collector.config import CollectorConfig
from collector.observation import Level, Outcome, Vantage
from collector.query import QueryError
from collector.series import Reading
from collector.totals import Totals, of_rows
from collector.wire import IntervalRow
from tests.collector.samples import Client, make_batch, make_series, running

NOW = 1_764_000_000


def interval_row(start: int, counts: dict[Outcome, int], version: int = 1, **changes: object) -> IntervalRow:
    flags = {name: bool(changes.pop(name, False)) for name in ("recused", "excluded")}
    return IntervalRow(series=make_series(**changes), start=start, version=version, counts=counts, **flags)  # type: ignore[arg-type]


def test_availability_is_good_over_valid_and_says_what_it_rests_on() -> None:
    """Throttles, recused and excluded attempts, calls and storage nodes are in no sum with the attempts."""
    rows = [
        interval_row(NOW, {Outcome.SUCCESS: 90, Outcome.TIMEOUT: 10, Outcome.THROTTLED: 5}),
        interval_row(NOW + 300, {Outcome.SUCCESS: 100}, version=2),
        interval_row(NOW + 600, {Outcome.SERVER_FAULT: 7}, excluded=True, version=3),
        interval_row(NOW + 300, {Outcome.SERVER_FAULT: 8}, recused=True),
        interval_row(NOW, {Outcome.SUCCESS: 3}, vantage=Vantage.CUSTOMER, level=Level.CALL),
        interval_row(NOW, {Outcome.SUCCESS: 4}, vantage=Vantage.SERVER, node="n1"),
    ]
    found = {(one.vantage, one.level): one for one in availability(of_rows("tables", rows), NOW, NOW + 1200)}
    assert set(found) == {(Vantage.CANARY, Level.ATTEMPT), (Vantage.CUSTOMER, Level.CALL)}
    one = found[Vantage.CANARY, Level.ATTEMPT]
    assert (one.good, one.bad, one.not_counted, one.recused, one.excluded) == (190, 10, 5, 8, 7)
    assert one.availability == 0.95
    assert (one.intervals, one.seen, one.failing, one.versions) == (4, 2, 1, {"1": 1, "2": 1})
    assert availability(Totals.empty("tables"), NOW, NOW + 300) == []


def test_totals_queries_are_read_strictly() -> None:
    """Nothing wrong is silently ignored."""
    asked = query.totals({"kind": "tables", "start": "0", "end": "300", "table": "orders", "version": "2"})
    assert asked == query.TotalsQuery("tables", 0.0, 300.0, 2, (("table", "orders"),))
    for wrong, named in (
        ({"kind": "hosts", "start": "0", "end": "1"}, "kind"),
        ({"kind": "tables", "start": "0", "end": "1", "zone": "az1"}, "zone"),
        ({"kind": "cells", "start": "9", "end": "1"}, "end"),
        ({"kind": "cells", "end": "1"}, "start"),
    ):
        with pytest.raises(QueryError, match=named):
            query.totals(wrong)


async def test_a_running_collector_tells_sums_and_availability(client: Client) -> None:
    """Of the interval that is not sealed yet as well: version 0."""
    await client.post(make_batch())
    span = {"start": time.time() - 3600, "end": time.time() + 600}
    status, found = await client.get("/v1/availability", params={**span, "table": "canary"})
    assert (status, len(found)) == (200, 1)
    assert (found[0]["good"], found[0]["bad"], found[0]["versions"]) == (2, 1, {"0": 1})
    assert (await client.get("/v1/availability", params={**span, "table": "other"}))[1] == []
    assert (await client.get("/v1/availability", params={**span, "zone": "az1"}))[1][0]["good"] == 2
    async with client.session.get(f"{client.base}/v1/totals", params={**span, "kind": "cells"}) as answer:
        totals = Totals.decode(await answer.read())
    assert [(key.zone, key.endpoint) for key in totals.keys] == [("az1", "standard")]
    assert (await client.get("/v1/totals", params=span))[0] == 400


async def test_an_exclusion_is_said_over_http_and_makes_a_version(
    config_of: Callable[..., CollectorConfig], tmp_path: Path
) -> None:
    """Who, when and why are kept; a wrong one is refused by name; without the token nobody says anything."""
    token = tmp_path / "token"
    token.write_text("secret")
    start = int(time.time()) // 300 * 300 - 3000
    allowed = {"Authorization": "Bearer secret"}
    async with running(config_of(token_file=token, seal_after_seconds=0)) as client:
        reading = Reading(series=make_series(), at=start, counts={Outcome.SERVER_FAULT: 3})
        await client.post(make_batch(at=float(start), readings=(reading,)), headers=allowed)
        wanted = {"start": start, "end": start + 1, "where": {"zone": "az1"}, "reason": "works", "who": "ann"}
        url, span = f"{client.base}/v1/exclusions", {"start": start, "end": start + 300}
        async with client.session.post(url, json=wanted) as answer:
            assert answer.status == 401
        for wrong in (
            {**wanted, "where": {"colour": "red"}},
            {**wanted, "reason": ""},
            {**wanted, "x": 1},
            {"undoes": 9, "reason": "r", "who": "w"},
        ):
            async with client.session.post(url, json=wrong, headers=allowed) as answer:
                assert answer.status == 400, wrong
        async with client.session.post(url, json=wanted, headers=allowed) as answer:
            assert (answer.status, await answer.json()) == (201, {"id": 1})

        async def excluded() -> list[int]:
            _, found = await client.get("/v1/availability", params=span, headers=allowed)
            return [one["excluded"] for one in found]

        async with asyncio.timeout(20):
            while await excluded() != [3]:
                await asyncio.sleep(0.1)
        _, statements = await client.get("/v1/exclusions", headers=allowed)
        assert [(one["who"], one["reason"], one["in_force"]) for one in statements] == [("ann", "works", True)]
        async with client.session.post(
            url, json={"undoes": 1, "reason": "no", "who": "bob"}, headers=allowed
        ) as answer:
            assert (await answer.json()) == {"id": 2}
        async with asyncio.timeout(20):
            while await excluded() != [0]:
                await asyncio.sleep(0.1)
        _, statements = await client.get("/v1/exclusions", headers=allowed)
        assert [(one["id"], one["in_force"], one["undoes"]) for one in statements] == [(1, False, None), (2, False, 1)]
