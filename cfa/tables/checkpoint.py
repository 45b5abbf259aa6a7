"""The state of all tables on disk, as of one cursor of the feed: packed counts once each, evidence and incidents anew (shell).

A part of the counts never changes, so it is written once, as a file of its own; a checkpoint adds the new ones, the evidence and
what is open, and last of all replaces ``manifest.bin``, which names every file. A death at any moment leaves the checkpoint
before or this one, whole. What came after its cursor is read from the feed again.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfa.tables import files
from cfa.tables.block import Block
from cfa.tables.columns import Column
from cfa.tables.detector import Detector
from cfa.tables.fleet import Fleet
from cfa.tables.rings import Part, Slots

logger = logging.getLogger("cfa.tables")

VERSION = 1
MANIFEST = "manifest.bin"
BLOCKS = ("tables", "rollups")


class Checkpoints:
    """A folder with at most one checkpoint."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._written: set[str] = set()

    # --- writing ------------------------------------------------------------------------------------------------------------------

    def write(self, fleet: Fleet, incidents: dict[str, Any], notices: bytes) -> None:
        """Nothing may be in flight: between a tick and the next entry. Raises ``OSError``; the checkpoint before then holds."""
        names, state = self._names(fleet), f"state-{fleet.cursor}-{fleet.at}.bin"
        manifest: dict[str, Any] = {
            "version": VERSION, "cursor": fleet.cursor, "received_at": fleet.received_at, "at": fleet.at,
            "names": names, "state": state, "incidents": incidents, "notices": notices,
        }  # fmt: skip
        arrays: list[NDArray[Any]] = []
        for name in BLOCKS:
            block: Block = getattr(fleet, name)
            manifest[name] = self._block(name, block)
            detector = block.detector
            arrays += [detector.allowed, block.hot, *(getattr(detector, a)[: block.rows] for a in Detector.ARRAYS)]
        files.write(self._folder / state, None, arrays)
        files.sync(self._folder)
        files.write(self._folder / MANIFEST, manifest, [])
        files.sync(self._folder)
        self._forget({MANIFEST, names, state, *_parts_of(manifest)})

    def set_aside(self, folder: Path) -> None:
        """Moves everything into ``folder`` and begins anew."""
        self._folder.rename(folder)
        self._folder.mkdir(parents=True)
        self._written = set()

    def _names(self, fleet: Fleet) -> str:
        """A file for the names, anew when there are more (or the collector numbers them anew)."""
        roster = fleet.roster
        name = f"names-{len(roster.tables)}-{roster.series}.bin"
        if name not in self._written:
            files.write(self._folder / name, [roster.tables, roster.vantage], [roster.row_of_series])
            self._written.add(name)
        return name

    def _block(self, name: str, block: Block) -> dict[str, Any]:
        kept = [
            {slot: [self._part(name, part) for part in parts] for slot, parts in slots.items() if parts}
            for slots in block.rings.slots
        ]
        return {"rows": block.rows, "now": block.rings.now, "made": block.rings.parts_made, "slots": kept}

    def _part(self, block: str, part: Part) -> str:
        name = f"{block}-{part.number}.part"
        if name not in self._written:
            arrays = [a for c in part.columns if c is not None for a in (c.narrow, c.rows, c.extra)]
            files.write(self._folder / name, [column is not None for column in part.columns], arrays)
            self._written.add(name)
        return name

    def _forget(self, needed: set[str]) -> None:
        for path in self._folder.iterdir():
            if path.name not in needed:
                path.unlink(missing_ok=True)
        self._written &= needed

    # --- reading ------------------------------------------------------------------------------------------------------------------

    def read(self, fleet: Fleet) -> tuple[dict[str, Any], bytes] | None:
        """Fills a new fleet; what was kept of incidents and notices. None when there is no checkpoint.

        Raises ``OSError``, or ``ValueError`` when it is damaged or of another version.
        """
        if not (self._folder / MANIFEST).exists():
            return None
        manifest, _ = files.read(self._folder / MANIFEST)
        if manifest.get("version") != VERSION:
            raise ValueError(f"a checkpoint of version {VERSION} is needed")
        (tables, vantages), (rows,) = files.read(self._folder / manifest["names"])
        fleet.roster.restore(tables, vantages, rows)
        fleet.reserve()
        _, arrays = files.read(self._folder / manifest["state"])
        waiting = iter(arrays)
        for name in BLOCKS:
            self._restore(name, getattr(fleet, name), manifest[name], waiting)
        fleet.resume(manifest["cursor"], manifest["received_at"], manifest["at"])
        self._written = {manifest["names"], *_parts_of(manifest)}
        return manifest["incidents"], manifest["notices"]

    def _restore(self, name: str, block: Block, kept: dict[str, Any], arrays: Iterator[NDArray[Any]]) -> None:
        detector, rows = block.detector, kept["rows"]
        if rows != block.rows:
            raise ValueError(f"{rows} rows of {name} were kept, their names make {block.rows}")
        allowed, hot = next(arrays), next(arrays)
        # an objective that has changed since is judged by from now on: the names have set the rows' levels anew
        changed = detector.allowed[detector.level[:rows]] != allowed[next(arrays)]
        block.hot = hot.copy()
        for array in Detector.ARRAYS[1:]:
            getattr(detector, array)[:rows] = next(arrays)
        if changed.any():
            block.forget(np.flatnonzero(changed))
        slots: list[Slots] = [
            {slot: [self._read_part(part) for part in parts] for slot, parts in of.items()} for of in kept["slots"]
        ]
        block.rings.restore(kept["now"], slots, kept["made"], rows)

    def _read_part(self, name: str) -> Part:
        there, arrays = files.read(self._folder / name)
        waiting = iter(arrays)
        columns = tuple(Column(next(waiting), next(waiting), next(waiting)) if one else None for one in there)
        return Part(int(name.rpartition("-")[2].partition(".")[0]), columns)


def _parts_of(manifest: dict[str, Any]) -> set[str]:
    return {
        part for name in BLOCKS for slots in manifest[name]["slots"] for parts in slots.values() for part in parts
    }  # fmt: skip
