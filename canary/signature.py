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


class Signer:
    """Signs requests of one access key; keeps the day's derived key and the second's date text."""

    def __init__(self, access_key_id: str, secret: str, region: str, service: str = "dynamodb") -> None:
        self._access_key_id = access_key_id
        self._secret = secret
        self._region = region
        self._service = service
        self._day = ""
        self._key = b""
        self._second = -1
        self._date = ""

    def sign(self, *, host: str, target: str, body_sha256: str, at: float) -> tuple[str, str]:
        """The values of ``X-Amz-Date`` and ``Authorization`` at UTC ``at``."""
        date, key = self._at(int(at))
        scope = f"{self._day}/{self._region}/{self._service}/aws4_request"
        canonical = (
            f"POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\nx-amz-target:{target}\n\n"
            f"{SIGNED_HEADERS}\n{body_sha256}"
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = _hmac(key, f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}").hex()
        credential = f"{self._access_key_id}/{scope}"
        return date, (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}"
        )

    def _at(self, second: int) -> tuple[str, bytes]:
        if second != self._second:
            self._second, self._date = second, amz_date(second)
            if not self._date.startswith(self._day) or not self._day:
                self._day = self._date[:8]
                self._key = signing_key(self._secret, self._day, self._region, self._service)
        return self._date, self._key
