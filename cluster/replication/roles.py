"""The roles of a replica and the only ways from one to another, each with its named reasons (pure)."""

from enum import StrEnum


class Past(StrEnum):
    """What a replica remembers of what it promised and stored."""

    NONE = "none"
    """It has never run here: it votes only where nobody of the group has ever stored anything."""
    SOUND = "sound"
    LOST = "lost"
    """The disk is another one, or damaged: it does not vote; the leader replaces it."""


class Role(StrEnum):
    """What a replica is at the moment."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


TRANSITIONS: dict[tuple[Role, Role], frozenset[str]] = {
    (Role.FOLLOWER, Role.CANDIDATE): frozenset({"fresh_group", "leader_silent", "leader_resigned", "handed_over_to"}),
    (Role.CANDIDATE, Role.LEADER): frozenset({"elected"}),
    (Role.CANDIDATE, Role.CANDIDATE): frozenset({"handed_over_to"}),
    (Role.CANDIDATE, Role.FOLLOWER): frozenset(
        {
            "leader_heard",
            "voted_for_another",
            "peer_hears_leader",
            "higher_ballot",
            "behind",
            "no_quorum",
            "members_changed",
            "past_lost",
        }
    ),
    (Role.LEADER, Role.FOLLOWER): frozenset(
        {
            "lease_expired",
            "not_established",
            "handed_over",
            "ballot_outdated",
            "superseded",
            "voted_for_another",
            "members_changed",
        }
    ),
}
"""Every other change is a bug and raises."""


def check(before: Role, after: Role, reason: str) -> None:
    """Raise AssertionError for a change of role, or a reason for it, that the table does not know."""
    if reason not in TRANSITIONS.get((before, after), frozenset()):
        raise AssertionError(f"no transition {before} -> {after} ({reason})")
