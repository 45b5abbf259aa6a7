"""The cube: every node that availability is kept for, and which of them an attempt belongs to (pure).

A node is a family and its values: ``("zone_endpoint", ("az1", "fips"))``. An attempt's *place* is the combination of
all its dimensions, met again and again; what follows from it is computed once.

Two views of a zone, never mixed: the *zone* node (and zone × endpoint) holds the attempts whose **path** touched the
zone (router or storage node there); ``observer_zone`` holds what the canaries **in** the zone saw, as the matrix does.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from cfa.policy import MAX_NODES
from collector.observation import Connection, Observation, OperationClass
from collector.series import Series

SIDES = ("read", "write")
"""Index 0 and 1 of every array's side axis."""

FAMILIES = (
    "region",
    "zone",
    "endpoint",
    "zone_endpoint",
    "router",
    "table",
    "partition",
    "node",
    "operation",
    "observer_zone",
    "observer",
    "version",
)
WIDTH = 14
"""Most nodes that one place belongs to: one of each family, and a second zone and zone × endpoint."""

NOWHERE = -1

Node = tuple[str, tuple[str, ...]]


class Path(NamedTuple):
    """All dimensions of an attempt; None where the witness could not know."""

    host: str
    observer_zone: str
    endpoint: str | None
    connection: str
    operation: str
    table: str
    partition: str | None
    router: str | None
    router_zone: str | None
    node: str | None
    node_zone: str | None
    version: str | None = None

    @property
    def side(self) -> int:
        """Index into :data:`SIDES`."""
        return SIDES.index(OperationClass(self.operation).side)


def path_of(series: Series, failure: Observation | None = None) -> Path:
    """The path of a counted series, or of one whole failure in it (which may know better)."""
    s, f = series, failure
    known = f if f is not None else s
    return Path(
        s.host,
        s.zone,
        known.endpoint,
        str(known.connection or Connection.FRESH),
        str(known.operation),
        known.table,
        known.partition or s.partition,
        known.router or s.router,
        known.router_zone or s.router_zone,
        known.node or s.node,
        known.node_zone or s.node_zone,
        known.software_version or s.software_version,
    )


def nodes_of(path: Path, region: str) -> list[Node]:
    """The nodes that an attempt on ``path`` belongs to; at most :data:`WIDTH`."""
    zones = sorted({z for z in (path.router_zone, path.node_zone) if z})
    nodes: list[Node] = [("region", (region,)), ("operation", (path.operation,)), ("table", (path.table,))]
    nodes += [("zone", (zone,)) for zone in zones]
    if path.endpoint:
        nodes.append(("endpoint", (path.endpoint,)))
        nodes += [("zone_endpoint", (zone, path.endpoint)) for zone in zones]
    if path.partition:
        nodes.append(("partition", (path.table, path.partition)))
    nodes += [("router", (path.router,))] if path.router else []
    nodes += [("node", (path.node,))] if path.node else []
    nodes += [("version", (path.version,))] if path.version else []
    return [*nodes, ("observer", (path.host,)), ("observer_zone", (path.observer_zone,))]


def scope_of(node: Node) -> dict[str, str]:
    """The scope dict of a node, with the keys of ``docs/api.md`` (``operation`` only in the availability view)."""
    family, values = node
    if family == "zone_endpoint":
        return {"zone": values[0], "endpoint": values[1]}
    if family == "partition":
        return {"table": values[0], "partition": values[1]}
    return {family: values[0]}


class Cube:
    """Nodes and places by index; indices are given in the order of appearance, so a replay gives the same."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.nodes: list[Node] = []
        self.paths: list[Path] = []
        self._node_index: dict[Node, int] = {}
        self._place_index: dict[Path, int] = {}
        self.membership: NDArray[np.int32] = np.full((256, WIDTH), NOWHERE, np.int32)
        self.side: NDArray[np.int8] = np.zeros(256, np.int8)
        self.fresh: NDArray[np.bool_] = np.zeros(256, np.bool_)

    def place(self, path: Path) -> int:
        """The index of a path's place, new or known."""
        index = self._place_index.get(path)
        return self._enter(path) if index is None else index

    def node(self, node: Node) -> int:
        """The index of a node, or :data:`NOWHERE`."""
        return self._node_index.get(node, NOWHERE)

    def _node(self, node: Node) -> int:
        index = self._node_index.get(node)
        if index is None:
            if len(self.nodes) >= MAX_NODES:
                return NOWHERE
            index = self._node_index[node] = len(self.nodes)
            self.nodes.append(node)
        return index

    def _enter(self, path: Path) -> int:
        index = self._place_index[path] = len(self.paths)
        self.paths.append(path)
        if index >= len(self.side):
            self._grow()
        indices = [self._node(node) for node in nodes_of(path, self.region)]
        self.membership[index, : len(indices)] = indices
        self.side[index] = path.side
        self.fresh[index] = path.connection == Connection.FRESH
        return index

    def _grow(self) -> None:
        more = len(self.side)
        self.membership = np.concatenate([self.membership, np.full((more, WIDTH), NOWHERE, np.int32)])
        self.side = np.concatenate([self.side, np.zeros(more, np.int8)])
        self.fresh = np.concatenate([self.fresh, np.zeros(more, np.bool_)])

    def covered(self, node: int, places: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of ``places`` belong to ``node``."""
        mask: NDArray[np.bool_] = (self.membership[places] == node).any(axis=1)
        return mask

    def state(self) -> dict[str, object]:
        """For the snapshot: nodes and places in order."""
        return {
            "nodes": [[family, list(values)] for family, values in self.nodes],
            "paths": [list(p) for p in self.paths],
        }

    @classmethod
    def restored(cls, region: str, nodes: list[tuple[str, list[str]]], paths: list[list[str | None]]) -> Self:
        """The cube of a :meth:`state`."""
        cube = cls(region)
        for family, values in nodes:
            cube._node((family, tuple(values)))
        for path in paths:
            cube.place(Path(*path))  # type: ignore[arg-type]  # as written by state()
        return cube
