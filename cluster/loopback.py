"""Whether this host has all of 127.0.0.0/8 (Linux) or only 127.0.0.1 (macOS), and the topology that follows (shell)."""

import contextlib
import socket

from cluster.config import ClusterConfig
from cluster.topology import Topology, build


def only_one_address() -> bool:
    """True when 127.0.1.1 cannot be bound."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        try:
            probe.bind(("127.0.1.1", 0))
        except OSError:
            return True
    return False


def load_topology(config: ClusterConfig) -> Topology:
    """The topology of ``config`` on this host."""
    single = config.loopback == "single" or (config.loopback == "auto" and only_one_address())
    return build(config, single=single)
