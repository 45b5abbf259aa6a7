"""What an SDK does by default when an attempt fails; the botocore that is installed is asked, too."""

import json
from pathlib import Path
from types import SimpleNamespace

import botocore
import pytest
from botocore.retries import quota, standard
from hypothesis import given
from hypothesis import strategies as st

from canary.retries import ATTEMPTS, QUOTA, RetryPolicy, Tried, is_retryable
from collector.observation import Outcome

BROKEN = Tried(Outcome.SERVER_FAULT, "http_500", 500)
LOST = Tried(Outcome.UNREACHABLE, "connection_reset", None)
THROTTLED = Tried(Outcome.THROTTLED, "throttled", 400)


@given(chance=st.floats(0.0, 1.0, exclude_max=True), attempts=st.integers(1, 3), throttled=st.booleans())
def test_standard_pauses_are_botocores(chance: float, attempts: int, throttled: bool) -> None:
    """The same pause for the same chance, after a fault and after a throttle."""
    detector = SimpleNamespace(is_throttling_error_from_context=lambda _: throttled)
    theirs = standard.ExponentialBackoff(
        random=lambda: chance, service_name="dynamodb", throttling_detector=detector
    ).delay_amount(SimpleNamespace(attempt_number=attempts, http_response=None))
    ours = RetryPolicy("standard").pause(attempts, THROTTLED if throttled else BROKEN, chance)
    assert ours is not None
    assert ours[0] == pytest.approx(theirs)


def test_the_numbers_are_botocores() -> None:
    """Attempts of both modes, the quota and what retries cost."""
    legacy = json.loads((Path(botocore.__file__).parent / "data" / "_retry.json").read_text(encoding="utf-8"))
    assert legacy["retry"]["dynamodb"]["__default__"]["max_attempts"] == ATTEMPTS["legacy"]
    assert legacy["retry"]["dynamodb"]["__default__"]["delay"] == {
        "type": "exponential",
        "base": 0.05,
        "growth_factor": 2,
    }
    assert standard._SERVICE_MAX_ATTEMPTS["dynamodb"] == ATTEMPTS["standard"]
    assert quota.RetryQuota.INITIAL_CAPACITY == QUOTA
    assert standard.RetryQuotaChecker._RETRY_COST == 14
    assert standard.RetryQuotaChecker._THROTTLING_RETRY_COST == 5


def test_attempts_end() -> None:
    """Four in standard mode, ten in legacy, or what is configured."""
    for policy, most in ((RetryPolicy("standard"), 4), (RetryPolicy("legacy"), 10), (RetryPolicy("standard", 2), 2)):
        assert policy.pause(most - 1, BROKEN, 0.5) is not None
        assert policy.pause(most, BROKEN, 0.5) is None


def test_legacy_doubles_from_fifty_milliseconds() -> None:
    """No jitter, no quota."""
    pauses = [RetryPolicy("legacy").pause(n, LOST, 0.9) for n in range(1, 10)]
    assert pauses == [(0.05 * 2**n, 0) for n in range(9)]


def test_what_is_no_bodys_passing_fault_is_not_retried() -> None:
    """Another 4xx, a certificate, a wrong value; a wrong checksum only in legacy mode."""
    for mode in ("standard", "legacy"):
        for tried in (BROKEN, LOST, THROTTLED, Tried(Outcome.TIMEOUT, "deadline", None)):
            assert is_retryable(mode, tried)
        assert not is_retryable(mode, Tried(Outcome.SERVER_FAULT, "unexpected_4xx", 400))
        assert not is_retryable(mode, Tried(Outcome.UNREACHABLE, "certificate_expired", None))
        assert not is_retryable(mode, Tried(Outcome.WRONG_ANSWER, "stale_read", 200))
    assert [is_retryable(m, Tried(Outcome.WRONG_ANSWER, "crc_mismatch", 200)) for m in ("standard", "legacy")] == [
        False,
        True,
    ]


def test_the_quota_ends_retries_in_a_long_outage_and_comes_back_with_successes() -> None:
    """500 pay for 35 retries; a success gives 1, one after a retry what that retry cost."""
    policy = RetryPolicy("standard")
    assert sum(policy.pause(1, BROKEN, 0.0) is not None for _ in range(100)) == 35
    for _ in range(3):
        policy.succeeded(0)
    assert policy.pause(1, BROKEN, 0.0) is None  # 13 are left
    policy.succeeded(14)
    assert policy.pause(1, BROKEN, 0.0) == (0.0, 14)
