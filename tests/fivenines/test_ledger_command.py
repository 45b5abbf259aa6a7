"""`fivenines ledger`: exit status 0 whole, 1 a finding, 2 wrong use; exclusions with and without a running collector."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fivenines.cli import app
from tests.collector.history_samples import DAY
from tests.collector.samples import free_port
from tests.collector.test_keeping import World, fill


@pytest.fixture
def fivenines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """The command in a folder of its own, whose configured collector has a day of ledger and does not run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "collector"
    Path("fivenines.yaml").write_text(f"collector:\n  data_dir: {folder}\n  port: {free_port()}\n")

    async def build() -> None:
        world = World(folder)
        await fill(world, 3)
        await world.seal(DAY + 4 * 3600)
        await world.keep(DAY + 4 * 3600)
        await world.close()

    asyncio.run(build())

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["ledger", *arguments])
        return result.exit_code, result.output

    return run


def test_verify_says_whole_or_names_the_finding(fivenines: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """For people and for scripts."""
    status, text = fivenines("verify")
    assert (status, text.split(":")[0]) == (0, "whole")
    path = min((tmp_path / "collector" / "history" / "intervals").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    status, text = fivenines("verify", "--json")
    found: dict[str, Any] = json.loads(text)
    assert (status, found["whole"], found["findings"][0]["kind"]) == (1, False, "damaged_file")
    assert found["findings"][0]["place"].endswith(path.name)
    status, text = fivenines("verify", "--history", str(tmp_path / "collector" / "history"))
    assert (status, "damaged_file" in text) == (1, True)
    assert fivenines("verify", "--data-dir", str(tmp_path / "nothing"))[0] == 2


def test_exclusions_are_said_listed_and_undone(fivenines: Callable[..., tuple[int, str]]) -> None:
    """Without a running collector they are written down for its next start; nothing is excluded without a reason."""
    span = ("--start", "2025-11-25T00:00:00Z", "--end", "2025-11-25T01:00:00Z")
    assert fivenines("exclude", *span)[0] == 2
    assert fivenines("exclude", "--reason", "x")[0] == 2
    assert fivenines("exclude", "--start", "noon", "--end", "later", "--reason", "x")[0] == 2
    status, text = fivenines("exclude", *span, "--zone", "az1", "--reason", "power works", "--who", "ann", "--json")
    assert (status, json.loads(text)) == (0, {"id": 1})
    status, text = fivenines("exclude", "--undo", "1", "--reason", "not ours", "--who", "bob")
    assert status == 0
    assert fivenines("exclude", "--undo", "1", "--reason", "again")[0] == 2
    status, text = fivenines("exclude", "--list")
    assert status == 0
    assert [line.split(",")[0] for line in text.splitlines()] == [
        "1 (undone): 2025-11-25T00:00:00Z – 2025-11-25T01:00:00Z",
        "2: undoes 1",
    ]
    assert "zone=az1: power works (ann" in text
    assert fivenines("verify")[0] == 0


def test_availability_needs_a_collector(fivenines: Callable[..., tuple[int, str]]) -> None:
    """And says so."""
    status, text = fivenines("availability", "--table", "orders")
    assert (status, "no collector" in text) == (2, True)


def test_a_report_comes_straight_from_a_history(fivenines: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Without any process running, and the same as the ledger's own sums."""
    root = str(tmp_path / "collector" / "history")
    arguments = [
        "report",
        "--week",
        "2025-W48",
        "--format",
        "json,csv",
        "--out",
        str(tmp_path / "out"),
        "--history",
        root,
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "fivenines-2025-W48.json").read_bytes())
    seen = {
        (one["vantage"], one["scope"]): one["n"]
        for one in report["figures"]
        if (one["view"], one["scope_kind"], one["level"]) == ("requests", "table", "attempt")
    }
    assert set(seen) >= {("canary", "orders"), ("canary", "sessions"), ("canary", "a table")}
    assert sum(one["n"] for one in report["figures"] if (one["view"], one["scope_kind"]) == ("requests", "region")) > 0
    assert CliRunner().invoke(app, [*arguments[:2], "soon", *arguments[3:]]).exit_code == 2
