"""What an SDK saw, in our words: its operation's class, its outcome and a reason (pure; standard library only).

Sources: ``botocore/retryhandler.py`` and ``retries/standard.py`` (codes that are throttles, exceptions that are transient),
and the API reference of DynamoDB (operations). A customer's request may well be wrong, so a 4xx is the customer's fault
and excluded, as the store's own servers count it.
"""

from bisect import bisect_left

from collector.observation import OperationClass, Outcome
from collector.series import LATENCY_BOUNDS_MS

OPERATIONS: dict[str, OperationClass] = {
    "GetItem": OperationClass.EVENTUAL_READ,
    "PutItem": OperationClass.WRITE,
    "UpdateItem": OperationClass.WRITE,
    "DeleteItem": OperationClass.WRITE,
    "BatchWriteItem": OperationClass.WRITE,
    "BatchGetItem": OperationClass.BATCH,
    "Query": OperationClass.QUERY,
    "Scan": OperationClass.QUERY,
    "ExecuteStatement": OperationClass.QUERY,
    "BatchExecuteStatement": OperationClass.BATCH,
    "TransactGetItems": OperationClass.TRANSACTION,
    "TransactWriteItems": OperationClass.TRANSACTION,
    "ExecuteTransaction": OperationClass.TRANSACTION,
}
"""What is not here is the control plane. A ``GetItem`` is an eventual read unless someone knows better: that is AWS's default."""

THROTTLES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)

_WRONG = ("checksum", "responseparser", "crc")
_NEVER_SENT = (
    "paramvalidation",
    "credential",
    "unknownservice",
    "noregion",
    "invalidregion",
    "configuration",
    "token",
    "sso",
)
"""Exceptions of an SDK that has not asked anybody: the program, or its configuration, is to blame."""


def operation_of(api: str, *, strong: bool | None = None) -> OperationClass:
    """The class of an API's name; ``strong``: whether a read asked for consistency, as far as it is known."""
    known = OPERATIONS.get(api, OperationClass.CONTROL)
    return OperationClass.STRONG_READ if strong and known is OperationClass.EVENTUAL_READ else known


def outcome_of(status: int | None, code: str | None, exception: str | None) -> tuple[Outcome, str]:
    """What came of an attempt or call, and the reason.

    ``status``: of the answer; ``code``: the service's error code; ``exception``: the class name of the SDK's own error. When
    none of the three is known, nothing was sent: the customer's side gave up before.
    """
    if code in THROTTLES or status == 429:
        return Outcome.THROTTLED, code or "http_429"
    if exception:
        return _of_exception(exception)
    if status is None:
        return Outcome.CUSTOMER_FAULT, code or "not_sent"
    if status < 400 and not code:
        return Outcome.SUCCESS, ""
    if status == 408:
        return Outcome.TIMEOUT, "http_408"
    if 400 <= status < 500:
        return Outcome.CUSTOMER_FAULT, code or f"http_{status}"
    return Outcome.SERVER_FAULT, f"http_{status}" if status >= 500 else (code or "error")


def _of_exception(name: str) -> tuple[Outcome, str]:
    word = name.rpartition(".")[2].lower()
    reason = name.rpartition(".")[2][:64]
    if "timeout" in word or "timedout" in word or "deadline" in word:
        return Outcome.TIMEOUT, reason
    if any(part in word for part in _WRONG):
        return Outcome.WRONG_ANSWER, reason
    if any(part in word for part in _NEVER_SENT):
        return Outcome.CUSTOMER_FAULT, reason
    return Outcome.UNREACHABLE, reason


def bucket_of(milliseconds: float) -> int:
    """The place of a latency in the histogram."""
    return bisect_left(LATENCY_BOUNDS_MS, milliseconds)


def table_of(name: str) -> str:
    """A table's name out of a name or an ARN."""
    return name.partition(":table/")[2].partition("/")[0] if name.startswith("arn:") else name
