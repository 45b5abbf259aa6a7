"""Operators over HTTP: who may act, what is refused and how, and that what is done is seen at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cfa import server
from cfa.judgement import Judgement
from cfa.operator_api import ACTIONS_A_MINUTE_MOST, _is_loopback
from tests.cfa.shell_world import FakeCollector, running, serving
from tests.cfa.test_cfa_server import config_for

Ask = Any


@contextlib.asynccontextmanager
async def judging(tmp_path: Path, token: str | None = None) -> AsyncIterator[Ask]:
    """A judgement with the real core; ``ask(method, path, json, headers)`` gives status and body."""
    collector = FakeCollector()
    changes: dict[str, Any] = {}
    if token is not None:
        changes["operator_token_file"] = tmp_path / "token"
        changes["operator_token_file"].write_text(token)
    async with serving(collector.application()) as feed_url:
        config = config_for(tmp_path, feed_url, **changes)
        ready = asyncio.Event()
        async with running(server.run(config, ready, Judgement)), aiohttp.ClientSession() as session:
            await ready.wait()

            async def ask(method: str, path: str, json: Any = None, **more: Any) -> tuple[int, Any]:
                url = f"http://{config.host}:{config.port}{path}"
                async with session.request(method, url, json=json, **more) as answer:
                    return answer.status, await answer.json()

            yield ask


SILENCE = {"by": "ann", "scope": {"zone": "az1"}, "for_seconds": 600, "comment": "works"}


async def test_a_silence_is_made_seen_and_ended(tmp_path: Path) -> None:
    """It is listed at once, stands in the status, ends when asked, and the journal says who did what."""
    async with judging(tmp_path) as ask:
        status, made = await ask("POST", "/v1/silences", SILENCE)
        assert status == 201
        listed = (await ask("GET", "/v1/silences"))[1]["silences"]
        assert [(one["id"], one["in_force"], one["author"]) for one in listed] == [(made["id"], True, "ann")]
        assert (await ask("GET", "/v1/maintenance"))[1] == {"maintenance": []}
        assert (await ask("DELETE", f"/v1/maintenance/{made['id']}?by=bob"))[0] == 404
        ended = await ask("DELETE", f"/v1/silences/{made['id']}?by=bob")
        assert (ended[0], ended[1]["expired_by"]) == (200, "bob")
        assert (await ask("GET", "/v1/silences"))[1] == {"silences": []}
        assert len((await ask("GET", "/v1/silences?state=all"))[1]["silences"]) == 1
        actions = (await ask("GET", "/v1/actions"))[1]["actions"]
        assert [(one["kind"], one["by"]) for one in actions] == [("expire", "bob"), ("mute", "ann")]


async def test_what_is_sent_twice_is_made_once(tmp_path: Path) -> None:
    """A client that lost the answer sends the same id again."""
    async with judging(tmp_path) as ask:
        first = await ask("POST", "/v1/maintenance", {**SILENCE, "id": "m-mine"})
        second = await ask("POST", "/v1/maintenance", {**SILENCE, "id": "m-mine"})
        assert (first[0], second[0]) == (201, 200)
        assert first[1] == second[1]


@pytest.mark.parametrize(
    ("request_", "body", "refused"),
    [
        (("POST", "/v1/incidents/i-none/acknowledge"), {"by": "ann"}, (404, "unknown_incident")),
        (("POST", "/v1/incidents/i-none/note"), {"by": "ann", "text": "x"}, (404, "unknown_incident")),
        (("POST", "/v1/silences"), {"by": "ann", "for_seconds": 60}, (422, "bad_value")),
        (("POST", "/v1/silences"), {"by": "ann", "scope": {"zones": "az1"}, "for_seconds": 60}, (422, "bad_value")),
        (("POST", "/v1/silences"), {"by": "ann", "scope": {"zone": "az1"}}, (422, "bad_value")),
        (("POST", "/v1/silences"), {"by": "", "scope": {"zone": "az1"}, "for_seconds": 60}, (422, "bad_value")),
        (("POST", "/v1/silences"), {**SILENCE, "colour": "red"}, (422, "bad_value")),
        (("POST", "/v1/maintenance"), {**SILENCE, "scope": {"table": "t"}}, (422, "bad_value")),
        (("POST", "/v1/silences"), {**SILENCE, "comment": "x" * 20_000}, (413, "oversized")),
        (("DELETE", "/v1/silences/s-none?by=ann"), None, (404, "unknown_silence")),
    ],
)
async def test_refusals(tmp_path: Path, request_: tuple[str, str], body: Any, refused: tuple[int, str]) -> None:
    """Each has its status, a word for programs and a sentence for people."""
    async with judging(tmp_path) as ask:
        answer = await ask(*request_, body)
        assert (answer[0], answer[1]["error"]) == refused
        assert answer[1]["detail"]


async def test_only_whoever_has_the_token_may_act(tmp_path: Path) -> None:
    """Everybody on the network may read; a wrong token, none, or the token of yesterday may not act."""
    async with judging(tmp_path, token="sesame") as ask:
        assert (await ask("GET", "/v1/silences"))[0] == 200
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "sesame"}):
            assert (await ask("POST", "/v1/silences", SILENCE, headers=headers))[0] == 401
        assert (await ask("POST", "/v1/silences", SILENCE, headers={"Authorization": "Bearer sesame"}))[0] == 201
        (tmp_path / "token").write_text("rotated")
        assert (await ask("POST", "/v1/silences", SILENCE, headers={"Authorization": "Bearer sesame"}))[0] == 401
        (tmp_path / "token").write_text("")
        assert (await ask("POST", "/v1/silences", SILENCE, headers={"Authorization": "Bearer "}))[0] == 503


async def test_a_web_page_cannot_act_through_the_operators_browser(tmp_path: Path) -> None:
    """Without a token, requests that a browser makes for a page are refused, and so is what a form can send."""
    async with judging(tmp_path) as ask:
        assert (await ask("POST", "/v1/silences", SILENCE, headers={"Origin": "http://evil.example"}))[0] == 403
        assert (await ask("POST", "/v1/silences", data=b"{}", headers={"Content-Type": "text/plain"}))[0] == 415


async def test_there_is_a_limit_on_actions(tmp_path: Path) -> None:
    """A loop that went wild is refused, with 429."""
    async with judging(tmp_path) as ask:
        bad = [await ask("DELETE", "/v1/silences/s-none?by=x") for _ in range(ACTIONS_A_MINUTE_MOST + 1)]
        assert {status for status, _ in bad[:-1]} == {404}
        assert bad[-1][0] == 429


@pytest.mark.parametrize(
    ("remote", "is_local"), [("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), (None, False), ("odd", False)]
)
def test_without_a_token_only_this_machine_may_act(remote: str | None, is_local: bool) -> None:
    """Loopback addresses, nothing else."""
    assert _is_loopback(remote) is is_local
