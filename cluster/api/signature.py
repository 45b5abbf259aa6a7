"""AWS Signature Version 4: who signed a request, and whether this body and these headers are what was signed (pure).

Source: the AWS General Reference, "Signature Version 4". Any region is accepted in the scope, because clients have all sorts of
default regions; the service must be ``dynamodb``.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from cluster.errors import ApiError

SERVICE = "dynamodb"
ALGORITHM = "AWS4-HMAC-SHA256"
WINDOW_SECONDS = 15 * 60
_REMEMBERED_KEYS = 256
_PART = re.compile(r"\s*([A-Za-z]+)=([^,\s]*)\s*(?:,|\Z)")
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z\Z")
_MUST_BE_SIGNED = ("host", "x-amz-date", "x-amz-target")


@dataclass(frozen=True, slots=True)
class Claim:
    """What an Authorization header says."""

    access_key_id: str
    date: str
    region: str
    signed_headers: tuple[str, ...]
    signature: str


def read_claim(headers: Mapping[str, str]) -> Claim:
    """The claim in lower-case ``headers``; raises MissingAuthenticationToken, IncompleteSignature or InvalidSignature."""
    text = headers.get("authorization")
    if not text:
        raise ApiError("MissingAuthenticationTokenException")
    algorithm, _, rest = text.partition(" ")
    if algorithm != ALGORITHM:
        raise ApiError("IncompleteSignatureException", f"Unsupported AWS 'algorithm': '{algorithm[:64]}'.")
    parts = dict(_PART.findall(rest))
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not parts.get(name)
    ]
    if "x-amz-date" not in headers:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing:
        raise ApiError("IncompleteSignatureException", " ".join(missing))
    scope = parts["Credential"].split("/")
    if len(scope) != 5:
        raise ApiError(
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
        )
    access_key_id, date, region, service, term = scope
    if service != SERVICE or term != "aws4_request":
        raise ApiError("InvalidSignatureException", f"Credential should be scoped to correct service: '{SERVICE}'.")
    return Claim(access_key_id, date, region, tuple(parts["SignedHeaders"].split(";")), parts["Signature"])


def check_time(claim: Claim, stamp: str, at: float) -> None:
    """Raise InvalidSignature unless the request was signed within 15 minutes of ``at`` (UTC epoch seconds)."""
    signed = _epoch(stamp)
    if stamp[:8] != claim.date:
        raise ApiError(
            "InvalidSignatureException",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date.",
        )
    if signed < at - WINDOW_SECONDS:
        raise ApiError("InvalidSignatureException", f"Signature expired: {stamp} is now earlier than {_shown(at)}")
    if signed > at + WINDOW_SECONDS:
        raise ApiError(
            "InvalidSignatureException", f"Signature not yet current: {stamp} is still later than {_shown(at)}"
        )


def _epoch(stamp: str) -> float:
    if not _TIMESTAMP.match(stamp):
        raise _no_timestamp(stamp)
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError as error:
        raise _no_timestamp(stamp) from error


def _no_timestamp(stamp: str) -> ApiError:
    return ApiError("IncompleteSignatureException", f"Date must be in ISO-8601 'basic format'. Got '{stamp[:64]}'.")


def _shown(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ} (± 15 min.)"


def canonical_request(
    headers: Mapping[str, str], signed_headers: tuple[str, ...], body: bytes, *, method: str = "POST", query: str = ""
) -> str:
    """The canonical form of a request to ``/``."""
    lines = "".join([f"{name}:{_trimmed(headers.get(name, ''))}\n" for name in signed_headers])
    return f"{method}\n/\n{query}\n{lines}\n{';'.join(signed_headers)}\n{sha256(body).hexdigest()}"


def _trimmed(value: str) -> str:
    return " ".join(value.split()) if "  " in value or "\t" in value else value.strip()


@dataclass(slots=True)
class Keyring:
    """Secrets by access key id, and the signing keys derived from them (remembered: a key serves a whole day)."""

    secrets: Mapping[str, str]
    _derived: dict[tuple[str, str, str], bytes] = field(default_factory=dict)

    def signing_key(self, claim: Claim) -> bytes:
        """The key of the claim's scope; raises UnrecognizedClient for an unknown access key."""
        scope = (claim.access_key_id, claim.date, claim.region)
        key = self._derived.get(scope)
        if key is None:
            secret = self.secrets.get(claim.access_key_id)
            if secret is None:
                raise ApiError("UnrecognizedClientException")
            key = f"AWS4{secret}".encode()
            for part in (claim.date, claim.region, SERVICE, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            if len(self._derived) >= _REMEMBERED_KEYS:
                self._derived.clear()
            self._derived[scope] = key
        return key

    def verify(self, headers: Mapping[str, str], body: bytes, at: float) -> Claim:
        """The claim, if it is true of ``headers`` and ``body`` at ``at``; raises ApiError."""
        claim = read_claim(headers)
        stamp = headers["x-amz-date"]
        check_time(claim, stamp, at)
        for name in _MUST_BE_SIGNED:
            if name in headers and name not in claim.signed_headers:
                raise ApiError("InvalidSignatureException", f"'{name}' must be a signed header in the AWS request.")
        canonical = canonical_request(headers, claim.signed_headers, body)
        text = (
            f"{ALGORITHM}\n{stamp}\n{claim.date}/{claim.region}/{SERVICE}/aws4_request\n"
            f"{sha256(canonical.encode()).hexdigest()}"
        )
        expected = hmac.digest(self.signing_key(claim), text.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
            raise ApiError("InvalidSignatureException")
        return claim
