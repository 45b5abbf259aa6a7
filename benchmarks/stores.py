"""The stores that are compared, each started as its users start it (shell).

* The bundled store: three zone processes by ``fivenines cluster run``, real sockets between them, every write fsynced.
* dynalite (npm): one Node.js process, nothing replicated, nothing fsynced; it reads signatures and does not check them.
* moto (PyPI): one Python process with threads, items in memory; it does not check signatures either.

The others are installed once into the user's cache folder, never into the repository.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.load import ACCESS_KEY, SECRET
from benchmarks.processes import running
from cluster.config import ClusterConfig
from cluster.loopback import load_topology

DYNALITE, MOTO = "4.0.0", "5.2.5"
TABLE = "bench"
START_SECONDS = 60.0
_PORTS = {
    "http_port": 23800,
    "https_port": 23843,
    "transport_port": 24700,
    "admin_port": 24701,
    "metrics_port": 24910,
}
"""Ports that neither an embedded stack nor the tests use."""
_DYNALITE_PORT, _MOTO_PORT = 23567, 23568


class Missing(Exception):
    """The store cannot be run here; the text says why and what would help."""


@dataclass(frozen=True, slots=True)
class Running:
    """A store that answers: where, and in which processes. ``table_exists``: it has the table already."""

    name: str
    addresses: list[tuple[str, int]]
    pids: tuple[int, ...]
    table_exists: bool = False


def cache() -> Path:
    """Where other people's stores are installed, and where the stores keep their files meanwhile."""
    place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(place) / "fivenines" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def bundled(folder: Path) -> Iterator[Running]:
    """The bundled store: one table of nine partitions, so that every storage node leads one."""
    key, shared = folder / "store_key", folder / "transport_token"
    key.write_text(SECRET)
    shared.write_text(secrets.token_hex(20))
    settings = {
        "data_dir": str(folder / "data"),
        "certificates_dir": str(folder / "certificates"),
        "transport_token_file": str(shared),
        "credentials": [{"access_key_id": ACCESS_KEY, "secret_access_key_file": str(key)}],
        "tables": [{"name": TABLE, "partitions": 9}],
        **_PORTS,
    }
    path = folder / "fivenines.yaml"
    path.write_text(yaml.safe_dump({"cluster": settings}))
    topology = load_topology(ClusterConfig.model_validate_json(json.dumps(settings)))
    with contextlib.ExitStack() as stack:
        pids = [
            stack.enter_context(
                running(
                    [sys.executable, "-m", "fivenines", "cluster", "run", "--zone", zone.name, "--config", str(path)],
                    folder / f"{zone.name}.log",
                    FIVENINES_LOG="WARNING",
                )
            )
            for zone in topology.zones
        ]
        for zone in topology.zones:
            _wait(f"http://{zone.admin}/ready", f"zone {zone.name} is not ready", folder / f"{zone.name}.log")
        doors = [next(iter(router.http.values())) for router in topology.routers]
        yield Running("store", [(door.host, door.port) for door in doors], tuple(pids), table_exists=True)


@contextlib.contextmanager
def dynalite(folder: Path) -> Iterator[Running]:
    """Dynalite with its default: items in memory."""
    program = _installed_dynalite()
    command = ["node", str(program), "--host", "127.0.0.1", "--port", str(_DYNALITE_PORT), "--createTableMs", "0"]
    with running(command, folder / "dynalite.log") as pid:
        _wait(f"http://127.0.0.1:{_DYNALITE_PORT}/", "dynalite does not start", folder / "dynalite.log")
        yield Running("dynalite", [("127.0.0.1", _DYNALITE_PORT)], (pid,))


def _installed_dynalite() -> Path:
    folder = cache() / f"dynalite-{DYNALITE}"
    program = folder / "node_modules" / "dynalite" / "cli.js"
    if not program.exists():
        if not (shutil.which("node") and shutil.which("npm")):
            raise Missing("dynalite needs node (20 or newer) and npm, which are not installed here")
        folder.mkdir(exist_ok=True)
        _install(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"dynalite@{DYNALITE}"])
    return program


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Running]:
    """Moto's server, in a virtual environment of its own."""
    python = _installed_moto()
    command = [str(python), "-m", "moto.server", "--host", "127.0.0.1", "--port", str(_MOTO_PORT)]
    with running(command, folder / "moto.log") as pid:
        _wait(f"http://127.0.0.1:{_MOTO_PORT}/moto-api/", "moto does not start", folder / "moto.log")
        yield Running("moto", [("127.0.0.1", _MOTO_PORT)], (pid,))


def _installed_moto() -> Path:
    folder = cache() / f"moto-{MOTO}"
    done, python = folder / "done", folder / "bin" / "python"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        _install([str(python), "-m", "pip", "install", "--quiet", f"moto[server,dynamodb]=={MOTO}"])
        done.touch()
    return python


def _install(command: list[str]) -> None:
    print(f"installing once: {' '.join(command)}", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"`{' '.join(command)}` failed: {done.stderr.strip().splitlines()[-1:]}")


def _wait(url: str, complaint: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.1)
    said = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise Missing(f"{complaint}; it said last:\n{said}")


STORES: dict[str, Callable[[Path], contextlib.AbstractContextManager[Running]]] = {
    "store": bundled,
    "dynalite": dynalite,
    "moto": moto,
}
