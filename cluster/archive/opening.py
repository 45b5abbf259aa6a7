"""Which object store the configuration, or an address on the command line, means (shell)."""

from pathlib import Path
from urllib.parse import urlsplit

from cluster.archive.directory import DirectoryStore
from cluster.archive.s3 import S3Store, make_client
from cluster.archive.store import ArchiveUnavailable, ObjectStore
from cluster.config import ArchiveConfig, ClusterConfig


def open_configured(config: ClusterConfig) -> ObjectStore | None:
    """The archive of a store; None when it is off. Raises ArchiveUnavailable when it cannot be used at all."""
    archive = config.archive
    match archive.store:
        case "off":
            return None
        case "s3":
            if archive.bucket is None:
                raise ArchiveUnavailable("cluster.archive.bucket: an archive in S3 needs a bucket")
            return _s3(archive, archive.bucket, archive.prefix)
        case _:
            return DirectoryStore(archive.directory or default_directory(config.data_dir))


def default_directory(data_dir: Path) -> Path:
    """Beside the store's data, not in it: who removes the data must not take the archive with it."""
    return data_dir.parent / "archive"


def open_address(address: str, archive: ArchiveConfig) -> ObjectStore:
    """``s3://bucket/prefix`` (endpoint and credentials from ``archive``), ``file:///path``, or a path."""
    parts = urlsplit(address)
    if parts.scheme == "s3":
        return _s3(archive, parts.netloc, parts.path)
    if parts.scheme in ("", "file"):
        path = Path(parts.path if parts.scheme else address)
        if not path.is_dir():
            raise ArchiveUnavailable(f"there is no folder {path}")
        return DirectoryStore(path)
    raise ArchiveUnavailable(f"'{address}' is no archive; give s3://BUCKET/PREFIX, file:///PATH or a path")


def _s3(archive: ArchiveConfig, bucket: str, prefix: str) -> S3Store:
    client = make_client(
        endpoint_url=archive.endpoint_url, region=archive.region, credentials_file=archive.credentials_file
    )
    return S3Store(client, bucket=bucket, prefix=prefix)
