"""Numbers and scopes in words."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.console import wording


def shown(text: str) -> Fraction:
    """The number in a percentage."""
    return Fraction(text.replace(wording.THIN, "").removesuffix("%")) / 100


@given(st.floats(0, 1))
@pytest.mark.parametrize("form", [wording.percent, wording.percent_short])
def test_a_percentage_never_flatters(form: object, ratio: float) -> None:
    """What is shown is never more than the truth, and 100 % is shown of exactly 1 only."""
    assert callable(form)
    text = form(ratio)
    assert shown(text) <= Fraction(repr(ratio))
    assert (shown(text) == 1) == (ratio == 1)


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.999991, "99.9991"), (0.9999999, "99.9999"), (1.0, "100"), (0.5, "50.00"), (0.0, "0"), (0.98999, "98.99")]
)  # fmt: skip
def test_percent_is_floored_to_the_digits_shown(ratio: float, text: str) -> None:
    """99.9991 stays 99.9991 and 99.99999 does not become 100."""
    assert wording.percent(ratio) == f"{text}{wording.THIN}%"


@pytest.mark.parametrize(("ratio", "text"), [(0.9999, "99.99"), (0.99999, "99.999"), (0.995, "99.5"), (0.9, "90")])
def test_an_objective_is_shown_as_it_was_written(ratio: float, text: str) -> None:
    """No digit is added or lost."""
    assert wording.objective(ratio) == f"{text}{wording.THIN}%"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.64, "0.6 s"), (14, "14 s"), (192, "3 min 12 s"), (7500, "2 h 05 min"), (273600, "3 d 4 h"), (-1, "0.0 s")]
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    """The two largest."""
    assert wording.duration(seconds).replace(wording.THIN, " ") == text


def test_unknown_is_a_dash() -> None:
    """No value is never shown as zero."""
    for form in (
        wording.percent,
        wording.percent_short,
        wording.objective,
        wording.milliseconds,
        wording.duration,
        wording.times,
    ):
        assert form(None) == wording.NOTHING  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        ({"zone": "az1"}, "zone az1"),
        ({"endpoint": "fips", "zone": "az1"}, "zone az1 × endpoint fips"),
        ({"partition": "p3", "table": "orders"}, "table orders × partition p3"),
        ({"observer": "az1-canary-1"}, "canary host az1-canary-1"),
        ({}, "somewhere"),
    ],
)
def test_scopes_read_as_words(scope: dict[str, str], text: str) -> None:
    """The widest part comes first, whatever the order of the keys."""
    assert wording.scope(scope) == text


def test_rarity_says_how_often_chance_would_do_this() -> None:
    """From times a year to billions of years."""
    assert wording.rarity(1e15) == "once in > 1000 billion years"
    assert wording.rarity(4e6) == "once in 4 million years"
    assert wording.rarity(0.25) == "4 times a year"
    assert wording.rarity(None) == ""
