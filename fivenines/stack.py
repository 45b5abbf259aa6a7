"""The embedded stack: everything on this machine, from nothing (shell)."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cluster.certificates
from cfa.mitigation_config import Hook, ScopeKind
from cluster.loopback import load_topology
from cluster.topology import Topology
from fivenines import control, preflight, secrets
from fivenines.config import Config
from fivenines.fault_control import FaultControl
from fivenines.mitigation import Mitigations
from fivenines.parts import parts_of
from fivenines.supervisor import Supervisor, answers
from fivenines.wiring import resolve, secrets_dir

Progress = Callable[[str], None]
READY_PATIENCE_SECONDS = 60.0


class StackFailed(Exception):
    """The stack did not become ready; the text says which part, and where its log is."""


class Stack:
    """A stack that has been started. ``config`` is the resolved configuration."""

    def __init__(
        self,
        config: Config,
        topology: Topology,
        supervisor: Supervisor,
        faults: FaultControl,
        mitigations: Mitigations,
    ) -> None:
        self.config = config
        self.mitigations = mitigations
        self.topology = topology
        self.supervisor = supervisor
        self.faults = faults
        self.started_at = time.time()

    def state(self) -> dict[str, Any]:
        """What runs, and where: the body of the control socket's ``/state``."""
        parts = [
            {
                "name": name,
                "running": child.running,
                "ready_at": child.ready_at,
                "held": sorted(child.holders),
                "restarts": child.restarts,
            }
            for name, child in self.supervisor.children.items()
        ]
        console = f"http://{self.config.console.host}:{self.config.console.port}"
        cfa = f"http://{self.config.cfa.host}:{self.config.cfa.port}"
        return {"started_at": self.started_at, "pid": os.getpid(), "console": console, "cfa": cfa, "parts": parts}

    async def until_ready(self, progress: Progress, patience: float = READY_PATIENCE_SECONDS) -> None:
        """Wait for every part, the judges first, then for the first answer of every cell; raises :class:`StackFailed`."""
        started = time.monotonic()
        async with asyncio.timeout(patience):
            await self._first_wave(progress)
            await self._second_wave(progress)
        progress(f"ready in {time.monotonic() - started:.1f} s")

    async def _first_wave(self, progress: Progress) -> None:
        children = self.supervisor.children
        waiting = {
            name
            for name, child in children.items()
            if child.part.wave == 0 and child.part.kind not in ("cfa", "console")
        }
        progress(f"starting {len(waiting)} parts: {', '.join(sorted(waiting))}")
        while waiting:
            for name in sorted(n for n in waiting if children[n].ready_at):
                progress(f"{name} is ready")
                waiting.discard(name)
            await asyncio.sleep(0.05)

    async def _second_wave(self, progress: Progress) -> None:
        for name, child in self.supervisor.children.items():
            if child.part.wave == 1:
                await self.supervisor.start(name)
        progress("starting canaries and sample traffic; waiting for every cell's first answer")
        url = f"http://{self.config.console.host}:{self.config.console.port}/api/health"
        while not await answers(url):
            await asyncio.sleep(0.1)


def prepare(config: Config) -> tuple[Config, Topology]:
    """Secrets, certificates and the resolved configuration on disk."""
    state_dir = config.state_dir.resolve()
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    secrets.ensure(state_dir)
    topology = load_topology(config.cluster)
    resolved = _with_hooks(resolve(config, topology, state_dir))
    cluster.certificates.ensure(resolved.cluster, topology)
    (state_dir / "resolved.json").write_text(resolved.model_dump_json(indent=1), encoding="utf-8")
    return resolved, topology


def _with_hooks(config: Config) -> Config:
    """What the embedded store can do for itself, unless the user has hooks: its answer is on the control socket."""
    given = config.cfa.mitigation
    if given.hooks:
        return config
    url, socket = "http://control/mitigations", control.socket_path(config.state_dir)
    kinds: tuple[tuple[str, ScopeKind], ...] = (
        ("shift-zone", "zone"),
        ("withdraw-router", "router"),
        ("roll-back", "version"),
    )
    hooks = tuple(Hook(name=name, on=on, url=url, socket=socket, undo=on != "version") for name, on in kinds)
    cfa = config.cfa.model_copy(update={"mitigation": given.model_copy(update={"hooks": hooks})})
    return config.model_copy(update={"cfa": cfa})


@asynccontextmanager
async def running(config: Config, progress: Progress) -> AsyncIterator[Stack]:
    """A stack that is ready, for as long as the block runs; nothing of it is left afterwards.

    Raises :class:`~fivenines.preflight.InTheWay` before anything starts, and :class:`StackFailed`.
    """
    console = f"http://{config.console.host}:{config.console.port}"
    with preflight.only_one(config.state_dir.resolve(), console):
        resolved, topology = prepare(config)
        parts = parts_of(resolved, topology)
        preflight.check_ports(parts)
        preflight.check_state(resolved.cluster.data_dir)
        stack = _assemble(resolved, topology)
        try:
            async with control.served(resolved.state_dir, stack.faults, stack.mitigations, stack.state):
                await _start(stack, progress)
                yield stack
        finally:
            await stack.faults.close()
            await stack.supervisor.stop()


def _assemble(config: Config, topology: Topology) -> Stack:
    supervisor = Supervisor(parts_of(config, topology), config.state_dir / "resolved.json", config.state_dir / "logs")
    token = secrets.read(secrets_dir(config.state_dir) / "admin_token")
    faults = FaultControl(config, topology, supervisor, token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    stack = Stack(config, topology, supervisor, faults, Mitigations(topology, faults, headers))
    tasks: set[asyncio.Task[None]] = set()

    def tell_again(name: str) -> None:
        task = asyncio.create_task(faults.tell_again(name))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    supervisor.on_ready = tell_again
    return stack


async def _start(stack: Stack, progress: Progress) -> None:
    children = stack.supervisor.children
    await asyncio.gather(*(stack.supervisor.start(name) for name, child in children.items() if child.part.wave == 0))
    try:
        await stack.until_ready(progress)
    except TimeoutError as error:
        raise StackFailed(await _why_not_ready(stack)) from error


async def _why_not_ready(stack: Stack) -> str:
    logs: Path = stack.config.state_dir / "logs"
    late = [name for name, child in stack.supervisor.children.items() if child.ready_at is None]
    lines = [f"not ready after {READY_PATIENCE_SECONDS:g} s: {', '.join(late) or 'some cells have not answered'}"]
    for name in late:
        log = logs / f"{name}.log"
        with contextlib.suppress(OSError, IndexError):
            lines.append(
                f"  {name}: {log.read_text(encoding='utf-8', errors='replace').splitlines()[-1][:200]}  (all of it: {log})"
            )
    return "\n".join(lines)
