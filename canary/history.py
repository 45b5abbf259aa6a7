"""Which versions of an item a read may return: write-then-read verdicts, in one zone and across zones (pure).

Each item has one writer. A write is *pending* from its start until it is acknowledged, or surely dead (``SETTLE_SECONDS``): until then it
may take effect at any moment, even after a later write was acknowledged. The *floor* of a write is the lowest version that was pending when
it began (its own when none was); what is below cannot take effect after it. The floor travels in the item, so that a host in another zone
can judge by it as well.

A *fact* is a write known to have taken effect, and since when: an acknowledgement (own items), or a read that returned it (any item). From
a fact follows what a read that *begins later* must not return: a version below the fact's floor.

* strong read: every fact binds at once;
* eventual read: a fact binds once it is older than ``eventual_age_seconds``, the bound that the user sets.

Soundness first: only what cannot be right is called wrong. Times are monotonic seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from canary.probes.items import ItemKey, Stored

SETTLE_SECONDS = 60.0
"""After this long an unanswered write has surely been applied or lost: no server keeps a request so long."""

EVENTUAL_AGE_SECONDS = 60.0
_FACTS_PER_BOUND = 8


class Fact(msgspec.Struct, frozen=True, gc=False):
    """A write that has taken effect; known ``since``. ``settled``: nothing of an earlier boot can turn up after it."""

    version: int
    floor: int
    boot: str
    since: float
    deletes: bool = False
    settled: bool = True


@dataclass(slots=True)
class _Item:
    attempted: int = 0
    pending: dict[int, tuple[float, int, bool]] = field(default_factory=dict)
    """Version → when it began, its floor, whether it deletes."""
    brief: bool = False
    """Deleted now and then, by this boot or an earlier one."""
    last_delete: int = 0
    facts: list[Fact] = field(default_factory=list)


class Before(msgspec.Struct, frozen=True, gc=False):
    """What was known when a read began."""

    at: float
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why an answer cannot be right: a reason of the outcome table, and the evidence."""

    reason: str
    detail: str


class History:
    """All items of one host's boot, and what it has read of other hosts' items.

    Versions grow over boots when ``first_version`` is the boot's time in milliseconds.
    """

    def __init__(
        self, boot: str, *, first_version: int, began: float, eventual_age_seconds: float = EVENTUAL_AGE_SECONDS
    ) -> None:
        self._boot = boot
        self._began = began
        self._age = eventual_age_seconds
        self._next = first_version
        self._items: dict[ItemKey, _Item] = {}

    # --- writes of our own ------------------------------------------------------------------------------------------------

    def begin_write(
        self, *keys: ItemKey, at: float, written_ms: int = 0, brief: bool = False, deletes: bool = False
    ) -> Stored:
        """The next version of these items (several: one transaction), which from now on may turn up.

        ``brief``: items that are deleted now and then; only those may be missing once they were written.
        """
        self._next += 1
        items = [self._items.get(key) or self._items.setdefault(key, _Item(brief=brief)) for key in keys]
        floors = [self._begin(item, at, deletes=deletes) for item in items]
        return Stored(self._next, self._boot, min(floors), written_ms, self._settled(at))

    def _begin(self, item: _Item, at: float, *, deletes: bool) -> int:
        self._bury(item, at)
        floor = min(item.pending, default=self._next)
        item.attempted = self._next
        item.pending[self._next] = (at, floor, deletes)
        if deletes:
            item.last_delete = self._next
        return floor

    def end_write(self, *keys: ItemKey, version: int, acknowledged: bool, at: float) -> None:
        """The write came back; one without acknowledgement stays pending until it is surely dead."""
        for key in keys:
            item = self._items[key]
            if not acknowledged or version not in item.pending:
                continue
            began, floor, deletes = item.pending.pop(version)
            self._know(item, Fact(version, floor, self._boot, at, deletes, self._settled(began)))

    def _settled(self, at: float) -> bool:
        """Whether a write that begins at ``at`` comes after everything that earlier boots had under way."""
        return at - self._began > SETTLE_SECONDS

    @staticmethod
    def _bury(item: _Item, at: float) -> None:
        for version in [version for version, (began, _, _) in item.pending.items() if at - began > SETTLE_SECONDS]:
            del item.pending[version]

    def _know(self, item: _Item, fact: Fact) -> None:
        """Keep the newest, and older ones an eighth of the bound apart: what is between them adds nothing."""
        facts = item.facts
        if facts and fact.version <= facts[-1].version:
            return
        gap = self._age / _FACTS_PER_BOUND
        if len(facts) >= 2 and facts[-1].since - facts[-2].since < gap:
            facts.pop()
        facts.append(fact)
        while len(facts) > 1 and facts[1].since + 2 * self._age < fact.since:
            facts.pop(0)

    # --- reads ------------------------------------------------------------------------------------------------------------

    def begin_read(self, key: ItemKey, at: float) -> Before:
        """What this read must not fall behind."""
        item = self._items.get(key)
        return Before(at, tuple(item.facts) if item else ())

    def end_read(
        self, key: ItemKey, before: Before, got: Stored | None, *, strong: bool, at: float, own: bool = True
    ) -> Wrong | None:
        """None when the answer may be right. ``own``: the item is written by this host, not by another zone's."""
        item = self._items.get(key)
        if own and got is not None and got.boot == self._boot and got.version > (item.attempted if item else 0):
            return Wrong("wrong_value", f"version {got.version} was never written, the last is {_last(item)}")
        binding = [f for f in before.facts if strong or f.since + self._age < before.at]
        wrong = self._missing(item, binding, before, strong=strong) if got is None else _old(got, binding, before)
        if wrong is None and got is not None and not own:
            self._know(
                self._items.setdefault(key, _Item()),
                Fact(got.version, got.floor, got.boot, at, settled=got.settled),
            )
        return wrong

    def _missing(self, item: _Item | None, binding: list[Fact], before: Before, *, strong: bool) -> Wrong | None:
        """No item is right when nothing is known to be there, or a delete may be the last word."""
        if item is None or not binding:
            return None
        newest = binding[-1]
        if newest.deletes or item.last_delete >= newest.floor > 0 or (item.brief and not newest.settled):
            return None
        reason = "lost_write" if strong else "stale_read"
        return Wrong(reason, f"no item, {newest.version} was there {_ago(newest, before)} ms before")


def _last(item: _Item | None) -> int:
    return item.attempted if item else 0


def _ago(fact: Fact, before: Before) -> int:
    return round((before.at - fact.since) * 1000)


def _old(got: Stored, binding: list[Fact], before: Before) -> Wrong | None:
    newer = list(_above(got, binding))
    if not newer:
        return None
    first, last = newer[0], newer[-1]
    if last.deletes:
        return Wrong(
            "resurrected_delete", f"version {got.version}, deleted by {last.version} {_ago(last, before)} ms ago"
        )
    return Wrong(
        "stale_read", f"stale by {_ago(first, before)} ms: version {got.version}, {last.version} was there before"
    )


def _above(got: Stored, binding: list[Fact]) -> Iterator[Fact]:
    """The facts that rule this version out; the numbers of another boot say nothing until that boot's writes are dead."""
    return (f for f in binding if got.version < f.floor and (f.settled or got.boot == f.boot))
