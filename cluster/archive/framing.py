"""The bytes of an archived object: a header and records, each with its checksum, and one digest over all (pure).

``magic, header record, records, end mark, sha256``; a record is ``length:u32 crc32:u32 bytes``, the end mark is
``0:u32 number of records:u32``. DynamoDB keeps checksums in every log entry and over every log file (Elhemali et al.,
USENIX ATC 2022, §5.3); the digest finds any change, the records' checksums say where.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable

from cluster.archive.damage import ChecksumWrong, Truncated

MAGIC = b"5nArch1\n"
_RECORD = struct.Struct(">II")
_DIGEST_BYTES = 32


def seal(header: bytes, records: Iterable[bytes]) -> bytes:
    """The object that holds ``header`` and ``records`` (none of which is empty)."""
    parts = [MAGIC, _framed(header)]
    count = 0
    for record in records:
        parts.append(_framed(record))
        count += 1
    parts.append(_RECORD.pack(0, count))
    content = b"".join(parts)
    return content + hashlib.sha256(content).digest()


def _framed(record: bytes) -> bytes:
    assert record, "an empty record would look like the end"
    return _RECORD.pack(len(record), zlib.crc32(record)) + record


def unseal(data: bytes) -> tuple[bytes, list[bytes]]:
    """Header and records of a sealed object; raises :class:`Truncated` or :class:`ChecksumWrong`, saying where."""
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            raise Truncated(f"{len(data)} bytes are not even a beginning")
        raise ChecksumWrong("not an object of the archive")
    found, end = _walk(data)
    digest = data[end : end + _DIGEST_BYTES]
    if len(digest) < _DIGEST_BYTES:
        raise Truncated("the digest is cut off")
    if end + _DIGEST_BYTES != len(data):
        raise ChecksumWrong(f"{len(data) - end - _DIGEST_BYTES} bytes too many")
    if hashlib.sha256(data[:end]).digest() != digest:
        raise ChecksumWrong("the digest over the whole object is wrong")
    return found[0], found[1:]


def _walk(data: bytes) -> tuple[list[bytes], int]:
    """All records, the header first, and where the digest begins."""
    found: list[bytes] = []
    at = len(MAGIC)
    while True:
        if at + _RECORD.size > len(data):
            raise Truncated(f"it ends at byte {len(data)}, after {max(0, len(found) - 1)} records")
        length, checksum = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if length == 0:
            if checksum != len(found) - 1:
                raise ChecksumWrong(f"{len(found) - 1} records where {checksum} were sealed")
            return found, at
        record = data[at : at + length]
        if len(record) < length:
            raise Truncated(f"record {len(found)} is cut off at byte {len(data)}")
        if zlib.crc32(record) != checksum:
            raise ChecksumWrong(f"record {len(found)} at byte {at} does not match its checksum")
        found.append(record)
        at += length
