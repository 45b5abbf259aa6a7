"""The configuration file: defaults, errors that name the line, durations."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivenines.config import Config, ConfigError, load, parse
from fivenines.durations import seconds_of


def problem(text: str) -> str:
    """The error that ``text`` gives."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "my.yaml")
    return str(caught.value)


def test_an_empty_file_means_the_defaults() -> None:
    """Every default works without a file."""
    assert parse("", "my.yaml") == Config()
    assert parse("# nothing\n", "my.yaml") == Config()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "cfa:\n  false_pages_per_yer: 1\n",
            "my.yaml:2: cfa.false_pages_per_yer: no such key; did you mean 'false_pages_per_year'?",
        ),
        ("cnary: {}\n", "my.yaml:1: cnary: no such key; did you mean 'canary'?"),
        (
            "canary:\n  zones: [az1]\n  cadence_seconds: fast\n",
            "my.yaml:3: canary.cadence_seconds: Input should be a valid number",
        ),
        (
            "cluster:\n  tables:\n    - name: x\n    - name: y\n      partitions: 900\n",
            "my.yaml:5: cluster.tables.1.partitions:",
        ),
        (
            "cfa:\n  objectives:\n    default: 99.99\n",
            "my.yaml:3: cfa.objectives.default: Input should be less than 1 (it is 99.99)",
        ),
        ("a: [\n", "my.yaml:2: not YAML"),
        ("- 1\n", "my.yaml:1: the file must hold keys and values"),
        ("a: !!python/object/apply:os.system [ls]\n", "my.yaml:1: not YAML"),
    ],
)
def test_an_error_names_file_line_key_and_what_would_be_right(text: str, expected: str) -> None:
    """A wrong configuration says where it is wrong and what would be right."""
    assert expected in problem(text)


def test_every_problem_is_told_at_once() -> None:
    """Two mistakes give two lines."""
    assert len(problem("cfa:\n  port: 0\n  region: 5\n").splitlines()) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing or binary file gives an error with its name."""
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        load(tmp_path / "gone.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(binary)


@given(st.text(max_size=200))
def test_any_text_gives_a_configuration_or_a_configuration_error(text: str) -> None:
    """No text makes the parser fail in any other way."""
    try:
        outcome = str(parse(text, "x"))
    except ConfigError as error:
        outcome = str(error)
    assert outcome.startswith(("x:", "state_dir="))


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("500ms", 0.5), ("1h30m", 5400), ("10m", 600), (7, 7), ("0.5s", 0.5)]
)
def test_durations_are_read_as_people_write_them(text: str | float, seconds: float) -> None:
    """5s, 500ms, 1h30m and bare seconds mean what they say."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s5", "5 s", "-5s", "5s5", "ten"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """A text that is not a duration is refused."""
    with pytest.raises(ValueError, match="write it like"):
        seconds_of(text)
