"""Writes the dashboards as files (shell)."""

from pathlib import Path

from dashboards.boards.model import Board
from dashboards.boards.region_now import BOARD as REGION_NOW
from dashboards.boards.render import to_text

BOARDS: dict[str, Board] = {"region-now": REGION_NOW}
"""File name without its ending → board."""
GENERATED = Path(__file__).parent / "generated"


def build(out_dir: Path = GENERATED) -> list[Path]:
    """Write every board as ``NAME.json`` into ``out_dir``; the same code writes the same bytes. Raises OSError."""
    out_dir.mkdir(parents=True, exist_ok=True)
    written = []
    for name, board in BOARDS.items():
        path = out_dir / f"{name}.json"
        path.write_text(to_text(board), encoding="utf-8")
        written.append(path)
    return written
