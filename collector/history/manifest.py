"""What a manifest says of the files that it names, and that it is itself whole (pure).

Manifests of one ledger are numbered and each holds the digest of the one before, so that none can be changed, taken away
or slipped in without it being seen.
"""

import hashlib
from typing import Self

import msgspec

FORMAT = 1


class ManifestError(ValueError):
    """Bytes that are no manifest, or not what was written."""


class SealedVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One version of an interval that the files hold; ``rows`` of it over all zones (0: sealed as empty)."""

    start: int
    version: int
    sealed_at: float
    cause: str
    rows: int


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file: its path below the root, its kind (``intervals`` or a roll-up), size, SHA-256, rows and the sum of each count."""

    path: str
    kind: str
    bytes: int
    sha256: str
    rows: int
    sums: dict[str, int]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``number`` counts the files of a span (an hour or a day), ``serial`` all manifests of the ledger, both from 1."""

    format: int = FORMAT
    ledger: str
    serial: int
    previous: str
    start: int
    seconds: int
    number: int
    written_at: float
    versions: tuple[SealedVersion, ...]
    parts: tuple[Part, ...]
    digest: str = ""

    def signed(self) -> Self:
        """With the digest of all the rest, as it will be read: a whole number of seconds is a float then."""
        read = msgspec.json.decode(msgspec.json.encode(self), type=type(self))
        return msgspec.structs.replace(read, digest=read._digest())

    def _digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self, digest=""))).hexdigest()

    def encode(self) -> bytes:
        """As it is stored."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def of_kind(self, kind: str) -> list[Part]:
        """Its files of one kind."""
        return [part for part in self.parts if part.kind == kind]


_DECODER = msgspec.json.Decoder(Manifest)


def decode(data: bytes) -> Manifest:
    """A stored manifest; raises :class:`ManifestError` when it is not what was written."""
    try:
        manifest = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"not a manifest: {error}") from error
    if manifest.format != FORMAT:
        raise ManifestError(f"format {manifest.format}, this program knows {FORMAT}")
    if manifest._digest() != manifest.digest:
        raise ManifestError("its digest is not that of its content")
    return manifest
