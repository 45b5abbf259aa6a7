"""The archive in S3, or anything that speaks its protocol (shell).

``If-None-Match: *`` makes a put conditional: of two replicas that seal the same entries one wins. ``ChecksumSHA256`` is verified
by the store on put and by the client on get. Needs boto3: ``pip install 'fivenines[s3]'``.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cluster.archive.store import LIST_KEYS, ArchiveUnavailable

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
_TAKEN = frozenset({"PreconditionFailed", "412"})
_ABSENT = frozenset({"NoSuchKey", "404"})

T = TypeVar("T")


def make_client(*, endpoint_url: str | None, region: str | None, credentials_file: Path | None) -> Any:
    """A boto3 client; credentials from ``credentials_file`` (in the format of ``~/.aws/credentials``) or the usual environment.

    Raises ArchiveUnavailable when boto3 is not installed.
    """
    try:
        import boto3  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as error:
        raise ArchiveUnavailable("an archive in S3 needs boto3: pip install 'fivenines[s3]'") from error
    session = botocore.session.get_session()
    if credentials_file is not None:
        session.set_config_variable("credentials_file", str(credentials_file))
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "max_attempts": 2},
        s3={"addressing_style": "path"} if endpoint_url else {},
    )
    made = boto3.session.Session(botocore_session=session, region_name=region)
    return made.client("s3", endpoint_url=endpoint_url, config=config)


class S3Store:
    """Objects of one bucket under a prefix; ``client`` comes from :func:`make_client`. Its calls block: each runs in a thread."""

    def __init__(self, client: Any, *, bucket: str, prefix: str = "") -> None:
        self._client, self._bucket = client, bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """See :class:`cluster.archive.store.ObjectStore`."""
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        answer = await self._do(
            lambda: self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=data,
                IfNoneMatch="*",
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
            ),
            nothing_when=_TAKEN,
        )
        return answer is not None

    async def get(self, key: str) -> bytes | None:
        """See :class:`cluster.archive.store.ObjectStore`."""

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, ChecksumMode="ENABLED")
            content: bytes = answer["Body"].read()
            return content

        return await self._do(read, nothing_when=_ABSENT)

    async def list(self, prefix: str, after: str = "") -> tuple[str, ...]:
        """See :class:`cluster.archive.store.ObjectStore`."""
        start = {"StartAfter": self._prefix + after} if after else {}
        answer = await self._do(
            lambda: self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=self._prefix + prefix, MaxKeys=LIST_KEYS, **start
            )
        )
        return tuple(found["Key"].removeprefix(self._prefix) for found in (answer or {}).get("Contents", ()))

    async def delete(self, key: str) -> None:
        """See :class:`cluster.archive.store.ObjectStore`."""
        await self._do(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key))

    async def _do(self, work: Callable[[], T], *, nothing_when: frozenset[str] = frozenset()) -> T | None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return await asyncio.to_thread(work)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in nothing_when:
                return None
            raise ArchiveUnavailable(f"S3 refuses: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise ArchiveUnavailable(f"S3 does not answer: {error}") from error
