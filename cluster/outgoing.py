"""What the replicas of one node have to say to other nodes, gathered so that it leaves in few messages (shell)."""

import asyncio
from collections import defaultdict

from cluster.replication.messages import Committed, PeerMessage
from cluster.routing.messages import Replicate
from cluster.transport import Hub


class Outgoing:
    """Of the node ``name``."""

    def __init__(self, name: str, hub: Hub) -> None:
        self._name, self._hub = name, hub
        self._now: dict[str, list[tuple[str, PeerMessage]]] = defaultdict(list)
        self._later: dict[str, dict[str, Committed]] = defaultdict(dict)
        """By node and group: the newest of what waits for company."""

    def send(self, to: str, group: str, message: PeerMessage) -> None:
        """Gather what goes to the same node during one turn of the loop.

        A :class:`Committed`, which nobody waits for, goes with the next message to its node, or at the next :meth:`hurry`.
        """
        if type(message) is Committed:
            self._later[to][group] = message
            return
        if not self._now:
            asyncio.get_running_loop().call_soon(self._flush)
        self._now[to].append((group, message))

    def hurry(self) -> None:
        """What waits for company has waited long enough."""
        for to, later in self._later.items():
            self._now[to] += later.items()
        self._later.clear()
        self._flush()

    def _flush(self) -> None:
        outgoing, self._now = self._now, defaultdict(list)
        for to, messages in outgoing.items():
            if (later := self._later.pop(to, None)) is not None:
                messages.extend(later.items())
            self._hub.tell(self._name, to, Replicate(tuple(messages)))
