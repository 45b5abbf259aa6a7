"""How many of a run's requests may still fail before it is no sign of recovery (pure)."""

from math import exp, lgamma, log

from cfa.tables.policy import CLEAR_CONFIDENCE, CLEAR_FLOOR, CLEAR_SHARE


def clear_share(share: float) -> float:
    """p_clear: what an incident of this share would still have to show, if it went on."""
    return max(share * CLEAR_SHARE, min(CLEAR_FLOOR, share), 1e-9)


def speaks_for_recovery(failures: int, attempts: int, share: float) -> bool:
    """Whether so few failures would be improbable (``CLEAR_CONFIDENCE``) if p_clear still failed: P(X ≤ failures) by Poisson."""
    mean = attempts * clear_share(share)
    if failures >= mean:
        return False
    first = exp(max(-700.0, failures * log(mean) - mean - lgamma(failures + 1)))
    # terms fall by at least failures / mean: a geometric bound of the sum below
    return first / (1 - failures / mean) <= CLEAR_CONFIDENCE


def is_calm(failures: int, attempts: int, share: float) -> bool:
    """Whether a tick by itself looks more like recovery than like more of the same."""
    return failures <= attempts * clear_share(share) / 2
