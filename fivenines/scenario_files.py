"""The scenarios that come with fivenines, and anyone's own files (shell)."""

from pathlib import Path

from fivenines.drills import MAX_SCENARIO_BYTES, Scenario, ScenarioError, parse

FOLDER = Path(__file__).parent / "scenarios"


def names() -> list[str]:
    """The scenarios that come with fivenines."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def named(name: str) -> Scenario:
    """A scenario that comes with fivenines; raises :class:`ScenarioError`."""
    if name not in names():
        raise ScenarioError(
            f"there is no scenario '{name}'; there is: {', '.join(names())}; or run your own with --file"
        )
    return from_file(FOLDER / f"{name}.yaml")


def from_file(path: Path) -> Scenario:
    """The scenario in ``path``; raises :class:`ScenarioError` naming the file."""
    try:
        with path.open(encoding="utf-8") as file:
            return parse(file.read(MAX_SCENARIO_BYTES + 1), str(path))
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8 text") from error
