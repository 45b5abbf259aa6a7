"""Files of another version are not touched, and people are told what to do."""

from pathlib import Path

import pytest

from cluster.format import FORMAT, OtherFormat, check


def test_a_new_directory_is_marked_and_found_again(tmp_path: Path) -> None:
    """The first start marks it; later ones find the mark."""
    check(tmp_path / "cluster")
    (tmp_path / "cluster" / "az1-node-1" / "wal").mkdir(parents=True)
    check(tmp_path / "cluster")
    assert (tmp_path / "cluster" / "FORMAT").read_text() == f"{FORMAT}\n"


@pytest.mark.parametrize("mark", [None, "1\n", "3\n"])
def test_files_of_another_version_are_refused_with_the_remedy(tmp_path: Path, mark: str | None) -> None:
    """Older files have no mark; newer ones another."""
    (tmp_path / "az1-node-1" / "wal").mkdir(parents=True)
    if mark:
        (tmp_path / "FORMAT").write_text(mark)
    with pytest.raises(OtherFormat, match=r"Move it away and start again: mv .* .*\.old"):
        check(tmp_path)
