"""Write-then-read verdicts: which versions of an item a read may return (pure).

A write that was not acknowledged is indeterminate: it may take effect at any moment until it is surely dead
(``SETTLE_SECONDS``), even after a later one was acknowledged. Soundness first: only what cannot be right is called wrong.

* strong read: not less than the newest version acknowledged before the read started (unless indeterminate), not missing
  once one was acknowledged, and never a version that was not attempted;
* eventual read: only what was never written is wrong.
"""

from dataclasses import dataclass, field

from canary.probes.dynamodb import Stored

SETTLE_SECONDS = 60.0
"""After this long an unanswered write has surely been applied or lost: no server keeps a request so long."""


@dataclass(slots=True)
class _Item:
    attempted: int = 0
    acknowledged: int = 0
    indeterminate: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Before:
    """What had been acknowledged when a read started (0: nothing in this boot)."""

    acknowledged: int


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why an answer cannot be right: a reason of the outcome table, and the evidence."""

    reason: str
    detail: str


class History:
    """All items of one host's boot. Versions grow over boots when ``first_version`` is the boot's time in milliseconds.

    Other times are monotonic seconds.
    """

    def __init__(self, boot: str, *, first_version: int, began: float) -> None:
        self._boot = boot
        self._began = began
        self._next = first_version
        self._items: dict[tuple[str, str], _Item] = {}

    def begin_write(self, pk: str, sk: str, at: float) -> int:
        """The next version of the item, which from now on may turn up."""
        self._next += 1
        item = self._items.setdefault((pk, sk), _Item())
        self._settle(item, at)
        item.attempted = self._next
        item.indeterminate[self._next] = at
        return self._next

    def end_write(self, pk: str, sk: str, version: int, *, acknowledged: bool) -> None:
        """The write came back; one without acknowledgement stays indeterminate."""
        item = self._items[(pk, sk)]
        if acknowledged:
            item.indeterminate.pop(version, None)
            item.acknowledged = max(item.acknowledged, version)

    def begin_read(self, pk: str, sk: str) -> Before:
        """What this read must not fall behind."""
        item = self._items.get((pk, sk))
        return Before(item.acknowledged if item else 0)

    def end_read(
        self, pk: str, sk: str, before: Before, got: Stored | None, *, strong: bool, at: float
    ) -> Wrong | None:
        """None when the answer may be right."""
        item = self._items.get((pk, sk), _Item())
        self._settle(item, at)
        if got is None:
            return (
                Wrong("lost_write", f"no item, {before.acknowledged} was acknowledged")
                if self._lost(before, strong)
                else None
            )
        if got.boot == self._boot and got.version > item.attempted:
            return Wrong("wrong_value", f"version {got.version} was never written, the last is {item.attempted}")
        if not strong or got.version >= before.acknowledged or self._may_be_late(item, got, at):
            return None
        return Wrong("stale_read", f"version {got.version}, {before.acknowledged} was acknowledged before")

    @staticmethod
    def _lost(before: Before, strong: bool) -> bool:
        return strong and before.acknowledged > 0

    def _may_be_late(self, item: _Item, got: Stored, at: float) -> bool:
        """An unanswered write of ours, or one that an earlier boot had under way when it ended."""
        if got.boot == self._boot:
            return got.version in item.indeterminate
        return at - self._began < SETTLE_SECONDS

    @staticmethod
    def _settle(item: _Item, at: float) -> None:
        dead = [version for version, since in item.indeterminate.items() if at - since > SETTLE_SECONDS]
        for version in dead:
            del item.indeterminate[version]
