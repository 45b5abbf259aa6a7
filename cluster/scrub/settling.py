"""Which row is right, when the replicas and the archive do not agree (pure).

More than half of those that have something sound to say, and at least two of them, decide. When they are divided evenly, the side of
the archive does: it was made from the log alone, so that what it shares with a replica to the bit was written once. One voice is
never enough: a lost write cannot be told from an item that never was. A damaged row still has a voice when its LSN and its checksum are
those of a sound one: they are what was computed when that row was written, so only its body has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cluster.routing.messages import Row
from cluster.scrub.digest import is_sound

ARCHIVE = "archive"
"""The voter that is no replica."""
ENOUGH = 2


class Seen(StrEnum):
    """What a voter may have instead of a row."""

    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Rotten:
    """A row that is not sound, as far as it may bear witness."""

    lsn: int
    checksum: int


Vote = Row | Rotten | Seen


class Verdict(StrEnum):
    """What is to be done about a place."""

    AGREED = "agreed"
    """Nothing: the replicas hold the same."""
    ARCHIVE_DIFFERS = "archive_differs"
    """Nothing here: the replicas hold the same, but the archive makes another row."""
    REWRITE = "rewrite"
    ERASE = "erase"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The verdict, the row to write (only for REWRITE), and whose row is wrong, as far as is known."""

    verdict: Verdict
    row: Row | None = None
    wrong: tuple[str, ...] = ()


def vote_of(row: Row | None) -> Vote:
    """What a voter that holds ``row`` says."""
    if row is None:
        return Seen.ABSENT
    return row if is_sound(row) else Rotten(row.lsn, row.checksum)


def with_witnesses(votes: Mapping[str, Vote], older: Mapping[str, Vote]) -> dict[str, Vote]:
    """The votes, and those rows of replicas that are behind which a damaged row says are still right.

    Whoever is behind knows nothing of the present, but a sound row of the LSN and checksum that a damaged one has is what that was.
    """
    still = {name: vote for name, vote in older.items() if isinstance(vote, Row)}
    return {**votes, **{n: row for n, row in still.items() if Rotten(row.lsn, row.checksum) in votes.values()}}


def settle(votes: Mapping[str, Vote]) -> Settlement:
    """Decide by the votes of the replicas (and of the archive, as :data:`ARCHIVE`), all as of the same LSN."""
    replicas = {vote for name, vote in votes.items() if name != ARCHIVE}
    if len(replicas) <= 1 and not any(isinstance(vote, Rotten) for vote in replicas):
        return _all_alike(votes, replicas)
    winner = _winner(_voices(votes))
    if winner is None:
        return Settlement(Verdict.UNDECIDED, None, tuple(sorted(n for n, v in votes.items() if isinstance(v, Rotten))))
    wrong = tuple(sorted(name for name, vote in votes.items() if vote != winner))
    if isinstance(winner, Row):
        return Settlement(Verdict.REWRITE, winner, wrong)
    return Settlement(Verdict.ERASE, None, wrong)


def _voices(votes: Mapping[str, Vote]) -> dict[str, Vote]:
    """The votes that count: sound ones, and for the same row those that are rotten and were it once."""
    written = {Rotten(vote.lsn, vote.checksum): vote for vote in votes.values() if isinstance(vote, Row)}
    heard = {name: written.get(vote) if isinstance(vote, Rotten) else vote for name, vote in votes.items()}
    return {name: vote for name, vote in heard.items() if vote is not None}


def _all_alike(votes: Mapping[str, Vote], replicas: set[Vote]) -> Settlement:
    if ARCHIVE in votes and replicas and votes[ARCHIVE] not in replicas:
        return Settlement(Verdict.ARCHIVE_DIFFERS, None, (ARCHIVE,))
    return Settlement(Verdict.AGREED)


def _winner(voices: Mapping[str, Vote]) -> Vote | None:
    counts: dict[Vote, int] = {}
    for vote in voices.values():
        counts[vote] = counts.get(vote, 0) + 1
    for vote, count in counts.items():
        tie = count * 2 == len(voices) and voices.get(ARCHIVE) == vote
        if count >= ENOUGH and (count * 2 > len(voices) or tie):
            return vote
    return None
