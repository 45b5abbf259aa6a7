"""``fivenines tables`` shows what the judgement says, and says what is missing when it says nothing."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

from fivenines.cli import app

WINDOW = {"good": 9, "bad": 1, "excluded": 0, "availability": 0.9, "burn_rate": 1000.0, "budget_remaining": -999.0, "verdict": "breach"}  # fmt: skip
IDLE = {**dict.fromkeys(WINDOW), "good": 0, "bad": 0, "excluded": 0, "verdict": "unobserved"}
SIDES = {
    side: dict.fromkeys(("5m", "30m", "1h", "6h", "1d", "7d", "30d"), window)
    for side, window in (("read", IDLE), ("write", WINDOW))
}
TOLD = {"at": 1, "order": "burned", "tables": [{"table": "orders", "vantage": "customer", "sides": SIDES}]}


@pytest.fixture
def judgement() -> Iterator[str]:
    """Answers ``/v1/tables`` alone."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.path.startswith("/v1/tables?order=burned")
            self.send_response(200 if is_known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(TOLD if is_known else {"error": "no counters of a table x"}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_most_burned_tables(judgement: str) -> None:
    """A line for each side; idle ones are unobserved, not fine."""
    result = CliRunner().invoke(app, ["tables", "--cfa", judgement], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "orders" in result.output
    assert "unobserved" in result.output
    assert "breach" in result.output
    as_json = CliRunner().invoke(app, ["tables", "--cfa", judgement, "--json"])
    assert json.loads(as_json.output) == TOLD


def test_a_table_that_nobody_counts(judgement: str) -> None:
    """Exit status 2, with the reason and where to look."""
    result = CliRunner().invoke(app, ["tables", "x", "--cfa", judgement])
    assert result.exit_code == 2
    assert "cfa.counters_feed" in result.output
