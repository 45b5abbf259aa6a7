"""The history's files: a folder, or a bucket by S3's protocol (shell).

A file appears whole or not at all: in a folder by rename after fsync, in a bucket because a PUT is atomic.
"""

import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs


class HistoryUnavailable(OSError):
    """The folder or bucket cannot be read or written; the text says why."""


class Store:
    """Paths are below the root, with ``/``. Methods block; they may be called from several threads."""

    def __init__(self, filesystem: Any, root: str, *, is_local: bool, address: str) -> None:
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._is_local = is_local
        self.address = address

    def write(self, path: str, data: bytes) -> None:
        """Durable and visible under ``path`` on return; raises :class:`HistoryUnavailable`."""
        try:
            if self._is_local:
                _write_file(Path(self._root) / path, data)
            else:
                with self._fs.open_output_stream(self._at(path)) as stream:
                    stream.write(data)
        except (OSError, pa.ArrowException) as error:
            raise HistoryUnavailable(f"{self.address}: {path} cannot be written: {error}") from error

    def read(self, path: str) -> bytes:
        """The whole file; raises :class:`FileNotFoundError` or :class:`HistoryUnavailable`."""
        try:
            with self._fs.open_input_stream(self._at(path)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise HistoryUnavailable(f"{self.address}: {path} cannot be read: {error}") from error

    def open(self, path: str) -> Any:
        """For random access (a pyarrow file); raises :class:`FileNotFoundError`."""
        if self._is_local:
            return pa.memory_map(self._at(path))
        return self._fs.open_input_file(self._at(path))

    def list(self, folder: str = "") -> list[str]:
        """All files below ``folder``, sorted; none when there is no such folder."""
        selector = fs.FileSelector(self._at(folder).rstrip("/"), recursive=True, allow_not_found=True)
        try:
            found = self._fs.get_file_info(selector)
        except (OSError, pa.ArrowException) as error:
            raise HistoryUnavailable(f"{self.address} cannot be listed: {error}") from error
        return sorted(one.path[len(self._root) + 1 :] for one in found if one.type == fs.FileType.File)

    def delete(self, path: str) -> None:
        """Take a file away; it is well when it is gone already."""
        try:
            self._fs.delete_file(self._at(path))
        except FileNotFoundError:
            return
        except (OSError, pa.ArrowException) as error:
            raise HistoryUnavailable(f"{self.address}: {path} cannot be deleted: {error}") from error

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_store(address: str, *, endpoint_url: str | None = None, region: str | None = None) -> Store:
    """``s3://BUCKET/PREFIX``, ``file:///PATH`` or a path. Credentials of S3 come from the environment, as with every AWS SDK.

    Raises ValueError for another kind of address.
    """
    if not address.startswith("s3://"):
        if "://" in address and not address.startswith("file://"):
            raise ValueError(f"{address}: a history is in s3://BUCKET/PREFIX, file:///PATH or a path")
        root = str(Path(address.removeprefix("file://")).absolute())
        return Store(fs.LocalFileSystem(), root, is_local=True, address=root)
    options: dict[str, Any] = {"region": region} if region else {}
    if endpoint_url:
        parts = urlsplit(endpoint_url)
        options |= {"scheme": parts.scheme, "endpoint_override": parts.netloc}
        options |= {} if region else {"region": "us-east-1"}
    filesystem = fs.S3FileSystem(**options, connect_timeout=5, request_timeout=30)
    return Store(filesystem, address.removeprefix("s3://"), is_local=False, address=address)
