"""The alarm of one explanation: three states, six signals, one table (pure)."""

from dataclasses import dataclass
from enum import StrEnum
from math import log
from types import MappingProxyType

from cfa.incident import EventName, Notify
from cfa.policy import (
    CLEAR_CONFIDENCE,
    CLEAR_CONFIDENCE_PER_RETURN,
    CLEAR_FLOOR,
    QUIET_MOST_SECONDS,
    QUIET_SECONDS,
    VANISHED_SECONDS,
)


class State(StrEnum):
    """INSUFFICIENT_DATA: an alarm that nobody can see any more; it neither closes nor pages."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Signal(StrEnum):
    """What an evaluation says: page- or ticket-worthy, the same soon after its end, nothing new, over, no data, data again.

    FOLD: a broader explanation has taken it over.
    """

    PAGE = "page"
    TICKET = "ticket"
    PAGE_AGAIN = "page_again"
    TICKET_AGAIN = "ticket_again"
    FOLD = "fold"
    NOTHING = "nothing"
    CLEAR = "clear"
    BLIND = "blind"
    SIGHTED = "sighted"


@dataclass(frozen=True, slots=True)
class Transition:
    """The next state and the events to tell, in order. ``resolve`` and ``update`` go out only if a page went before."""

    state: State
    events: tuple[tuple[EventName, Notify | None], ...] = ()


_OPEN: tuple[EventName, None] = ("opened", None)
_REOPEN: tuple[EventName, None] = ("reopened", None)
_PAGE: tuple[EventName, Notify] = ("paged", "trigger")
_CLOSE: tuple[EventName, Notify] = ("closed", "resolve")
_FOLD: tuple[EventName, Notify] = ("folded", "resolve")
_TELL: tuple[EventName, Notify] = ("updated", "update")

TABLE: MappingProxyType[tuple[State, Signal], Transition] = MappingProxyType(
    {
        (State.OK, Signal.PAGE): Transition(State.ALARM, (_OPEN, _PAGE)),
        (State.OK, Signal.TICKET): Transition(State.ALARM, (_OPEN,)),
        (State.OK, Signal.PAGE_AGAIN): Transition(State.ALARM, (_REOPEN, _PAGE)),
        (State.OK, Signal.TICKET_AGAIN): Transition(State.ALARM, (_REOPEN,)),
        (State.ALARM, Signal.PAGE): Transition(State.ALARM, (_PAGE,)),
        (State.ALARM, Signal.CLEAR): Transition(State.OK, (_CLOSE,)),
        (State.ALARM, Signal.FOLD): Transition(State.OK, (_FOLD,)),
        (State.ALARM, Signal.BLIND): Transition(State.INSUFFICIENT_DATA, (_TELL,)),
        (State.INSUFFICIENT_DATA, Signal.SIGHTED): Transition(State.ALARM, (_TELL,)),
        (State.INSUFFICIENT_DATA, Signal.CLEAR): Transition(State.OK, (_CLOSE,)),
    }
)
"""Pairs that are not here change nothing and tell nobody."""


def transition(state: State, signal: Signal, *, paged: bool) -> Transition:
    """The table's answer; ``paged`` says that people were told and not yet released: they are not paged again."""
    found = TABLE.get((state, signal), Transition(state))
    if paged and signal is Signal.PAGE and state is State.ALARM:
        return Transition(state)
    if paged:
        return found
    mute = tuple((event, notify if notify == "trigger" else None) for event, notify in found.events)
    return Transition(found.state, mute)


def quiet_needed(returns: int) -> float:
    """Seconds without failure before a close: longer with each return, so that flapping does not page again and again."""
    return QUIET_SECONDS[min(returns, len(QUIET_SECONDS) - 1)]


def successes_needed(share: float, returns: int = 0) -> float:
    """Successes since the last failure that speak against "still failing": ln(1/d) / p_clear.

    p_clear is a tenth of the share that failed, at least a thirtieth; what failed less must be shown to be over itself.
    """
    confidence = CLEAR_CONFIDENCE * CLEAR_CONFIDENCE_PER_RETURN**returns
    return log(1 / confidence) / max(share / 10, min(CLEAR_FLOOR, share), 1e-9)


def share_at_most(successes: int) -> float:
    """The upper end of the one-sided 95 % interval of a failure ratio of which only successes were seen."""
    return 1 - 0.05 ** (1 / successes) if successes else 1.0


def clear_reason(
    *, quiet: float, successes: int, share: float, returns: int, attempts_lately: int, region_well: bool
) -> str | None:
    """Why the alarm is over, or None: hysteresis judged on the scope's own attempts."""
    if quiet < quiet_needed(returns):
        return None
    if successes >= successes_needed(share, returns):
        return "recovered"
    if quiet >= QUIET_MOST_SECONDS and successes:
        return "quiet"
    if quiet >= VANISHED_SECONDS and not attempts_lately and region_well:
        return "attempts_vanished"
    return None
