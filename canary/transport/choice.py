"""A host's way to the ledger, by configuration: its lanes, and the spool before them (shell)."""

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from canary.absence import absent
from canary.backlog import Bound, MemoryStore, Store
from canary.config import CanaryConfig
from canary.plan import Host
from canary.spool import Spool
from canary.spool_files import DiskStore
from canary.tally import Content
from canary.transport.asks import AskSource, HttpAsks, JetStreamAsks
from canary.transport.config import CollectorTlsConfig
from canary.transport.http import HttpTransport
from canary.transport.jetstream import JetStreamTransport
from canary.transport.port import Transport

logger = logging.getLogger("canary")


@dataclass(frozen=True, slots=True)
class Way:
    """``told_until``: up to this UTC time earlier lives of the host have told everything; None for its first life."""

    spool: Spool
    transports: Sequence[Transport]
    told_until: float | None

    def tell_absence(self, config: CanaryConfig, host: Host, host_count: int, now: float) -> None:
        """Probes that were meant to be asked between the last life and ``now`` are unobserved; call it when asking begins.

        Those that were under way when the last life ended are among them, so its last ``deadline_seconds`` are counted, too.
        """
        if self.told_until is None:
            return
        missed = absent(config, host, host_count, since=self.told_until - config.deadline_seconds, until=now)
        if missed:
            logger.info("%s was away since %.0f: %d probes", host.name, self.told_until, sum(u.count for u in missed))
            self.spool.add(Content(unobserved=missed), None, now)


def way_of(config: CanaryConfig, host: Host, boot: str, token: str | None) -> Way:
    """Raises ``OSError`` when the spool's folder cannot be had."""
    ways = transports(config, token, host.rank)
    names = [transport.name for transport in ways]
    store: Store = MemoryStore()
    earlier: Sequence[Bound] = ()
    told_until = None
    if config.spool.dir is not None:
        folder = config.spool.dir / host.name
        store = disk = DiskStore(folder, max_bytes=config.spool.max_bytes, fsync=config.spool.fsync)
        earlier, told_until = disk.earlier, disk.last_at
    doubt = config.spool.doubt_seconds
    spool = Spool(host.name, host.zone, boot, names, store=store, earlier=earlier, doubt_seconds=doubt)
    return Way(spool, ways, told_until)


def transports(config: CanaryConfig, token: str | None, rank: int) -> list[Transport]:
    """The host's lanes, the preferred one first; hosts begin at different collectors, so that these share the load.

    Raises ``ValueError`` when JetStream is configured and its client is not installed.
    """
    if config.jetstream is not None:
        if find_spec("nats") is None:
            raise ValueError("canary.jetstream needs the extra nats: pip install 'fivenines[nats]'")
        return [JetStreamTransport(config.jetstream)]
    urls = config.collectors
    first = rank % len(urls)
    tls = _tls(config.collector_tls) if any(url.startswith("https:") for url in urls) else None
    return [HttpTransport(url, token, tls) for url in (*urls[first:], *urls[:first])]


def ask_sources(config: CanaryConfig, token: str | None) -> list[AskSource]:
    """Where a host hears what other zones ask it to look at; none without a budget for it."""
    if not config.confirm_probes_per_minute:
        return []
    if config.jetstream is not None:
        return [JetStreamAsks(config.jetstream)]
    tls = _tls(config.collector_tls) if any(url.startswith("https:") for url in config.collectors) else None
    return [HttpAsks(url, token, tls) for url in config.collectors]


def _tls(config: CollectorTlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ca_file)
    if config.certificate_file is not None:
        context.load_cert_chain(config.certificate_file, config.key_file)
    return context
