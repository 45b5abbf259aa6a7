"""Two collectors, kill -9 every 10 s for 5 minutes under 5,000 observations/s: over HTTP, then over JetStream with the server killed, too.

There is nothing to compare it with: the ratio is what is in the ledgers to what was handed over, which must be 1.
"""

import asyncio
import math
import os
import tempfile
from pathlib import Path

from benchmarks.figures import Result
from benchmarks.kill_run import Outcome, killed

SECONDS = float(os.environ.get("KILLED_SECONDS", "300"))
EVERY_SECONDS = 10.0
RATE = 5000.0


def run() -> Result:
    """Raises AssertionError when a ledger is not what was handed over: that is no figure but a fault."""
    figures: dict[str, float] = {}
    for over in ("http", "jetstream"):
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(
                killed(Path(folder), seconds=SECONDS, every_seconds=EVERY_SECONDS, rate=RATE, over=over)
            )
        assert found.exact, (
            over,
            found.sent,
            found.counted,
            found.unobserved,
            found.left,
            list(found.wrong.items())[:9],
        )
        figures |= {f"{over}_{name}": value for name, value in figures_of(found).items()}
    counted = figures["http_counted"] + figures["jetstream_counted"]
    sent = figures["http_handed_over"] + figures["jetstream_handed_over"]
    return Result(name="collectors-killed", figures=figures, ratio=counted / sent, against="what was handed over")


def figures_of(found: Outcome) -> dict[str, float]:
    """One run's figures."""
    delays = found.failure_delays or [math.nan]
    return {
        "handed_over": found.sent,
        "counted": found.counted,
        "observations_per_second": found.sent / SECONDS,
        "kills": sum(found.kills.values()),
        "batches_taken": found.answers.get("taken", 0),
        "offers_not_taken": found.answers.get("not_taken", 0),
        "offers_in_doubt": found.answers.get("in_doubt", 0),
        "failure_durable_p50_seconds": delays[len(delays) // 2],
        "failure_durable_p99_seconds": delays[int(len(delays) * 0.99)],
        "failure_durable_max_seconds": delays[-1],
    }
