"""Who may write, who may read (pure): bearer tokens, compared in constant time."""

import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tokens:
    """``write`` None: everybody may do everything. ``read``: a token that may only read; whoever may write may read too."""

    write: bytes | None = None
    read: bytes | None = None

    def may_write(self, authorization: str | None) -> bool:
        """Whether the value of an ``Authorization`` header lets its sender write."""
        return self.write is None or _is(authorization, self.write)

    def may_read(self, authorization: str | None) -> bool:
        """Whether it lets its sender read."""
        return self.may_write(authorization) or (self.read is not None and _is(authorization, self.read))


def _is(authorization: str | None, token: bytes) -> bool:
    shown = (authorization or "").encode("utf-8", "surrogateescape")
    return hmac.compare_digest(shown, b"Bearer " + token)
