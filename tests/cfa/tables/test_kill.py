"""kill -9 of a real judgement, again and again, while a table fails and recovers: one page, one resolve, every count once."""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.collector.bulk.frames import counts, names

CHILD = Path(__file__).with_name("kill_child.py")
ROOT = Path(__file__).resolve().parents[3]
TABLES, RATE, ILL = 100, 40, 7


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(part: str, folder: Path, port: int, *more: str) -> subprocess.Popen[bytes]:
    """A part in a process of its own."""
    with (folder.parent / f"{part}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(CHILD), part, str(folder), str(port), *more],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def asked(port: int, path: str, seconds: float = 30.0) -> Any:
    """The answer, as soon as there is one."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, body = ask(port, "GET", path)
            if status == 200:
                return json.loads(body)
        assert time.monotonic() < end, path
        time.sleep(0.2)


class Sender:
    """A batch a second; knows what it sent."""

    def __init__(self, port: int) -> None:
        self.port, self.sequence = port, 0
        self.good, self.bad = 0, 0
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(port, "POST", "/v1/counters", names("lb-1", range(2 * TABLES)))[0] == 200:
                    return
            assert time.monotonic() < end
            time.sleep(0.1)

    def send(self, *, ill: bool) -> None:
        """Table ``ILL`` fails, or none does."""
        self.sequence += 1
        good = {n: RATE for n in range(2 * TABLES) if not (ill and n // 2 == ILL)}
        bad = {2 * ILL: RATE, 2 * ILL + 1: RATE} if ill else {}
        places = {"success": good} | ({"server_fault": bad} if bad else {})
        status, body = ask(
            self.port, "POST", "/v1/counters", counts("lb-1", self.sequence, int(time.time()), places)
        )  # fmt: skip
        assert status == 200, body
        self.good, self.bad = self.good + (0 if ill else 2 * RATE), self.bad + (2 * RATE if ill else 0)


@pytest.mark.proof
@pytest.mark.end_to_end
def test_kill_9_of_the_judgement_forgets_nothing(tmp_path: Path) -> None:
    """A table fails for forty seconds; the judgement is killed every few seconds from before the failure to after its end."""
    feed_port, port, dice = free_port(), free_port(), random.Random(1)
    collector = start("collector", tmp_path / "collector", feed_port)
    url = f"http://127.0.0.1:{feed_port}"
    cfa, deaths = start("cfa", tmp_path / "cfa", port, url), 0
    try:
        sender, began, dies_at = Sender(feed_port), time.monotonic(), 25.0
        while (passed := time.monotonic() - began) < 170:
            sender.send(ill=40 <= passed < 80)
            if passed >= dies_at and passed < 150:
                cfa.send_signal(signal.SIGKILL)
                cfa.wait()
                cfa, deaths = start("cfa", tmp_path / "cfa", port, url), deaths + 1
                dies_at = passed + dice.uniform(5, 16)
            time.sleep(max(0.0, began + passed + 1 - time.monotonic()))
        assert deaths >= 8
        time.sleep(12)
        sender.send(ill=False)  # so that there is a tick after all the others
        time.sleep(3)
        told = asked(port, "/v1/pages")["pages"]
        assert sorted((p["event"], p["n"]) for p in told if p["destination"] == "log") == [
            ("resolve", 1),
            ("trigger", 1),
        ]
        incidents = asked(port, "/v1/incidents")["incidents"]
        assert [(one["scope"], one["state"]) for one in incidents] == [({"table": f"orders-{ILL}"}, "closed")]
        view = asked(port, f"/v1/tables/orders-{ILL}")["views"][0]["sides"]
        hour = [view[side]["1h"] for side in ("read", "write")]
        # the last batch waits for its tick
        assert (sum(one["good"] for one in hour), sum(one["bad"] for one in hour)) == (
            sender.good - 2 * RATE,
            sender.bad,
        )
    finally:
        for process in (cfa, collector):
            process.kill()
            process.wait()
