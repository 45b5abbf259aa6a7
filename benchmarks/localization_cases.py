"""Faults on a cube of AZ × endpoint × read/write × table × partition, and the probes that met them (pure).

A fault is a scope (dimension → value) and the share of the probes in it that fail. Probes are spread evenly over the cube; each is
asked until so many have failed in a faulty scope. Everywhere else they fail with :data:`BACKGROUND`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZES: dict[str, int] = {"az": 3, "endpoint": 4, "op": 2, "table": 20, "partition": 8}
CELLS = int(np.prod(list(SIZES.values())))
BACKGROUND = 2e-4
CHUNK = 2_000

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Scope = frozenset[tuple[str, int]]
"""``{("az", 1), ("endpoint", 2)}``; the empty one is the whole service."""

VALUES: dict[str, Ints] = dict(
    zip(
        SIZES,
        (axis.ravel() for axis in np.meshgrid(*(np.arange(n) for n in SIZES.values()), indexing="ij")),
        strict=True,
    )
)
"""The value of each dimension, by cell."""

WRITE = 1
TYPES: tuple[tuple[str, ...], ...] = (
    (),
    ("az",),
    ("endpoint",),
    ("az", "endpoint"),
    ("op",),
    ("table",),
    ("table", "op"),
    ("table", "partition"),
    ("table", "partition", "op"),
)
"""The nine kinds of fault. Where an operation and a table are hurt together it is the writes: reads come from any replica."""


def covered(scope: Scope) -> Bools:
    """Which cells a scope covers."""
    mask = np.ones(CELLS, np.bool_)
    for name, value in scope:
        mask &= VALUES[name] == value
    return mask


@dataclass(frozen=True, slots=True)
class Case:
    """What was seen: attempts and failures by cell, and the scopes that were truly at fault."""

    causes: frozenset[Scope]
    attempts: Ints
    failures: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table: so many faults, failing so often, seen through so many failing samples."""

    faults: int
    share: float
    samples: int


SETTINGS: tuple[Setting, ...] = (
    *(Setting(faults=1, share=1.0, samples=m) for m in (3, 5, 10)),
    *(Setting(faults=1, share=0.3, samples=m) for m in (3, 5, 10)),
    *(Setting(faults=1, share=0.05, samples=m) for m in (3, 5, 10, 30)),
    *(Setting(faults=2, share=1.0, samples=m) for m in (10, 30)),
    *(Setting(faults=2, share=0.3, samples=m) for m in (10, 30, 100)),
)

EXCLUSIVE_AT_LEAST = 3
"""Of two faults each has failed so many probes that the other has not: else nobody could tell that there are two."""


def cases(setting: Setting, count: int, seed: int) -> Iterator[Case]:
    """``count`` cases, as many of each kind of fault; equal seeds give equal cases."""
    for number in range(count):
        rng = np.random.default_rng((seed, setting.faults, int(setting.share * 100), setting.samples, number))
        yield _one(setting, number, rng) if setting.faults == 1 else _two(setting, rng)


def scope_of(kind: Sequence[str], rng: np.random.Generator) -> Scope:
    """A scope of a kind, at a random place."""
    values: dict[str, int] = {name: int(rng.integers(SIZES[name])) for name in kind}
    if "table" in values and "op" in values:
        values["op"] = WRITE
    return frozenset(values.items())


def _one(setting: Setting, number: int, rng: np.random.Generator) -> Case:
    scope = scope_of(TYPES[number % len(TYPES)], rng)
    return _seen({scope: covered(scope)}, setting, rng)[0]


def _two(setting: Setting, rng: np.random.Generator) -> Case:
    """Two faults, neither within the other, each of which has failures of its own."""
    while True:
        kinds = rng.choice(len(TYPES), 2)
        first, second = (scope_of(TYPES[kind], rng) for kind in kinds)
        masks = {scope: covered(scope) for scope in (first, second)}
        if not _are_two(covered(first), covered(second)):
            continue
        case, own = _seen(masks, setting, rng)
        if min(own) >= EXCLUSIVE_AT_LEAST:
            return case


def _are_two(one: Bools, other: Bools) -> bool:
    """Neither holds the other, and together they are not everything: else another answer is as right."""
    return bool((one & ~other).any() and (other & ~one).any() and not (one | other).all())


def _seen(masks: Mapping[Scope, Bools], setting: Setting, rng: np.random.Generator) -> tuple[Case, list[int]]:
    """Probes until the last of the failing samples, and how many failures each fault has for itself."""
    depth = np.sum(list(masks.values()), axis=0)
    fails = 1 - (1 - BACKGROUND) * (1 - setting.share) ** depth
    cells, failed, missing = [], [], setting.samples
    while missing:
        asked = rng.integers(CELLS, size=CHUNK)
        bad = rng.random(CHUNK) < fails[asked]
        within = np.cumsum(bad & (depth[asked] > 0))
        end = int(np.searchsorted(within, missing)) + 1
        cells.append(asked[:end])
        failed.append(bad[:end])
        missing -= int(within[min(end, CHUNK) - 1])
    asked, bad = np.concatenate(cells), np.concatenate(failed)
    failures = np.bincount(asked[bad], minlength=CELLS)
    own = [int(failures[mask & (depth == 1)].sum()) for mask in masks.values()]
    return Case(frozenset(masks), np.bincount(asked, minlength=CELLS), failures), own
