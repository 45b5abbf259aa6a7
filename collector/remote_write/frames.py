"""When a sample is due: the feed cut into frames on a grid of time (pure).

A frame is ``(cursor, at)``: the totals as of that cursor, told at that time. It is written down before it is sent, so that a
collector that starts again sends the same samples once more, and not others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FULL_MS = 60_000
"""All series are told this often, changed or not: a series without a sample for five minutes is stale to Prometheus."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Totals as of ``cursor``, told at ``at_ms`` (UTC, milliseconds)."""

    cursor: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A feed entry, as far as the plan needs it."""

    cursor: int
    received_ms: int


def plan(
    before: Frame, heard: Sequence[Heard], *, now_ms: int, step_ms: int, more: bool, most: int = 1000
) -> tuple[Frame, ...]:
    """The frames that are complete, at most ``most``.

    ``heard``: entries after ``before.cursor``, in order. ``more``: there are others behind them, so that the last slot may be
    incomplete. A frame's time is the end of its slot, later than the frame before, and not in the future of the clock or of the feed.
    """
    frames: list[Frame] = []
    last = before
    reached = max([now_ms, *(one.received_ms for one in heard)])
    for i, one in enumerate(heard):
        at_ms = max(_slot_end(one.received_ms, step_ms), last.at_ms + step_ms)
        following = heard[i + 1] if i + 1 < len(heard) else None
        if following is not None and _slot_end(following.received_ms, step_ms) <= at_ms:
            continue
        if following is None and (more or at_ms > reached):
            break
        last = Frame(one.cursor, at_ms)
        frames.append(last)
        if len(frames) == most:
            return tuple(frames)
    if not heard and not more:
        quiet = _slot_end(now_ms, step_ms) - step_ms
        if before.at_ms and quiet - before.at_ms >= FULL_MS:
            frames.append(Frame(before.cursor, quiet))
    return tuple(frames)


def is_full(before: Frame, frame: Frame) -> bool:
    """Whether this frame tells every series, changed or not."""
    return before.at_ms // FULL_MS != frame.at_ms // FULL_MS


def _slot_end(at_ms: int, step_ms: int) -> int:
    return -(-at_ms // step_ms) * step_ms
