"""The archive in a local directory: the default, for one machine or a shared file system (shell)."""

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cluster.archive.store import LIST_KEYS, ArchiveUnavailable
from cluster.disk import fsync_directory

DRAFTS = ".drafts"
"""Folder of what is being written; what a crash has left there may be removed at any time."""

T = TypeVar("T")


class DirectoryStore:
    """Objects are files. One is written aside, fsynced, read back, and then linked to its name, which fails when it is taken."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """See :class:`cluster.archive.store.ObjectStore`."""
        return await self._do(lambda: self._put(self._path(key), data))

    async def get(self, key: str) -> bytes | None:
        """See :class:`cluster.archive.store.ObjectStore`."""
        return await self._do(lambda: _read(self._path(key)))

    async def list(self, prefix: str, after: str = "") -> tuple[str, ...]:
        """See :class:`cluster.archive.store.ObjectStore`."""
        return await self._do(lambda: self._list(prefix, after))

    async def delete(self, key: str) -> None:
        """See :class:`cluster.archive.store.ObjectStore`."""
        await self._do(lambda: self._path(key).unlink(missing_ok=True))

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise ArchiveUnavailable(f"the archive {self._root} refuses: {error}") from error

    def _path(self, key: str) -> Path:
        if any(part in ("", ".", "..", DRAFTS) for part in key.split("/")):
            raise ValueError(f"not a name of the archive: {key!r}")
        return self._root / key

    def _put(self, path: Path, data: bytes) -> bool:
        if path.exists():
            return False
        drafts = self._root / DRAFTS
        drafts.mkdir(parents=True, exist_ok=True)
        _make_folder(self._root, path.parent)
        draft = drafts / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            _write(draft, data)
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        fsync_directory(path.parent)
        return True

    def _list(self, prefix: str, after: str) -> tuple[str, ...]:
        # Only the folder that the prefix lies in is walked: a group's name is a folder, so others' objects cost nothing.
        start = self._root / prefix.rpartition("/")[0]
        found = (str(path.relative_to(self._root)) for path in start.rglob("*") if path.is_file())
        wanted = (name for name in found if name.startswith(prefix) and name > after and not name.startswith(DRAFTS))
        return tuple(sorted(wanted)[:LIST_KEYS])


def _make_folder(root: Path, folder: Path) -> None:
    """Make ``folder``, and each new name on the way to it durable."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    while folder != root:
        folder = folder.parent
        fsync_directory(folder)


def _write(path: Path, data: bytes) -> None:
    """Write, make durable, and verify what the disk has taken."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if hashlib.sha256(path.read_bytes()).digest() != hashlib.sha256(data).digest():
        raise OSError(f"{path} does not hold what was written")


def _read(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return path.read_bytes()
    return None
