"""What is in the way of a stack, found before anything starts (shell)."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.format import OtherFormat, check
from cluster.topology import Address
from fivenines.parts import Part


class InTheWay(Exception):
    """Something else holds what the stack needs; the text says what, and what to do."""


@contextlib.contextmanager
def only_one(state_dir: Path, console_url: str) -> Iterator[None]:
    """Hold the lock of ``state_dir``; raises :class:`InTheWay` when another stack has it."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InTheWay(_already_up(state_dir, file.name)) from error
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "started_at": time.time(), "console": console_url}, file)
        file.flush()
        yield
        file.truncate(0)


def _already_up(state_dir: Path, lock: str) -> str:
    try:
        holder = json.loads(Path(lock).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"another fivenines is using {state_dir}"
    return (
        f"fivenines is already up here: process {holder['pid']}, console {holder['console']}, data in {state_dir}.\n"
        "Look at it with 'fivenines status', or stop it with Ctrl-C where it runs."
    )


def check_state(data_dir: Path) -> None:
    """Raise :class:`InTheWay` when the store's files are of another version."""
    try:
        check(data_dir)
    except OtherFormat as error:
        raise InTheWay(str(error)) from error


def check_ports(parts: tuple[Part, ...]) -> None:
    """Raise :class:`InTheWay` naming every address that is taken, by whom as far as can be seen, and the part that needs it."""
    taken = [(part.name, address) for part in parts for address in part.listens if not _free(address)]
    if not taken:
        return
    lines = [f"  {address}  needed by {name}, {_holder(address)}" for name, address in taken]
    advice = "Stop what listens there (another fivenines?), or choose other ports in fivenines.yaml: 'fivenines config schema'."
    raise InTheWay("\n".join(["these addresses are taken:", *lines, advice]))


def _free(address: Address) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As asyncio's servers do: a connection in TIME_WAIT is not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError:
            return False
    return True


def _holder(address: Address) -> str:
    """Who listens at ``address``, on Linux and for processes that we may look at."""
    inode = _listening_inode(address)
    if inode is not None:
        for entry in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if entry.readlink().name == f"socket:[{inode}]":
                    pid = entry.parts[2]
                    command = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    return f"held by process {pid} ({command.strip()[:80]})"
    return "held by a process that cannot be seen from here"


def _listening_inode(address: Address) -> str | None:
    packed = socket.inet_aton(address.host)[::-1].hex().upper()
    wanted = {f"{packed}:{address.port:04X}", f"00000000:{address.port:04X}"}
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1] in wanted and fields[3] == "0A":
                return fields[9]
    return None
