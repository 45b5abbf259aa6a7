"""The house rules, read from the code itself: arrows, purity, sizes, names, docs."""

import ast
import json
import re
from pathlib import Path

import pytest
import typer.main

from fivenines.cli import app
from fivenines.config import Config, json_schema, load

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("canary", "cfa", "cluster", "collector", "dashboards", "fivenines")
CONTRACT = {
    "collector.observation",
    "collector.interval",
    "collector.series",
    "collector.wire",
    "collector.ask",
    "collector.column_batch",
    "collector.totals",
}
MAY_IMPORT = {
    "canary": CONTRACT,
    "cfa": CONTRACT,
    "cluster": set[str](),
    "collector": set[str](),
    "dashboards": set[str](),
}
IO_MODULES = {
    "aiohttp", "asyncio", "httptools", "http", "logging", "multiprocessing", "os", "random", "secrets", "selectors", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "urllib", "uvloop",
}  # fmt: skip
CLOCKS = {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "now", "utcnow", "today"}
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
FILE_LINES, FUNCTION_LINES = 400, 50

FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of everything that a module imports, wherever it does so."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
KINDS = {
    module_name(path): re.search(r"\((pure|shell)\b", (ast.get_docstring(tree) or "").split("\n\n")[0])
    for path, tree in TREES.items()
}


def kind(module: str) -> str | None:
    """``pure``, ``shell`` or None, as the module says of itself."""
    found = KINDS.get(module)
    return found.group(1) if found else None


def test_rooms_import_only_along_the_arrows() -> None:
    """A room imports only what the design's arrows allow."""
    wrong = []
    for path, tree in TREES.items():
        room = module_name(path).split(".")[0]
        for name in imported(tree):
            other = name.split(".")[0]
            if other in ROOMS and room not in (other, "fivenines"):
                allowed = MAY_IMPORT[room]
                if (
                    not any(name == contract or name.startswith(f"{contract}.") for contract in allowed)
                    and name != "collector"
                ):
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if other == "tests":
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_every_module_says_whether_it_is_pure_or_a_shell() -> None:
    """Each module's first paragraph says (pure) or (shell); packages and configuration are exempt."""
    exempt = {"__init__.py", "__main__.py", "config.py"}
    silent = [str(p.relative_to(ROOT)) for p in FILES if p.name not in exempt and kind(module_name(p)) is None]
    assert silent == []


def test_pure_modules_do_no_io_and_ask_no_clock() -> None:
    """A pure module imports nothing that does I/O, logs, draws random numbers or tells the time."""
    wrong = []
    for path, tree in TREES.items():
        if kind(module_name(path)) != "pure":
            continue
        wrong += [
            f"{path.relative_to(ROOT)} imports {name}" for name in imported(tree) if name.split(".")[0] in IO_MODULES
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in {"time", "datetime", "date"}:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} asks the clock")
    assert wrong == []


def test_pure_modules_never_import_shells() -> None:
    """A pure module imports no module that calls itself a shell."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, tree in TREES.items()
        if kind(module_name(path)) == "pure"
        for name in imported(tree)
        if kind(name) == "shell"
    ]
    assert wrong == []


def test_files_and_functions_fit_in_the_head() -> None:
    """No file has more than 400 lines and no function more than 50."""
    wrong = []
    for path, tree in TREES.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            wrong.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    wrong.append(f"{path.relative_to(ROOT)}: {node.name} has {length} lines")
    assert wrong == []


def test_nothing_is_called_utils() -> None:
    """No module has a name that says nothing."""
    assert [str(p.relative_to(ROOT)) for p in FILES if p.stem in BANNED_NAMES] == []


def commands(group: object, prefix: str) -> dict[str, str]:
    """Every command's full name and help text."""
    found: dict[str, str] = {}
    for name, command in getattr(group, "commands").items():  # noqa: B009
        full = f"{prefix} {name}"
        if hasattr(command, "commands"):
            found |= commands(command, full)
        else:
            found[full] = command.help or ""
    return found


COMMANDS = commands(typer.main.get_command(app), "fivenines")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example_and_a_line_in_the_docs(name: str) -> None:
    """Each command explains itself with an example, and docs/commands.md has a line for it."""
    assert "Example:" in COMMANDS[name]
    assert f"`{name}" in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def test_the_command_line_of_the_design_is_complete() -> None:
    """Every command that people script is there."""
    wanted = {
        "up", "status", "endpoints", "config check", "config schema", "cluster run", "canary run", "collector run", "cfa run", "fault list",
        "fault add", "fault clear", "drill list", "drill run", "incidents", "silence add", "silence list", "silence expire", "backtest",
        "report", "dashboards build", "dashboards check", "dashboards push",
    }  # fmt: skip
    assert {f"fivenines {name}" for name in wanted} <= set(COMMANDS)


def test_the_checked_in_schema_is_the_models_schema() -> None:
    """docs/fivenines.schema.json is what `fivenines config schema` prints."""
    stored = json.loads((ROOT / "docs" / "fivenines.schema.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(json_schema(), default=str))


def test_the_annotated_configuration_holds_exactly_the_defaults() -> None:
    """fivenines.yaml can be used as it is, and says what happens without it."""
    assert load(ROOT / "fivenines.yaml") == Config()


def test_lock_files_name_no_download_address() -> None:
    """Requirements are pinned with hashes and without any registry's address."""
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "--index-url" not in text


def test_the_readme_is_short_enough_to_be_read() -> None:
    """README.md has at most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
