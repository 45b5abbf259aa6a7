"""Health statements become spans."""

from collector.spans import GAP_SECONDS, Span, fold
from tests.collector.samples import make_health

OK = Span(7, 100.0, 110.0, recused=False, reasons=())


def test_the_same_word_makes_the_span_longer() -> None:
    """A host that repeats itself costs no new row."""
    assert fold(OK, make_health(111.0)) == Span(7, 100.0, 111.0, recused=False, reasons=())


def test_another_word_begins_a_new_span() -> None:
    """Recusal, or another reason for it, is a span of its own."""
    assert fold(OK, make_health(111.0, recused=True, reasons=("clock",))) == Span(
        None, 111.0, 111.0, recused=True, reasons=("clock",)
    )


def test_a_long_silence_ends_a_span() -> None:
    """Nobody vouched for the host in the gap."""
    later = OK.until + GAP_SECONDS + 1
    assert fold(OK, make_health(later)) == Span(None, later, later, recused=False, reasons=())


def test_a_late_word_that_is_known_changes_nothing() -> None:
    """What lies within the span is already told."""
    assert fold(OK, make_health(105.0)) is None
