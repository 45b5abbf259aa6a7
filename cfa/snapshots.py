"""The judgement's state as bytes and back: versioned msgpack, arrays as bytes, no pickle (pure)."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from cfa.attempts import Failure
from cfa.case import Case
from cfa.cube import Cube
from cfa.docket import Candidate
from cfa.quadrant import Counted
from cfa.witnesses import Recused
from collector.series import TargetState

if TYPE_CHECKING:
    from cfa.judgement import Judgement

VERSION = 5
SCALARS = (
    "at",
    "evaluated_at",
    "canary_at",
    "failed_at",
    "episode_at",
    "is_blind",
    "looked_at_sequence",
    "last_failure_at",
)


def dump(judgement: "Judgement") -> bytes:
    """All that decides anything later on."""
    intake, docket, witnesses = judgement.intake, judgement.docket, judgement.witnesses
    return msgspec.msgpack.encode(
        {
            "version": VERSION,
            "scalars": {name: getattr(judgement, name) for name in SCALARS},
            "cube": intake.cube.state(),
            "windows": intake.windows.state(),
            "matrix": intake.matrix.state(),
            "evidence": intake.evidence.state(),
            "attempts": intake.attempts.state(),
            "allowed": intake.allowed_by_node,
            "last_bad_at": intake.last_bad_at,
            "open": docket.open,
            "closed": docket.closed,
            "candidates": list(docket.candidates.items()),
            "recused": list(witnesses.recused.values()),
            "zones": witnesses.zones,
            "heard_at": witnesses.heard_at,
            "returned_at": witnesses.returned_at,
            "servers": judgement.servers.state(),
            "masked": judgement.masked.state(),
            "durability": judgement.durability.state(),
            "joins": judgement.joins.state(),
            "blindness": judgement.blindness.state(),
            "uncovered": judgement.uncovered.state(),
            "desk": judgement.desk.state(),
        }
    )


def load(judgement: "Judgement", data: bytes) -> None:
    """Fills a new judgement; raises ``ValueError`` on another version or damaged bytes."""
    try:
        state = msgspec.msgpack.decode(data)
        if not isinstance(state, dict) or state.get("version") != VERSION:
            raise ValueError(f"a snapshot of version {VERSION} is needed")
        _load(judgement, state)
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise ValueError(f"damaged snapshot: {error}") from error


def _load(judgement: "Judgement", state: dict[str, Any]) -> None:
    intake, docket, witnesses = judgement.intake, judgement.docket, judgement.witnesses
    for name in SCALARS:
        setattr(judgement, name, state["scalars"][name])
    intake.cube = Cube.restored(judgement.config.region, state["cube"]["nodes"], state["cube"]["paths"])
    intake.windows.load(state["windows"])
    intake.matrix.load(state["matrix"])
    intake.evidence.load(state["evidence"])
    attempts = state["attempts"]
    failures = msgspec.convert(attempts["failures"], list[Failure])
    intake.attempts.load(attempts["rows"], attempts["sequence"], failures)
    intake.allowed_by_node, intake.last_bad_at = state["allowed"], state["last_bad_at"]
    docket.open = msgspec.convert(state["open"], list[Case], dec_hook=_counter)
    docket.closed = msgspec.convert(state["closed"], list[Case], dec_hook=_counter)
    candidates = msgspec.convert(state["candidates"], list[tuple[int, Candidate]], dec_hook=_counter)
    docket.candidates = dict(candidates)
    witnesses.recused = {r.host: r for r in msgspec.convert(state["recused"], list[Recused])}
    witnesses.zones, witnesses.heard_at = state["zones"], state["heard_at"]
    witnesses.returned_at = state["returned_at"]
    judgement.masked.load(state["masked"])
    judgement.durability.load(state["durability"])
    judgement.joins.load(state["joins"])
    judgement.blindness.load(state["blindness"])
    judgement.uncovered.load(state["uncovered"])
    judgement.desk.load(state["desk"])
    servers = state["servers"]
    targets = msgspec.convert(servers["targets"], list[TargetState])
    judgement.servers.load(targets, msgspec.convert(servers["counted"], list[Counted]), servers["heard_at"])


def _counter(kind: type, value: Any) -> Any:
    """A counter arrives as a plain dict."""
    if getattr(kind, "__origin__", kind) is Counter:
        return Counter(value)
    raise NotImplementedError(f"{kind} in a snapshot")
