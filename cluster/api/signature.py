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
_SIGNATURE_MARK, _SIGNATURE_LENGTH = "Signature=", 64
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
    _check_moment(claim, stamp, _epoch(stamp), at)


def _check_moment(claim: Claim, stamp: str, signed: float, at: float) -> None:
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


class _Mac:
    """HMAC-SHA256 with one key, many times: the key's two blocks are hashed once (RFC 2104)."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(64, b"\0")  # a signing key is a digest, so never longer than a block
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def hex(self, text: bytes) -> str:
        """The code of ``text``."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest()


@dataclass(frozen=True, slots=True)
class _Known:
    """What all requests of one client on one day have in common, once one of them was found true."""

    claim: Claim
    scope: str
    unsigned: tuple[str, ...]
    mac: _Mac


@dataclass(slots=True)
class Keyring:
    """Secrets by access key id, and what was derived from them (remembered: a key serves a whole day)."""

    secrets: Mapping[str, str]
    _derived: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    _known: dict[str, _Known] = field(default_factory=dict)
    _last_stamp: tuple[str, float] = ("", 0.0)

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
        """Whose request it is, if ``headers`` and ``body`` are what was signed, at ``at``; raises ApiError.

        The claim may be that of an earlier request of the same client, day and signed headers.
        """
        head, _, signature = headers.get("authorization", "").rpartition(_SIGNATURE_MARK)
        known = self._known.get(head) if len(signature) == _SIGNATURE_LENGTH and signature.isalnum() else None
        if known is None or "x-amz-date" not in headers:
            return self._verify_new(headers, body, at, head, signature)
        self._check(known, headers, body, at, signature)
        return known.claim

    def _verify_new(self, headers: Mapping[str, str], body: bytes, at: float, head: str, signature: str) -> Claim:
        """The long way, for an Authorization whose first part has not been seen yet."""
        claim = read_claim(headers)
        check_time(claim, headers["x-amz-date"], at)
        unsigned = tuple(name for name in _MUST_BE_SIGNED if name not in claim.signed_headers)
        _refuse_unsigned(headers, unsigned)
        scope = f"{claim.date}/{claim.region}/{SERVICE}/aws4_request"
        known = _Known(claim, scope, unsigned, _Mac(self.signing_key(claim)))
        self._check(known, headers, body, at, claim.signature)
        if claim.signature == signature:
            # Only what is true is remembered, so that nobody without a secret can fill the memory.
            if len(self._known) >= _REMEMBERED_KEYS:
                self._known.clear()
            self._known[head] = known
        return claim

    def _check(self, known: _Known, headers: Mapping[str, str], body: bytes, at: float, signature: str) -> None:
        stamp = headers["x-amz-date"]
        claim = known.claim
        if stamp != self._last_stamp[0]:
            self._last_stamp = stamp, _epoch(stamp)
        _check_moment(claim, stamp, self._last_stamp[1], at)
        if known.unsigned:
            _refuse_unsigned(headers, known.unsigned)
        canonical = canonical_request(headers, claim.signed_headers, body)
        text = f"{ALGORITHM}\n{stamp}\n{known.scope}\n{sha256(canonical.encode()).hexdigest()}"
        if not hmac.compare_digest(known.mac.hex(text.encode()).encode(), signature.encode()):
            raise ApiError("InvalidSignatureException")


def _refuse_unsigned(headers: Mapping[str, str], unsigned: tuple[str, ...]) -> None:
    for name in unsigned:
        if name in headers:
            raise ApiError("InvalidSignatureException", f"'{name}' must be a signed header in the AWS request.")
