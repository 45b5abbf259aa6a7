"""Ways to find the scope of failures on the cube of :mod:`benchmarks.localization_cases`: ours, and what others do (pure).

Each takes attempts and failures by cell and answers with a set of scopes, empty when it cannot say. The others get what helps them:
scopes of all kinds as candidates, and of equals the right one for their rule (see each).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.localization_cases import BACKGROUND, CELLS, SIZES, TYPES, VALUES, Bools, Ints, Scope, covered
from cfa.cube import Cube, Path, scope_of
from cfa.scope import Explanation, Scan

Answer = frozenset[Scope]
Localizer = Callable[[Ints, Ints], Answer]
Floats = NDArray[np.float64]

# --- ours ---------------------------------------------------------------------------------------------------------------------

_SIDES = {"read": 0, "write": 1}
_NAMES = {"zone": "az"}


class Ours:
    """:class:`cfa.scope.Scan`, as the judgement calls it, with an objective that the background just meets."""

    def __init__(self, allowed: float = BACKGROUND) -> None:
        self._allowed = allowed
        self._cube = Cube("all")
        self._places = np.array([self._cube.place(_path(cell)) for cell in range(CELLS)], np.int32)

    def __call__(self, attempts: Ints, failures: Ints) -> Answer:
        """See above."""
        seen = np.flatnonzero(attempts)
        scan = Scan(self._cube, self._places[seen], failures[seen], attempts[seen], allowed=self._allowed)
        return frozenset(self._scope(one) for one in scan.explain())

    def _scope(self, one: Explanation) -> Scope:
        named = {k: v for k, v in scope_of(self._cube.nodes[one.node]).items() if k != "region"}
        values = {_NAMES.get(name, name): int(value) for name, value in named.items()}
        if one.side is not None:
            values["op"] = _SIDES[one.side]
        return frozenset(values.items())


def _path(cell: int) -> Path:
    value = {name: str(int(values[cell])) for name, values in VALUES.items()}
    return Path(
        host="0",
        observer_zone="0",
        endpoint=value["endpoint"],
        connection="pooled",
        operation="write" if value["op"] == "1" else "strong_read",
        table=value["table"],
        partition=value["partition"],
        router=None,
        router_zone=value["az"],
        node=None,
        node_zone=None,
    )


# --- scopes of all kinds, by number -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Elements:
    """Every scope of the kinds ``kinds``, and for each kind which of them a cell is in."""

    kinds: tuple[tuple[str, ...], ...]
    scopes: list[Scope] = field(default_factory=list)
    member: list[Ints] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, kinds: tuple[tuple[str, ...], ...]) -> "Elements":
        """All scopes of ``kinds``."""
        found = cls(kinds)
        for kind in kinds:
            codes = np.zeros(CELLS, np.int64)
            for name in kind:
                codes = codes * SIZES[name] + VALUES[name]
            found.member.append(codes + len(found.scopes))
            firsts = np.unique(codes, return_index=True)[1]
            found.scopes.extend(frozenset((name, int(VALUES[name][cell])) for name in kind) for cell in firsts)
            found.sizes.extend([CELLS // len(firsts)] * len(firsts))
        return found

    def total(self, counts: Ints) -> Floats:
        """Counts by scope."""
        total = np.zeros(len(self.scopes))
        for member in self.member:
            total += np.bincount(member, counts, minlength=len(self.scopes))
        return total


# --- others -------------------------------------------------------------------------------------------------------------------


class Vote:
    """As 007 (Arzani et al., NSDI 2018): a failing probe gives 1/h of a vote to each of its h components; the top one is blamed.

    Components are scopes of all kinds but the whole service; of equal votes the narrowest wins. Then the probes that it explains are
    taken out and the rest votes again, as long as the top has the votes of at least three: one background failure accuses nobody.
    """

    LEAST = 3

    def __init__(self) -> None:
        self._elements = Elements.of(TYPES[1:])
        self._narrow = np.array(self._elements.sizes) / (2 * CELLS)

    def __call__(self, attempts: Ints, failures: Ints) -> Answer:  # noqa: ARG002 (votes are of failures alone)
        """See above."""
        left, found = failures.copy(), set[Scope]()
        while left.sum() and (not found or left.sum() >= self.LEAST):
            votes = self._elements.total(left)
            top = int(np.argmax(votes - self._narrow))
            if found and votes[top] < self.LEAST:
                break
            found.add(self._elements.scopes[top])
            left[covered(self._elements.scopes[top])] = 0
        return frozenset(found)


class Wilson:
    """The scope with the highest lower bound (Wilson, 95 %) of its failing share; of equals the one with more probes."""

    Z = 1.96

    def __init__(self) -> None:
        self._elements = Elements.of(TYPES)

    def __call__(self, attempts: Ints, failures: Ints) -> Answer:
        """See above."""
        f, n = self._elements.total(failures), self._elements.total(attempts)
        if not f.any():
            return frozenset()
        share, z = f / np.maximum(n, 1), self.Z
        middle = share + z * z / (2 * np.maximum(n, 1))
        spread = z * np.sqrt((share * (1 - share) + z * z / (4 * np.maximum(n, 1))) / np.maximum(n, 1))
        low = np.where(f > 0, (middle - spread) / (1 + z * z / np.maximum(n, 1)), -1.0)
        return frozenset({self._elements.scopes[int(np.lexsort((n, low))[-1])]})


class Adtributor:
    """Bhagwan et al., NSDI 2014: the one dimension whose values explain the failures with the most surprise.

    Its forecast is what the background would have failed. Table and partition are one dimension beside table, which helps it.
    """

    EXPLAINED, EACH = 0.67, 0.1

    def __init__(self) -> None:
        self._dimensions = [
            Elements.of((kind,)) for kind in (("az",), ("endpoint",), ("op",), ("table",), ("table", "partition"))
        ]

    def __call__(self, attempts: Ints, failures: Ints) -> Answer:
        """See above."""
        best: tuple[float, Answer] = (0.0, frozenset())
        for elements in self._dimensions:
            found = self._explain(elements, attempts, failures)
            if found[0] > best[0]:
                best = found
        return best[1]

    def _explain(self, elements: Elements, attempts: Ints, failures: Ints) -> tuple[float, Answer]:
        actual, forecast = elements.total(failures), BACKGROUND * elements.total(attempts)
        explains, surprise = explanatory_power(actual, forecast), surprise_of(actual, forecast)
        chosen, total, surprises = set[Scope](), 0.0, 0.0
        for place in np.argsort(-surprise):
            if explains[place] > self.EACH:
                chosen.add(elements.scopes[int(place)])
                total, surprises = total + explains[place], surprises + surprise[place]
            if total > self.EXPLAINED:
                return float(surprises), frozenset(chosen)
        return 0.0, frozenset()


def explanatory_power(actual: Floats, forecast: Floats) -> Floats:
    """The part of the whole deviation that each element has."""
    change = actual.sum() - forecast.sum()
    return np.zeros_like(actual) if change <= 0 else np.asarray((actual - forecast) / change)


def surprise_of(actual: Floats, forecast: Floats) -> Floats:
    """Each element's term of the Jensen–Shannon divergence between forecast and actual shares."""
    p, q = forecast / max(forecast.sum(), 1e-12), actual / max(actual.sum(), 1e-12)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / middle), 0.0) + np.where(q > 0, q * np.log(q / middle), 0.0)
    return np.asarray(0.5 * terms)


class RecursiveAdtributor:
    """R-Adtributor (Persson & Rudenius, 2018): Adtributor again within each element that it has found, while that explains more."""

    EXPLAINED, EACH = 0.67, 0.2
    DIMENSIONS = ("az", "endpoint", "op", "table", "partition")

    def __call__(self, attempts: Ints, failures: Ints) -> Answer:
        """See above."""
        return frozenset(self._within(frozenset(), np.ones(CELLS, np.bool_), attempts, failures))

    def _within(self, scope: Scope, mask: Bools, attempts: Ints, failures: Ints) -> set[Scope]:
        best: tuple[float, str, list[int]] | None = None
        for name in self.DIMENSIONS:
            if name in dict(scope):
                continue
            found = self._values(name, mask, attempts, failures)
            if found is not None and (best is None or found[0] > best[0]):
                best = (found[0], name, found[1])
        if best is None:
            return {scope} if scope else set()
        answer = set[Scope]()
        for value in best[2]:
            inside = mask & (VALUES[best[1]] == value)
            answer |= self._within(scope | {(best[1], value)}, inside, attempts, failures)
        return answer

    def _values(self, name: str, mask: Bools, attempts: Ints, failures: Ints) -> tuple[float, list[int]] | None:
        """The values of a dimension that explain the deviation; None when none or all of them are needed."""
        actual = np.bincount(VALUES[name][mask], failures[mask], minlength=SIZES[name])
        forecast = BACKGROUND * np.bincount(VALUES[name][mask], attempts[mask], minlength=SIZES[name])
        explains, surprise = explanatory_power(actual, forecast), surprise_of(actual, forecast)
        chosen, total, surprises = list[int](), 0.0, 0.0
        for place in np.argsort(-surprise):
            if explains[place] > self.EACH:
                chosen.append(int(place))
                total, surprises = total + explains[place], surprises + surprise[place]
            if total > self.EXPLAINED:
                return (float(surprises), chosen) if len(chosen) < SIZES[name] else None
        return None


# --- scores -------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Score:
    """Sums over cases; the views are of the whole."""

    cases: int = 0
    hits: int = 0
    wrong: int = 0
    missed: int = 0
    abstained: int = 0
    leaf_iou: float = 0.0
    rc: float = 0.0
    cpu_seconds: float = 0.0

    def add(self, causes: Answer, answer: Answer, cpu_seconds: float) -> None:
        """One more case."""
        self.cases += 1
        self.hits += len(causes & answer)
        self.wrong += len(answer - causes)
        self.missed += len(causes - answer)
        self.abstained += not answer
        self.leaf_iou += _leaf_iou(causes, answer)
        self.rc += _rc(causes, answer)
        self.cpu_seconds += cpu_seconds

    @property
    def f1(self) -> float:
        """Of exact scopes, over all cases together."""
        return 2 * self.hits / max(1, 2 * self.hits + self.wrong + self.missed)

    def of(self, total: float) -> float:
        """A sum as a mean over cases."""
        return total / max(1, self.cases)


def _union(scopes: Answer) -> Bools:
    mask = np.zeros(CELLS, np.bool_)
    for scope in scopes:
        mask |= covered(scope)
    return mask


def _leaf_iou(causes: Answer, answer: Answer) -> float:
    """Cells blamed and hurt, of cells blamed or hurt."""
    true, told = _union(causes), _union(answer)
    return float((true & told).sum() / max(1, (true | told).sum()))


def _rc(causes: Answer, answer: Answer) -> float:
    """Each cause's best Jaccard index of dimension = value, less when more is told than there is."""
    if not answer:
        return 0.0
    best = [max(_jaccard(cause, told) for told in answer) for cause in causes]
    return sum(best) / len(best) * min(1.0, len(causes) / len(answer))


def _jaccard(one: Scope, other: Scope) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0


def interval(share: float, cases: int) -> float:
    """Half of the 95 % interval of a share, roughly."""
    return float(1.96 * (max(share * (1 - share), 1 / (4 * cases)) / cases) ** 0.5)
