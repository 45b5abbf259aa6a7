"""Every error a customer can be told: its DynamoDB name, HTTP status, whether a retry may help, and whose fault it is (pure).

One table. Sources: the DynamoDB API reference (common errors, errors of each operation) and what long-lived compatible
servers recorded of the message texts.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cluster.ports import ErrorKind


class Outcome(StrEnum):
    """What came of a request, as counted in ``store_requests_total``."""

    SUCCESS = "success"
    SERVER_FAULT = "server_fault"
    THROTTLED = "throttled"
    CUSTOMER_FAULT = "customer_fault"


@dataclass(frozen=True, slots=True)
class Meaning:
    """How one error is told: ``type`` is the body's ``__type``; ``message`` is what is said when nothing more is known."""

    type: str
    status: int
    retryable: bool
    outcome: Outcome
    message: str = ""


_MODEL = "com.amazonaws.dynamodb.v20120810#"
_CORAL = "com.amazon.coral.service#"
_THROTTLED = (
    "The level of configured provisioned throughput for the table was exceeded. "
    "Consider increasing your provisioning level with the UpdateTable API."
)
_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)


def _customer(prefix: str, name: str, message: str = "", *, status: int = 400, retryable: bool = False) -> Meaning:
    return Meaning(prefix + name, status, retryable, Outcome.CUSTOMER_FAULT, message)


MEANINGS: dict[str, Meaning] = {
    "InternalServerError": Meaning(
        _MODEL + "InternalServerError", 500, True, Outcome.SERVER_FAULT, "Internal server error"
    ),
    "ServiceUnavailable": Meaning(
        _CORAL + "ServiceUnavailable", 503, True, Outcome.SERVER_FAULT, "Service is temporarily unavailable"
    ),
    "ProvisionedThroughputExceededException": Meaning(
        _MODEL + "ProvisionedThroughputExceededException", 400, True, Outcome.THROTTLED, _THROTTLED
    ),
    "ThrottlingException": Meaning(
        "com.amazon.coral.availability#ThrottlingException", 400, True, Outcome.THROTTLED, "Rate exceeded"
    ),
    "ConditionalCheckFailedException": _customer(
        _MODEL, "ConditionalCheckFailedException", "The conditional request failed"
    ),
    "ResourceNotFoundException": _customer(_MODEL, "ResourceNotFoundException", "Requested resource not found"),
    "ResourceInUseException": _customer(_MODEL, "ResourceInUseException", "Table already exists"),
    "LimitExceededException": _customer(_MODEL, "LimitExceededException", retryable=True),
    "ValidationException": _customer("com.amazon.coral.validate#", "ValidationException"),
    "SerializationException": _customer(_CORAL, "SerializationException"),
    "UnknownOperationException": _customer(_CORAL, "UnknownOperationException"),
    "AccessDeniedException": _customer(_CORAL, "AccessDeniedException"),
    "MissingAuthenticationTokenException": _customer(
        _CORAL, "MissingAuthenticationTokenException", "Request is missing Authentication Token"
    ),
    "IncompleteSignatureException": _customer(_CORAL, "IncompleteSignatureException"),
    "InvalidSignatureException": _customer(_CORAL, "InvalidSignatureException", _SIGNATURE),
    "UnrecognizedClientException": _customer(
        _CORAL, "UnrecognizedClientException", "The security token included in the request is invalid."
    ),
    "RequestEntityTooLargeException": _customer(
        _CORAL, "RequestEntityTooLargeException", "Request entity too large", status=413
    ),
    "RequestTimeoutException": _customer(
        _CORAL, "RequestTimeoutException", "The request did not arrive in time", status=408, retryable=True
    ),
    "BadRequestException": _customer(_CORAL, "BadRequestException", "The request is not valid HTTP"),
    "RequestHeaderTooLargeException": _customer(
        _CORAL, "RequestHeaderTooLargeException", "Request header fields too large", status=431
    ),
}

KINDS: dict[ErrorKind, str] = {
    ErrorKind.NO_LEADER: "InternalServerError",
    ErrorKind.TIMEOUT: "InternalServerError",
    ErrorKind.UNREACHABLE: "InternalServerError",
    ErrorKind.UNAVAILABLE: "ServiceUnavailable",
    ErrorKind.THROTTLED: "ProvisionedThroughputExceededException",
    ErrorKind.NO_SUCH_TABLE: "ResourceNotFoundException",
    ErrorKind.TABLE_EXISTS: "ResourceInUseException",
    ErrorKind.CORRUPT: "InternalServerError",
    ErrorKind.DISK_FULL: "InternalServerError",
    ErrorKind.INTERNAL: "InternalServerError",
}
"""The back's refusals in the customer's words."""


class ApiError(Exception):
    """An answer other than success: ``name`` is a key of :data:`MEANINGS`, ``extra`` further fields of the body."""

    def __init__(self, name: str, message: str = "", *, extra: dict[str, Any] | None = None) -> None:
        self.name = name
        self.meaning = MEANINGS[name]
        self.message = message or self.meaning.message
        self.extra = extra
        super().__init__(self.message)

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"__type": self.meaning.type, "message": self.message, **(self.extra or {})}


class Invalid(ApiError):
    """The request breaks a rule of the API: a ValidationException."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


class Unreadable(ApiError):
    """The request's JSON has a value of the wrong type: a SerializationException."""

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message)


def by_status(status: int) -> str:
    """The name of the error that an injected fault of this HTTP status shows."""
    if status == 503:
        return "ServiceUnavailable"
    if status >= 500:
        return "InternalServerError"
    return "ThrottlingException" if status == 429 else "ValidationException"
