"""``fivenines incidents``, ``silence`` and ``maintenance`` against a real judgement's API: what people type, and what they read."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cfa import server
from cfa.config import CfaConfig
from cfa.judgement import Judgement
from fivenines.cli import app
from fivenines.operator_view import incident_text
from tests.cfa.shell_world import incident
from tests.cfa.test_cfa_server import free_port

RUN = CliRunner()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration of a judgement that listens, with a token, and hears of no collector."""
    folder = tmp_path_factory.mktemp("operators")
    (folder / "token").write_text("sesame")
    cfa = {"host": "127.77.7.1", "port": free_port(), "data_dir": str(folder / "cfa"), "collector": "http://127.77.7.1:9", "operator_token_file": str(folder / "token")}  # fmt: skip
    path = folder / "fivenines.yaml"
    path.write_text(yaml.safe_dump({"state_dir": str(folder), "cfa": cfa}))
    started = threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        ready = asyncio.Event()
        task = asyncio.create_task(server.run(CfaConfig.model_validate(cfa), ready, Judgement))
        await ready.wait()
        started.set()
        await task

    def life() -> None:
        asyncio.set_event_loop(loop)
        work = loop.create_task(serve())
        loop.call_soon(lambda: None)
        try:
            loop.run_until_complete(work)
        except asyncio.CancelledError:
            return

    thread = threading.Thread(target=life, daemon=True)
    thread.start()
    assert started.wait(20)
    yield path
    loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    thread.join(10)


def run(config: Path, *words: str) -> tuple[int, str]:
    found = RUN.invoke(app, [*words, "--config", str(config)])
    return found.exit_code, found.output


def test_a_silence_from_its_beginning_to_its_end(config: Path) -> None:
    """Added, listed as text and JSON, expired; expired twice is refused with the reason."""
    status, made = run(
        config, "silence", "add", "--scope", "zone=az1", "--for", "1h", "--by", "ann", "--comment", "w", "--json"
    )
    assert status == 0, made
    name = json.loads(made)["id"]
    status, listed = run(config, "silence", "list")
    assert status == 0
    assert name in listed
    assert "zone=az1" in listed
    assert run(config, "silence", "expire", name, "--by", "bob")[0] == 0
    assert run(config, "silence", "list")[1].strip() == "nothing is silenced"
    status, refused = run(config, "silence", "expire", name, "--by", "bob")
    assert (status, "over already" in refused) == (2, True)
    assert json.loads(run(config, "silence", "list", "--all", "--json")[1])[0]["expired_by"] == "bob"


def test_maintenance_is_listed_apart(config: Path) -> None:
    """A window is no silence; of a table there is none."""
    status, made = run(config, "maintenance", "add", "--scope", "zone=az2", "--for", "2h", "--by", "ann")
    assert status == 0, made
    name = made.split(":")[0]
    assert name in run(config, "maintenance", "list")[1]
    assert name not in run(config, "silence", "list")[1]
    status, refused = run(config, "maintenance", "add", "--scope", "table=orders", "--for", "2h", "--by", "ann")
    assert (status, "use a silence" in refused) == (2, True)
    assert run(config, "maintenance", "expire", name, "--by", "ann")[0] == 0


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["silence", "add", "--scope", "zone", "--for", "1h"], "--scope zone=az1"),
        (["silence", "add", "--scope", "zone=az1"], "--for 1h"),
        (["silence", "add", "--scope", "zone=az1", "--for", "soon"], "write it like"),
        (["silence", "add", "--scope", "zone=az1", "--end", "later"], "2026-11-24T12:00:00Z"),
        (["silence", "add", "--scope", "zones=az1", "--for", "1h"], "there are region, zone"),
        (["incidents", "ack", "i-none"], "fivenines incidents"),
        (["incidents", "show", "i-none"], "no incident i-none"),
        (["incidents", "note", "i-none"], "note ID TEXT"),
    ],
)
def test_errors_say_what_to_do(config: Path, words: list[str], remedy: str) -> None:
    """Exit status 2, and the remedy."""
    status, text = run(config, *words)
    assert status == 2
    assert remedy in text


def test_incidents_are_listed_as_before(config: Path) -> None:
    """Without a word, and with ``list``; exit status 0 while none is open."""
    assert run(config, "incidents", "--state", "open") == (0, "no open incidents\n")
    assert run(config, "incidents", "list")[0] == 0


def test_nobody_there_is_told_with_the_remedy(config: Path) -> None:
    """A judgement that does not answer is no traceback."""
    status, text = run(config, "silence", "list", "--cfa", "http://127.77.7.1:1")
    assert (status, "fivenines up" in text) == (2, True)


def test_an_incident_as_text_tells_who_took_it_and_why_it_is_over() -> None:
    """Everything that operators added is there."""
    one = incident(acknowledged_at=1.0, acknowledged_by="bob", muted_by=("s-1",), folded_into="i-two").to_json()
    one["recovery"] = {"successes": 138, "hosts": ["a", "b"], "quiet_seconds": 46.0, "share_at_most": 0.02147}
    text = incident_text(one)
    for words in ("by bob", "s-1", "i-two", "138 successes by 2 witnesses in 46 s", "at most 2.1 %"):
        assert words in text
