"""What a router says about the requests it has seen is what the collector reads: two rooms that do not import each other."""

import msgspec

from cluster.api.seen import SeenRequests
from collector.join import Fate, decode, fate_of
from collector.observation import Connection, Observation, OperationClass, Outcome


def test_the_collector_reads_a_router_s_own_words() -> None:
    """A request that failed, one still under way, and one that never came."""
    seen = SeenRequests(0.0)
    seen.arrived(1, "failed", 100.1)
    seen.answered(1, 500, "InternalServerError", 0.2)
    seen.arrived(2, "waits", 100.1)
    said = decode(msgspec.json.encode(seen.find(["failed", "waits", "lost"], 103.0)))
    assert said is not None

    def fate(name: str) -> Fate:
        one = Observation(
            at=100.0,
            endpoint="standard",
            connection=Connection.FRESH,
            operation=OperationClass.WRITE,
            table="canary",
            outcome=Outcome.TIMEOUT,
            reason="deadline",
            request_id=name,
            total_ms=2000.0,
        )
        return fate_of(one, said)[0]

    assert [fate(name) for name in ("failed", "waits", "lost")] == [
        Fate.SEEN_AND_FAILED,
        Fate.SEEN_AND_FAILED,
        Fate.NOT_SEEN,
    ]
