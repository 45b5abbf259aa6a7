"""Pointing into JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.probes.json_path import MISSING, equal, find, steps

DOCUMENT = {"a": {"b": [1, {"c-d": None}]}, "with.dot": {'quo"te': True}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", DOCUMENT),
        ("a.b[0]", 1),
        ("$.a.b[-1].c-d", None),
        ('["with.dot"]["quo\\"te"]', True),
        ("a.b[2]", MISSING),
        ("a.b.c", MISSING),
        ("a[0]", MISSING),
        ("x", MISSING),
    ],
)
def test_a_path_points_at_one_value_or_at_nothing(path: str, value: object) -> None:
    """Names, quoted names, indices from either end."""
    assert find(DOCUMENT, path) is value or find(DOCUMENT, path) == value


@pytest.mark.parametrize("path", ["", ".a", "a.", "a..b", "a[*]", "a[b]", "$a", "a b", "a[1", '["', '[""]'])
def test_anything_else_is_no_path(path: str) -> None:
    """No wildcards, no filters, no guesses."""
    with pytest.raises(ValueError, match="path"):
        steps(path)


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    """Never another error."""
    try:
        steps(text)
    except ValueError:
        return
    find(DOCUMENT, text)


def test_values_are_compared_as_json_does() -> None:
    """True is not 1; 1 is 1.0; lists and objects whole."""
    assert equal(1, 1.0)
    assert not equal(True, 1)
    assert equal([1, {"a": False}], [1, {"a": False}])
    assert not equal([{"a": 0}], [{"a": False}])
    assert not equal(MISSING, None)
