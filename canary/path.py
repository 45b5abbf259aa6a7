"""Which router, which node, which zones an attempt went through, as far as is known (pure)."""

import msgspec

from canary.config import CanaryConfig
from canary.faults import Component

KNOWN_MAX = 10_000
"""Ways that are remembered: there are few, and each is gone again and again."""

VERSION_TEXT_MAX = 64
"""Characters of a software version that are kept: it becomes a dimension of every count."""


class Path(msgspec.Struct, frozen=True, gc=False):
    """The way of one attempt; None where nobody said."""

    router: str | None = None
    router_zone: str | None = None
    node: str | None = None
    node_zone: str | None = None
    partition: str | None = None
    software_version: str | None = None


class Map:
    """What the configuration says about addresses and names."""

    def __init__(self, config: CanaryConfig) -> None:
        self._router_at = {hop.address: hop.router for hop in config.path_hops}
        self._zone_of = {hop.router: hop.zone for hop in config.path_hops}
        self._known: dict[tuple[str | None, ...], Path] = {}
        self._prefixes = tuple((f"{zone}-", zone) for zone in config.zones)

    def component_at(self, address: str) -> Component | None:
        """The router behind ``IP:port``, if the configuration knows it."""
        router = self._router_at.get(address)
        return Component(router, self._zone_of[router], "router") if router else None

    def path(self, address: str | None, headers: dict[str, str], partition: str | None) -> Path:
        """The way of an attempt: the address says which router was meant, the answer's headers correct it."""
        said = (
            address,
            headers.get("x-router"),
            headers.get("x-replica"),
            headers.get("x-partition") or partition,
            headers.get("x-fivenines-version"),
        )
        known = self._known.get(said)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[said] = self._path(*said)
        return known

    def _path(
        self,
        address: str | None,
        router: str | None,
        node: str | None,
        partition: str | None,
        software_version: str | None,
    ) -> Path:
        router = router or (self._router_at.get(address) if address else None)
        node = node or None
        return Path(
            router,
            self._zone_of.get(router) if router else None,
            node,
            self._node_zone(node) if node else None,
            partition,
            (software_version or "")[:VERSION_TEXT_MAX] or None,
        )

    def _node_zone(self, node: str) -> str | None:
        """Nodes are named after a zone that is configured; any other name says nothing."""
        return next((zone for prefix, zone in self._prefixes if node.startswith(prefix)), None)
