"""Many seeds side by side, every one run twice and in different processes (shell)."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import chain, zip_longest

from fivenines.simulation.mutations import planted
from fivenines.simulation.run import run
from fivenines.simulation.tally import Report

BATCH_SEEDS = 4


def reports(seeds: range, *, mutation: str | None = None, processes: int = 2, repeats: bool = True) -> Iterator[Report]:
    """The report of each seed, twice when it ``repeats``, as they come.

    The two runs of a seed are made by different processes (when there are two at least): each has hashed its texts with a
    salt of its own, so that whatever depends on the order of a set shows as two different histories.
    """
    if processes <= 1:
        for seed in chain.from_iterable([seed, seed] if repeats else [seed] for seed in seeds):
            yield from _batch([seed], mutation)
        return
    lanes = [_lane(seeds, lane, processes, repeats=repeats) for lane in range(processes)]
    context = multiprocessing.get_context("spawn")
    pools = [ProcessPoolExecutor(1, mp_context=context) for _ in lanes]
    try:
        waiting = {
            pool.submit(_batch, batch, mutation)
            for turn in zip_longest(*(_batches(lane) for lane in lanes))
            for pool, batch in zip(pools, turn, strict=True)
            if batch
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)


def _lane(seeds: range, lane: int, processes: int, *, repeats: bool) -> list[int]:
    """What one process runs: its own share, then its neighbour's."""
    own = list(seeds[lane::processes])
    return [*own, *seeds[(lane + 1) % processes :: processes]] if repeats else own


def _batches(seeds: list[int]) -> list[list[int]]:
    return [seeds[i : i + BATCH_SEEDS] for i in range(0, len(seeds), BATCH_SEEDS)]


def _batch(seeds: list[int], mutation: str | None) -> list[Report]:
    with planted(mutation):
        return [run(seed) for seed in seeds]
