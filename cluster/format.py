"""The format of what a region keeps on disk, and what is said to files of another one (shell)."""

from pathlib import Path

FORMAT = "2"
"""1: before page checksums and members in the log."""
_FILE = "FORMAT"


class OtherFormat(OSError):
    """The files were written by another version; the text says which, and what to do."""


def check(data_dir: Path) -> None:
    """Mark a new directory with the format; raises :class:`OtherFormat` for one that is in use with another."""
    found = _read(data_dir)
    if found is None and any(data_dir.glob("*/wal")):
        # Zones start side by side: another one may have marked it just now.
        found = _read(data_dir) or "1"
    if found is None:
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / _FILE).write_text(f"{FORMAT}\n", encoding="ascii")
    elif found != FORMAT:
        raise OtherFormat(
            f"{data_dir} was written by another version of fivenines (format {found}, this one reads {FORMAT}).\n"
            f"Move it away and start again: mv {data_dir} {data_dir}.old"
        )


def _read(data_dir: Path) -> str | None:
    try:
        return (data_dir / _FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
