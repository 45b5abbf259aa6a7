"""One embedded stack for all end-to-end tests, started and ended as a user does it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig

FIVENINES = [str(Path(sys.executable).parent / "fivenines")]


@dataclass(frozen=True)
class RunningStack:
    """The stack under test: its folder, its process, what it printed until it was ready, and how long that took."""

    folder: Path
    process: subprocess.Popen[str]
    greeting: str
    ready_seconds: float

    def command(self, *arguments: str, timeout: float = 240.0) -> subprocess.CompletedProcess[str]:
        """Run a fivenines command in the stack's folder."""
        return subprocess.run(
            [*FIVENINES, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )

    def json(self, *arguments: str, timeout: float = 240.0) -> Any:
        """The JSON that a command prints."""
        done = self.command(*arguments, timeout=timeout)
        assert done.stdout, f"{arguments}: {done.stderr}"
        return json.loads(done.stdout)

    def endpoints(self) -> dict[str, Any]:
        """What `fivenines endpoints --json` says."""
        listed: dict[str, Any] = self.json("endpoints", "--json")
        return listed

    def client(self, url: str) -> Any:
        """A boto3 client as a user makes it."""
        listed = self.endpoints()
        return boto3.client(
            "dynamodb",
            endpoint_url=url,
            region_name=listed["region"],
            aws_access_key_id=listed["access_key_id"],
            aws_secret_access_key=listed["secret_access_key"],
            config=BotoConfig(connect_timeout=2, read_timeout=5, proxies={}),
        )

    def drill(self, name: str, text: str) -> dict[str, Any]:
        """Run a scenario from a file; its verdict."""
        path = self.folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        done = self.command("drill", "run", "--file", str(path), "--json")
        assert done.stdout, done.stderr
        verdict: dict[str, Any] = json.loads(done.stdout)
        verdict["progress"] = done.stderr
        return verdict


def start(folder: Path) -> RunningStack:
    """`fivenines up` in an empty folder, until it greets."""
    started = time.monotonic()
    process = subprocess.Popen(
        [*FIVENINES, "up", "--quiet"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=(folder / "up.log").open("w"),
        text=True,
        env=os.environ,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "Stop" in line:
            return RunningStack(folder, process, "".join(lines), time.monotonic() - started)
    raise AssertionError(f"the stack did not start:\n{(folder / 'up.log').read_text()}")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The running stack."""
    folder = tmp_path_factory.mktemp("stack")
    running = start(folder)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGINT)
        try:
            running.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            running.process.kill()
            raise
