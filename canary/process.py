"""One canary process: all hosts of a zone (shell)."""

import asyncio
import logging
import secrets
import time
from dataclasses import dataclass
from pathlib import Path as FilePath

from prometheus_client import CollectorRegistry

from canary.admin import Admin
from canary.attempt import Asker, tls_context
from canary.checks import Checks
from canary.clock import Clock
from canary.config import CanaryConfig
from canary.confirm import Confirmer
from canary.faults import Component, Fault
from canary.history import History
from canary.keys import KeyBook
from canary.metrics import Metrics
from canary.network import Network
from canary.parts import Parts
from canary.path import Map
from canary.plan import Host, cells, hosts
from canary.pool import Pool
from canary.quarantine import Quarantine
from canary.questions import Questions
from canary.recorder import Recorder
from canary.reporter import Reporter
from canary.resolver import Resolver
from canary.sdk_stream import SdkStream
from canary.selfcheck import LagTicker, SelfCheckRunner, serve_loopback
from canary.signature import Signer
from canary.tally import Tally
from canary.transport.choice import Way, ask_sources, way_of
from canary.worker import Worker

logger = logging.getLogger("canary")


async def run(config: CanaryConfig, zone: str, ready: asyncio.Event | None = None) -> None:
    """Run the hosts of ``zone`` until cancelled; ``ready`` is set when all have planned and reported once."""
    process = await _Process.start(config, zone)
    try:
        await process.run(ready or asyncio.Event())
    finally:
        process.close()


@dataclass(slots=True)
class _Outfit:
    """What a host has before there are keys."""

    host: Host
    network: Network
    resolver: Resolver
    pool: Pool
    asker: Asker
    checks: Checks
    clock: Clock
    tally: Tally
    way: Way
    boot: str


class _Process:
    """Everything of one zone, wired up."""

    def __init__(self, config: CanaryConfig, zone: str, loopback: tuple[asyncio.Server, int]) -> None:
        if not config.endpoints and not config.checks:
            raise ValueError("canary.endpoints and canary.checks are empty: name something to ask")
        if not config.collectors and config.jetstream is None:
            raise ValueError("canary.collectors is empty: name at least one collector to report to")
        self._config = config
        self._zone = zone
        self._loopback, self._loopback_port = loopback
        self._everyone = hosts(config)
        self._faults: dict[str, Fault] = {}
        self._paths = Map(config)
        self._metrics = Metrics(CollectorRegistry())
        self._ticker = LagTicker()
        self._signer = Signer(config.access_key_id, _secret(config.secret_access_key_file) or "", config.signing_region)
        self._outfits = [self._outfit(host) for host in self._everyone if host.zone == zone]
        clock = Clock()
        askers = [outfit.asker for outfit in self._outfits]
        self._keys = KeyBook(config, askers, self._signer, clock) if config.endpoints else None
        self._workers = [self._parts(outfit) for outfit in self._outfits]
        self._metrics.show_asks([parts.confirmer.counts for parts in self._workers])

    @classmethod
    async def start(cls, config: CanaryConfig, zone: str) -> "_Process":
        """A process that listens on its loopback echo and does nothing else yet."""
        if zone not in config.zones:
            raise ValueError(f"zone {zone} is not configured; zones: {', '.join(config.zones)}")
        loopback = await serve_loopback()
        try:
            return cls(config, zone, loopback)
        except BaseException:
            loopback[0].close()
            raise

    def _outfit(self, host: Host) -> _Outfit:
        config = self._config
        boot = f"{int(time.time() * 1000):x}-{secrets.token_hex(4)}"
        network = Network(Component(host.name, host.zone, "canary"), self._faults, self._paths, boot)
        resolver, pool = Resolver(config.resolver), Pool()
        tls = tls_context(str(config.ca_file) if config.ca_file else None)
        return _Outfit(
            host,
            network,
            resolver,
            pool,
            Asker(resolver, network, pool, tls),
            Checks(config.checks, host, network, resolver),
            Clock(lambda: network.skew_seconds),
            Tally(),
            way_of(config, host, boot, _secret(config.collector_token_file)),
            boot,
        )

    def _witness(self, outfit: _Outfit) -> tuple[Reporter, SelfCheckRunner]:
        """The host's reporter and its look at itself, each of which needs the other."""
        config, host = self._config, outfit.host
        selfcheck: SelfCheckRunner
        reporter = Reporter(
            outfit.tally,
            outfit.way.spool,
            outfit.way.transports,
            outfit.clock,
            lambda: selfcheck.health(),  # noqa: PLW0108 - the self-check is made after its reporter
        )
        selfcheck = SelfCheckRunner(
            host.name,
            host.zone,
            network=outfit.network,
            clock=outfit.clock,
            ticker=self._ticker,
            loopback_port=self._loopback_port,
            echoes={
                zone: (config.admin_host, config.admin_ports[zone])
                for zone in config.zones
                if zone in config.admin_ports
            },
            on_change=reporter.hurry,
        )
        return reporter, selfcheck

    def _parts(self, outfit: _Outfit) -> Parts:
        config, host = self._config, outfit.host
        reporter, selfcheck = self._witness(outfit)
        history = History(
            outfit.boot,
            first_version=int(time.time() * 1000),
            began=time.monotonic(),
            eventual_age_seconds=config.eventual_age_seconds,
        )
        return Parts(
            config=config,
            host=host,
            host_count=len(self._everyone),
            asker=outfit.asker,
            pool=outfit.pool,
            clock=outfit.clock,
            signer=self._signer,
            keys=self._keys,
            questions=Questions(config.table, host, self._everyone, history),
            checks=outfit.checks,
            recorder=Recorder(
                host,
                clock=outfit.clock,
                paths=self._paths,
                tally=outfit.tally,
                ticker=self._ticker,
                metrics=self._metrics,
                selfcheck=selfcheck,
                hurry=reporter.hurry,
            ),
            quarantine=Quarantine(config.extra_probes_per_second),
            confirmer=Confirmer(host.zone, cells(config), config.confirm_probes_per_minute),
            asks=ask_sources(config, _secret(config.collector_token_file)),
            reporter=reporter,
            selfcheck=selfcheck,
            metrics=self._metrics,
        )

    async def run(self, ready: asyncio.Event) -> None:
        """Until cancelled."""
        names = frozenset(outfit.host.name for outfit in self._outfits)
        admin = Admin(self._faults, names, self._metrics, _secret(self._config.admin_token_file), self._missing)
        listening = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(admin.run(self._config.admin_host, self._config.admin_ports[self._zone], listening.set))
            group.create_task(self._ticker.run())
            await listening.wait()
            logger.info(
                "%s listens on %s:%d", self._zone, self._config.admin_host, self._config.admin_ports[self._zone]
            )
            if self._keys is not None:
                group.create_task(self._keys.run())
            group.create_task(SdkStream(self._workers[0]).run())
            for parts in self._workers:
                group.create_task(parts.selfcheck.run())
                group.create_task(parts.reporter.run())
                group.create_task(Worker(parts).run())
            group.create_task(self._tell_absence())
            group.create_task(self._gauge())
            group.create_task(self._announce(ready))

    def _missing(self) -> str | None:
        """Why the process is not ready yet."""
        if self._keys is not None and not self._keys.planned.is_set():
            return "no keys planned: the target does not answer yet"
        silent = [parts.host.name for parts in self._workers if not parts.reporter.acknowledged.is_set()]
        return f"no batch acknowledged yet of {', '.join(silent)}" if silent else None

    async def _tell_absence(self) -> None:
        """When asking begins: what earlier lives have not told, and nobody has asked since."""
        if self._keys is not None:
            await self._keys.planned.wait()
        for outfit in self._outfits:
            outfit.way.tell_absence(self._config, outfit.host, len(self._everyone), outfit.clock.wall())

    async def _announce(self, ready: asyncio.Event) -> None:
        if self._keys is not None:
            await self._keys.planned.wait()
        for parts in self._workers:
            await parts.reporter.acknowledged.wait()
        logger.info("%s is ready", self._zone)
        ready.set()

    async def _gauge(self) -> None:
        """Keep the gauges fresh."""
        while True:
            for parts, outfit in zip(self._workers, self._outfits, strict=True):
                self._metrics.queue.labels(parts.host.name).set(len(outfit.way.spool))
                self._metrics.in_doubt.labels(parts.host.name).set(outfit.way.spool.in_doubt)
                self._metrics.quarantined.labels(parts.host.name).set(len(parts.quarantine))
                self._metrics.recused.labels(parts.host.name).set(parts.selfcheck.recused)
            self._metrics.partitions.set(len(self._keys.keys) if self._keys else 0)
            self._metrics.loop_lag.set(self._ticker.worst_ms("metrics") / 1000)
            await asyncio.sleep(1.0)

    def close(self) -> None:
        """Close what no task owns."""
        self._loopback.close()
        for outfit in self._outfits:
            outfit.pool.close()
            outfit.checks.close()
            outfit.resolver.close()


def _secret(path: FilePath | None) -> str | None:
    """The first line of a file, None without a file."""
    return path.read_text(encoding="utf-8").strip() if path else None
