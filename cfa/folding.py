"""Which explanation speaks of which open case, and which open cases are only a part of a broader one (pure).

Narrower alarms fold into the broader explanation. Two rules keep a fault of its own from being swallowed: the scan no longer names the narrower one, as the broader one
explains its failures as well; and nearly all that failed in the narrower one lies inside the broader.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cfa.attempts import Rows
from cfa.case import Case
from cfa.policy import FOLD_SHARE, FOLD_STABLE_SECONDS, KINDS
from cfa.scene import Scene
from cfa.scope import Explanation, mask_of

OVERLAP = 0.5
"""Explanations that share at least this part of either's failures are of one incident."""


def matched(explanations: tuple[Explanation, ...], cases: list[Case], scene: Scene) -> dict[int, Case]:
    """The open case that each explanation's node speaks of: that of the same scope, else the first that overlaps.

    Those that people were paged for come first, then the oldest: they keep their name.
    """
    found = {e.node: c for e in explanations for c in cases if c.node == e.node}
    rows = scene.rows[(scene.rows["bad"] > 0) & (scene.rows["at"] >= scene.since)]
    ordered = sorted(cases, key=lambda case: not case.paged)
    for e in explanations:
        by_e = mask_of(scene.cube, rows["place"], e.node, e.connection, e.side)
        for case in ordered:
            if e.node not in found and _overlaps(by_e, case, rows, scene):
                found[e.node] = case
        rows = rows[~by_e]  # as the scan does: the next explanation is of what is left
    return found


def _overlaps(by_e: NDArray[np.bool_], case: Case, rows: Rows, scene: Scene) -> bool:
    by_case = mask_of(scene.cube, rows["place"], case.node, case.connection, case.side)
    both = (by_e & by_case).sum()
    return bool(both and (both >= OVERLAP * by_e.sum() or both >= OVERLAP * by_case.sum()))


def absorbed(cases: list[Case], explanations: tuple[Explanation, ...], scene: Scene) -> Iterator[tuple[Case, Case]]:
    """Pairs (broader, narrower) to be folded; each narrower case once."""
    named = {e.node for e in explanations}
    gone: set[int] = set()
    for broad in list(cases):
        if broad.node not in named or scene.at - broad.scoped_at < FOLD_STABLE_SECONDS or id(broad) in gone:
            continue
        for narrow in list(cases):
            if (
                narrow is not broad
                and narrow.node not in named
                and id(narrow) not in gone
                and _inside(narrow, broad, scene)
            ):
                gone.add(id(narrow))
                yield broad, narrow


def _inside(narrow: Case, broad: Case, scene: Scene) -> bool:
    """Whether nearly all failures of one lie in the other, which may page if the first one may."""
    if KINDS[narrow.kind].pages and not KINDS[broad.kind].pages:
        return False
    failed = narrow.tally.failed_places
    if not failed:
        return False
    places = np.array(list(failed), np.int32)
    counts = np.array(list(failed.values()))
    covered = mask_of(scene.cube, places, broad.node, broad.connection, broad.side)
    return bool(counts[covered].sum() >= FOLD_SHARE * counts.sum())
