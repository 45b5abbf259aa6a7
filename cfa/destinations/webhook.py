"""Any HTTP receiver of Alertmanager's webhook body, version "4", signed if a secret is given (shell).

The signature is made as Stripe and GitHub make theirs: ``X-Fivenines-Signature: t=TIMESTAMP,v1=HEX`` with the HMAC-SHA256 of
``TIMESTAMP.BODY`` under the secret. The time is inside, so that a recorded request cannot be played back later.
"""

import hashlib
import hmac
from pathlib import Path

import msgspec

from cfa.destinations.alert import webhook_body
from cfa.destinations.http import JsonPoster, secret
from cfa.notices import Notice

SIGNATURE = "X-Fivenines-Signature"


def signature(key: bytes, body: bytes, at: float) -> str:
    """The value of the signature's header."""
    stamp = f"{at:.0f}"
    return f"t={stamp},v1={hmac.new(key, stamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


class WebhookDestination:
    """Posts each notice once; ``Idempotency-Key`` lets the receiver drop a delivery repeated after a crash."""

    refresh_seconds: float | None = None

    def __init__(
        self,
        name: str,
        url: str | Path,
        console_url: str,
        token_file: Path | None = None,
        *,
        secret_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self.name = name
        self._console_url = console_url
        self._secret_file = secret_file
        self._poster = JsonPoster(url, token_file, ca_file)

    async def send(self, notice: Notice, now: float) -> None:
        """One POST; raises ``DeliveryFailed``."""
        body = msgspec.json.encode(webhook_body(notice, self._console_url))
        headers = {"Idempotency-Key": notice.key}
        if self._secret_file is not None:
            headers[SIGNATURE] = signature(secret(self._secret_file).encode(), body, now)
        await self._poster.post_bytes(body, headers)

    async def close(self) -> None:
        """Closes the connections."""
        await self._poster.close()
