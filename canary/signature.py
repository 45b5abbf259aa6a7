"""AWS Signature Version 4 for one request shape: ``POST /`` with a JSON body (pure).

After the AWS General Reference, "Create a signed AWS API request". Signs the same headers in the same order as botocore
does for DynamoDB, so that a canary's request cannot be told from an SDK's.
"""

import hashlib
import hmac
from datetime import UTC, datetime

SIGNED_HEADERS = "content-type;host;x-amz-date;x-amz-target"
CONTENT_TYPE = "application/x-amz-json-1.0"


def amz_date(at: float) -> str:
    """UTC epoch seconds as ``20261123T090000Z``."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y%m%dT%H%M%SZ")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key that signs all requests of a day (``20261123``)."""
    key = _hmac(f"AWS4{secret}".encode(), day)
    return _hmac(_hmac(_hmac(key, region), service), "aws4_request")


def _block(key: bytes, pad: int) -> "hashlib._Hash":
    """SHA-256 after one of HMAC's two key blocks (RFC 2104); copied for each message, so that the key is mixed in once a day."""
    return hashlib.sha256(bytes(byte ^ pad for byte in key.ljust(64, b"\0")))


class Signer:
    """Signs requests of one access key; keeps the day's derived key and the second's date text."""

    def __init__(self, access_key_id: str, secret: str, region: str, service: str = "dynamodb") -> None:
        self._access_key_id = access_key_id
        self._secret = secret
        self._region = region
        self._service = service
        self._day = ""
        self._inner = self._outer = hashlib.sha256()
        self._second = -1
        self._date = self._scope = self._preamble = ""

    def sign(self, *, host: str, target: str, body_sha256: str, at: float) -> tuple[str, str]:
        """The values of ``X-Amz-Date`` and ``Authorization`` at UTC ``at``."""
        date = self._at(int(at))
        scope = self._scope
        canonical = (
            f"POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\nx-amz-target:{target}\n\n"
            f"{SIGNED_HEADERS}\n{body_sha256}"
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}".encode())
        outer.update(inner.digest())
        return date, f"{self._preamble}{outer.hexdigest()}"

    def _at(self, second: int) -> str:
        if second != self._second:
            self._second, self._date = second, amz_date(second)
            if not self._date.startswith(self._day) or not self._day:
                self._begin_day(self._date[:8])
        return self._date

    def _begin_day(self, day: str) -> None:
        self._day = day
        key = signing_key(self._secret, day, self._region, self._service)
        self._inner, self._outer = _block(key, 0x36), _block(key, 0x5C)
        self._scope = f"{day}/{self._region}/{self._service}/aws4_request"
        credential = f"{self._access_key_id}/{self._scope}"
        self._preamble = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={SIGNED_HEADERS}, Signature="
