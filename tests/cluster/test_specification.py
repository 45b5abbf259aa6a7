"""The specification of the store's replication, checked exhaustively by Spin; and each rule of it, left out, is missed."""

import subprocess
from pathlib import Path

import pytest

from tests.dashboards.peers import program

SPECIFICATION = Path(__file__).resolve().parents[2] / "cluster" / "specification"

pytestmark = [pytest.mark.peer("spin"), pytest.mark.proof]

SMALL_LOG = "BALLOTS=2 LSNS=1"
SMALL_CHANGE = "BALLOTS=2 LSNS=2 LOST_DISKS=0"
NAMES = "BALLOTS=2 LSNS=3 MEMBERS=3 MAY_ADD=12 MAY_REMOVE=8 LOSERS=8 NO_LEASES"

COMPLETE = [
    ("election_and_lease", "BALLOTS=3"),
    ("election_and_lease", "BALLOTS=2 READS"),
    ("log", "BALLOTS=2 LSNS=2"),
    ("log", "BALLOTS=3 LSNS=1"),
    ("log", f"{SMALL_LOG} SAME_CANDIDATE"),
    ("membership", SMALL_CHANGE),
    ("membership", "BALLOTS=3 LSNS=2 LOST_DISKS=0 NO_LEASES"),
    ("membership", "BALLOTS=2 LSNS=2 MEMBERS=15 LOST_DISKS=2 LOSERS=5 NO_LEASES"),
    ("membership", NAMES),
]
"""Models and their sizes."""

MUTATIONS = [
    ("election_and_lease", "NO_DRIFT_BOUND", "", "at_most_one_valid_lease"),
    ("election_and_lease", "LEASE_FROM_RECEIPT", "", "at_most_one_valid_lease"),
    ("election_and_lease", "VOTER_IGNORES_GRANT", "", "at_most_one_valid_lease"),
    ("election_and_lease", "CANDIDATE_IGNORES_OWN_GRANT", "", "at_most_one_valid_lease"),
    ("election_and_lease", "RESIGNS_BUT_KEEPS_LEASE", "", "at_most_one_valid_lease"),
    ("election_and_lease", "RESTART_FORGETS_GRANT", "", "at_most_one_valid_lease"),
    ("election_and_lease", "RESTART_FORGETS_PROMISE", "", "at_most_one_leader_per_ballot"),
    ("election_and_lease", "SERVES_BEFORE_CAUGHT_UP", "BALLOTS=2 READS", "strong_read_sees_acknowledged_write"),
    ("election_and_lease", "VOTER_IGNORES_GRANT", "BALLOTS=2 READS ANY_LEASES", "strong_read_sees_acknowledged_write"),
    ("log", "ACKNOWLEDGED_AFTER_ONE_FSYNC", SMALL_LOG, "durable_in_a_quorum"),
    ("log", "REPORTS_BEFORE_FSYNC", SMALL_LOG, "durable_in_a_quorum"),
    ("log", "DUPLICATE_COUNTED_TWICE", SMALL_LOG, "durable_in_a_quorum"),
    ("log", "NO_REPROPOSAL", f"{SMALL_LOG} ANY_COPIES", "agreement"),
    ("log", "LOWEST_BALLOT_WINS", "BALLOTS=3 LSNS=1 ANY_COPIES", "agreement"),
    ("log", "VOTER_IGNORES_ITS_PROMISE", f"{SMALL_LOG} ANY_COPIES", "agreement"),
    ("log", "PROMISE_NOT_DURABLE", f"{SMALL_LOG} ANY_COPIES", "agreement"),
    ("log", "PREPARE_BEFORE_OWN_PROMISE_IS_DURABLE", f"{SMALL_LOG} SAME_CANDIDATE", "agreement"),
    ("membership", "NO_STALL_AFTER_CHANGE", f"{SMALL_CHANGE} NO_LEASES", "agreement"),
    ("membership", "LEARNER_COUNTED", f"{SMALL_CHANGE} NO_LEASES", "agreement"),
    ("membership", "COPY_AT_LEARNER_COUNTED", f"{SMALL_CHANGE} NO_LEASES ANY_COPIES", "agreement"),
    ("membership", "LOST_DISK_VOTES", "BALLOTS=2 LSNS=2 NO_LEASES", "agreement"),
    ("membership", "NAME_USED_AGAIN", NAMES, "agreement"),
    ("membership", "TWO_AT_ONCE", f"{SMALL_CHANGE} NO_LEASES", "two_copies_among_the_members"),
    (
        "membership", "TWO_AT_ONCE",
        f"{SMALL_CHANGE} NO_LEASES ANY_COPIES MUTATION_CHANGE_DOES_NOT_END_THE_OFFICE", "agreement",
    ),
    (
        "membership", "TWO_AT_ONCE",
        f"{SMALL_CHANGE} ANY_COPIES MUTATION_PROVISIONAL_LEADER_HOLDS_LEASE", "at_most_one_valid_lease",
    ),
    ("membership", "ACCEPT_DOES_NOT_TELL_COMMITTED", f"{SMALL_CHANGE} NO_LEASES", "two_copies_among_the_members"),
    ("membership", "REMOVAL_COUNTED_AMONG_THE_OLD_ONLY", f"{SMALL_CHANGE} NO_LEASES", "two_copies_among_the_members"),
    ("membership", "LEASE_OF_OLD_MEMBERS", SMALL_CHANGE, "at_most_one_valid_lease"),
]  # fmt: skip
"""A rule left out of a model, its size, and the invariant that must then be found violated."""


def explore(model: str, defines: list[str], directory: Path, *options: str) -> str:
    """What the verifier of ``model`` says that Spin generates; it stops at the first violation and leaves a trail."""
    flags = [f"-D{define}" for define in defines]
    steps = [
        [program("spin"), "-a", *flags, str(SPECIFICATION / f"{model}.pml")],
        [program("gcc"), "-w", "-DSAFETY", "-DNOFAIR", "-DMEMLIM=2000", *options, "-o", "pan", "pan.c"],
        ["./pan", "-m10000", "-w22"],
    ]
    said = ""
    for step in steps:
        done = subprocess.run(step, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
    return said


@pytest.mark.parametrize(("model", "size"), COMPLETE, ids=[f"{model}: {size}" for model, size in COMPLETE])
def test_no_reachable_state_violates_an_invariant(model: str, size: str, tmp_path: Path) -> None:
    """Spin visits every state of the model, to the end, and finds no assertion violated in any of them."""
    said = explore(model, size.split(), tmp_path, "-O1")
    assert "errors: 0" in said, said
    assert "Full statespace search" in said, said
    for unfinished in ("not completed", "max search depth too small", "out of memory", "Bit statespace"):
        assert unfinished not in said, said
    print(next(line.strip() for line in said.splitlines() if "states, stored" in line))


@pytest.mark.parametrize(
    ("model", "mutation", "size", "invariant"), MUTATIONS, ids=[f"{m[1]}-{m[3]}" for m in MUTATIONS]
)
def test_a_rule_that_is_left_out_is_missed(
    model: str, mutation: str, size: str, invariant: str, tmp_path: Path
) -> None:
    """Without the rule, Spin finds a run that violates the invariant, and leaves its trail."""
    defines = [f"MUTATION_{mutation}", *size.split()]
    said = explore(model, defines, tmp_path, "-O0", "-DREVERSE", "-DT_REVERSE")
    assert f"assertion violated {invariant}" in said, said
    assert list(tmp_path.glob("*.trail"))


def test_every_mutation_of_the_models_is_tried() -> None:
    """No mutation is written into a model and then forgotten by the tests."""
    written = {
        word.removeprefix("defined(").rstrip(")").removeprefix("MUTATION_")
        for path in SPECIFICATION.glob("*.pml")
        for word in path.read_text(encoding="utf-8").split()
        if word.startswith(("MUTATION_", "defined(MUTATION_"))
    }
    tried = {name for _, mutation, size, _ in MUTATIONS for name in (mutation, *size.split())}
    assert written <= {name.removeprefix("MUTATION_") for name in tried}
