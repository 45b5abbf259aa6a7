"""`fivenines mitigation` says in one line what came of an action."""

from typing import Any

import pytest

from fivenines.commands.mitigation import _line

ACTION: dict[str, Any] = {
    "hook": "shift-zone", "incident": "i-1", "decided_at": 1764000000.0, "dry_run": False, "error": None,
    "done_at": 1764000001.0, "recovered_at": 1764000004.5, "undone_at": 1764000091.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, "done, canaries well 3.5 s after it, taken back after 90 s"),
        ({"recovered_at": None, "undone_at": None}, "done"),
        ({"dry_run": True}, "dry run"),
        ({"error": "it hangs"}, "failed: it hangs"),
        ({"done_at": None}, "begun; whether it was done is not known"),
    ],
)
def test_what_came_of_an_action_is_said_in_words(changes: dict[str, Any], end: str) -> None:
    """When it was, which hook, for which incident, and how it ended."""
    line = _line(ACTION | changes)
    assert line.startswith("2025-11-24 16:00:00  shift-zone")
    assert line.endswith(f"i-1  {end}")
