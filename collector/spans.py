"""Health statements folded into spans: as long as a host says the same, one row grows (pure)."""

from dataclasses import dataclass, replace

from collector.series import Health

GAP_SECONDS = 60.0
"""A silence longer than this ends a span: nobody vouched for the host meanwhile."""


@dataclass(frozen=True, slots=True)
class Span:
    """From ``since`` to ``until`` the host said this of itself. ``id`` is its row, None before it has one."""

    id: int | None
    since: float
    until: float
    recused: bool
    reasons: tuple[str, ...]


def fold(newest: Span | None, said: Health) -> Span | None:
    """The span to write for ``said``: ``newest`` grown, a new one, or None when ``newest`` already covers it.

    A statement that arrives late is placed by its own time: covered if the newest span says the same, else a span of its own.
    """
    alone = Span(None, said.at, said.at, said.recused, said.reasons)
    if newest is None or (newest.recused, newest.reasons) != (said.recused, said.reasons):
        return alone
    if newest.since <= said.at <= newest.until:
        return None
    if newest.until < said.at <= newest.until + GAP_SECONDS:
        return replace(newest, until=said.at)
    return alone
