"""The swarm: a share of it in every test run, the bugs planted on purpose, and the command that replays a seed.

``make simulate SEEDS=1000`` runs more of it.
"""

import json
import os
import subprocess
import sys

import pytest

from fivenines.simulation.__main__ import main
from fivenines.simulation.mutations import MUTATIONS, planted
from fivenines.simulation.nemesis import Trouble
from fivenines.simulation.run import RUN_SECONDS, options, run
from fivenines.simulation.swarm import reports
from fivenines.simulation.tally import Tally, told

SEEDS = range(1, 1 + int(os.environ.get("SIMULATION_SEEDS", "40")))
FOUND_WITHIN_SEEDS = 200


@pytest.mark.parametrize("share", [0, *(pytest.param(more, marks=pytest.mark.proof) for more in (1, 2, 3))])
def test_no_seed_breaks_a_promise(share):
    """Whatever the seed brings: nothing acknowledged is lost, strong operations are linearizable, everything comes back."""
    tally = Tally()
    for report in reports(SEEDS[share::4], processes=1, repeats=False):
        tally.add(report)
        assert not tally.failures, told(report.seed, report.broken)
        assert report.seconds >= 60.0
    assert tally.operations["ok"] > 50 * tally.worlds


SLOWLY_FOUND = ("lease_ignored", "torn_tail")


@pytest.mark.parametrize(
    "mutation",
    [pytest.param(m, marks=pytest.mark.proof) if m in SLOWLY_FOUND else m for m in sorted(MUTATIONS)],
)
def test_planted_bugs_are_found(mutation):
    """A store with a known bug does not survive two hundred seeds; what is found names the bug."""
    with planted(mutation):
        for seed in sorted(range(1, FOUND_WITHIN_SEEDS + 1), key=lambda seed: -promising(seed, mutation)):
            if broken := run(seed).broken:
                assert broken[0].promise in FOUND_BY[mutation], told(seed, broken, mutation)
                return
    pytest.fail(f"{mutation} is not found within {FOUND_WITHIN_SEEDS} seeds")


def promising(seed, mutation):
    """How many strikes of a seed could show the bug: the test looks there first, among the same two hundred seeds."""
    return sum(strike.trouble in SHOWN_BY.get(mutation, ()) for strike in options(seed).strikes)


SHOWN_BY = {"torn_tail": {Trouble.CRASH_IN_FSYNC, Trouble.CRASH}}
FOUND_BY = {
    "one_fsync": {"two_copies"},
    "lease_ignored": {"one_lease", "linearizable"},
    "torn_tail": {"durable_stays", "no_errors_in_the_log"},
}


def test_a_seed_is_the_same_history_every_time():
    """Two runs of a seed in one process have the same trace."""
    tally = Tally()
    for report in reports(range(3, 6), processes=1):
        tally.add(report)
    assert not tally.failures
    assert (tally.worlds, tally.runs) == (3, 6)


def test_a_seed_is_the_same_history_in_every_process():
    """One seed is one bug report: the trace is the same whatever salt the process hashes its texts with."""
    digests = set()
    for salt in ("1", "2"):
        program = "from fivenines.simulation.run import run; print(run(3).digest)"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_the_command_finds_and_replays(capsys):
    """A failure exits with 1 and prints one command; that command finds the same again."""
    assert main(["--seeds", "5", "--processes", "1", "--mutation", "one_fsync"]) == 1
    command = next(line for line in capsys.readouterr().err.splitlines() if "replay:" in line)
    arguments = command.split("fivenines.simulation ")[1].split()
    assert main([*arguments, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["failures"][0]["broken"][0]["promise"] == "two_copies"


def test_the_command_says_what_it_did(capsys):
    """A sound seed exits with 0; its trace can be read; a wrong command exits with 2."""
    assert main(["--seed", "3", "--trace"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(" strike " in line for line in lines)
    assert any(" client " in line for line in lines)
    with pytest.raises(SystemExit) as raised:
        main(["--mutation", "no_such_bug"])
    assert raised.value.code == 2


def test_options_are_drawn_before_anything_happens():
    """A seed's options are values: the same each time, and over before the calm."""
    for seed in range(50):
        chosen = options(seed)
        assert chosen == options(seed)
        assert all(strike.at + strike.seconds < RUN_SECONDS for strike in chosen.strikes)
