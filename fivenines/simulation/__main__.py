"""``python -m fivenines.simulation``: live through many seeds, or one again."""

import argparse
import json
import os
import sys
import time

from fivenines.simulation.mutations import MUTATIONS, planted
from fivenines.simulation.run import run
from fivenines.simulation.swarm import reports
from fivenines.simulation.tally import Report, Tally, told

EPILOG = """
Example: .venv/bin/python -m fivenines.simulation --seeds 200
Example: .venv/bin/python -m fivenines.simulation --seed 17 --trace > seed-17.txt
Example: .venv/bin/python -m fivenines.simulation --seeds 200 --mutation one_fsync
Exit status: 0 every promise was kept, 1 one was broken, 2 the command was wrong.
"""


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="python -m fivenines.simulation",
        description="The whole bundled store in virtual time, under faults drawn from a seed, with every promise checked.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--seed", type=int, help="live through this one seed, twice, and say what happened")
    found.add_argument("--seeds", type=int, default=100, metavar="N", help="so many seeds (default: 100)")
    found.add_argument("--first", type=int, default=1, metavar="K", help="the first of them (default: 1)")
    found.add_argument("--mutation", choices=sorted(MUTATIONS), help="plant this bug first; the checkers must find it")
    found.add_argument("--trace", action="store_true", help="with --seed: print everything that happened, in order")
    found.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="P", help="processes side by side")
    found.add_argument("--keep-going", action="store_true", help="do not stop at the first seeds that fail")
    found.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    asked = parser().parse_args(arguments)
    if asked.seeds < 1 or asked.processes < 1:
        parser().error("--seeds and --processes must be at least 1")
    tally = Tally()
    if asked.seed is not None:
        _one(asked.seed, asked.mutation, tally, trace=asked.trace)
    else:
        _many(asked, tally)
    if asked.json:
        print(json.dumps(tally.summary(), indent=2))
    elif not asked.trace:
        print(tally.table())
    return 1 if tally.failures else 0


def _one(seed: int, mutation: str | None, tally: Tally, *, trace: bool) -> None:
    with planted(mutation):
        for keeps in (trace, False):
            report = run(seed, keeps_trace=keeps)
            if keeps:
                print("\n".join(report.lines))
            _take(report, mutation, tally)


def _many(asked: argparse.Namespace, tally: Tally) -> None:
    seeds = range(asked.first, asked.first + asked.seeds)
    began, total = time.monotonic(), 2 * len(seeds)
    for report in reports(seeds, mutation=asked.mutation, processes=asked.processes):
        _take(report, asked.mutation, tally)
        if sys.stderr.isatty():
            done = f"{tally.runs} of {total} runs, {len(tally.failures)} failed, {time.monotonic() - began:.0f} s"
            print(f"\r{done}\033[K", end="", file=sys.stderr, flush=True)
        if tally.failures and not asked.keep_going:
            break
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _take(report: Report, mutation: str | None, tally: Tally) -> None:
    if tally.add(report):
        print(told(report.seed, tally.failures[report.seed], mutation), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
