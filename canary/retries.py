"""What an SDK does by default when an attempt fails: again or not, and after how long (pure).

Sources: AWS SDKs and Tools Reference Guide, "Retry behavior"; botocore 1.43 ``retries/standard.py``, ``retries/quota.py`` and
``data/_retry.json`` (a test compares with the botocore that is installed).

* ``standard`` (as SDKs have it from November 2026): DynamoDB 4 attempts; pause = random[0, 1) × min(scale × 2^(n−1), 20 s) before
  retry n, scale 25 ms for DynamoDB, 1 s after a throttle; a quota of 500, a retry costs 14 (5 after a throttle), which comes back when
  that retry succeeds; a call that succeeds at once gives 1.
* ``legacy`` (boto3 before): DynamoDB 10 attempts; pause = 50 ms × 2^(n−1), no jitter, no quota.

Both retry lost connections, timeouts, 500, 502, 503, 504 and throttles; legacy retries a wrong checksum as well. Nothing else is.
"""

from dataclasses import dataclass
from typing import Literal

from collector.observation import Outcome

Mode = Literal["standard", "legacy"]
ATTEMPTS: dict[Mode, int] = {"standard": 4, "legacy": 10}
MAX_PAUSE_SECONDS = 20.0
QUOTA = 500
TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Tried:
    """What an SDK sees of a failed attempt."""

    outcome: Outcome
    reason: str
    status: int | None


def is_retryable(mode: Mode, tried: Tried) -> bool:
    """Whether another attempt may help, as SDKs see it."""
    if tried.status is None:
        return not tried.reason.startswith("certificate_")
    if tried.reason == "crc_mismatch":
        return mode == "legacy"
    return tried.status in TRANSIENT_STATUSES or tried.outcome is Outcome.THROTTLED


class RetryPolicy:
    """One client's retries; the quota is shared by its calls."""

    def __init__(self, mode: Mode, max_attempts: int | None = None) -> None:
        self.mode: Mode = mode
        self.max_attempts = max_attempts or ATTEMPTS[mode]
        self._quota = QUOTA

    def pause(self, attempts: int, tried: Tried, chance: float) -> tuple[float, int] | None:
        """Seconds to wait before the next attempt and what it costs of the quota; None: the call has failed.

        ``attempts`` were made, all of them failed, the last as ``tried``; ``chance`` is random in [0, 1).
        """
        if attempts >= self.max_attempts or not is_retryable(self.mode, tried):
            return None
        if self.mode == "legacy":
            return 0.05 * 2 ** (attempts - 1), 0
        throttled = tried.outcome is Outcome.THROTTLED
        cost = 5 if throttled else 14
        if cost > self._quota:
            return None
        self._quota -= cost
        scale = 1.0 if throttled else 0.025
        return chance * min(scale * 2 ** (attempts - 1), MAX_PAUSE_SECONDS), cost

    def succeeded(self, last_cost: int) -> None:
        """A call succeeded; ``last_cost`` is what its last retry cost, 0 when the first attempt was good."""
        self._quota = min(QUOTA, self._quota + (last_cost or 1))
