"""Which versions a read may return."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from canary.history import SETTLE_SECONDS, Before, History
from canary.probes.items import Stored

KEY = ("k", "s")
LATE = SETTLE_SECONDS + 1
BOUND = 60.0


def history(boot: str = "boot", first: int = 100) -> History:
    return History(boot, first_version=first, began=0.0, eventual_age_seconds=BOUND)


def read(
    h: History,
    got: Stored | None,
    *,
    at: float,
    strong: bool = True,
    before: Before | None = None,
    own: bool = True,
) -> str | None:
    wrong = h.end_read(KEY, before or h.begin_read(KEY, at), got, strong=strong, at=at, own=own)
    return wrong.reason if wrong else None


def write(h: History, at: float, *, acknowledged: bool = True, brief: bool = False, deletes: bool = False) -> Stored:
    what = h.begin_write(KEY, at=at, brief=brief, deletes=deletes)
    h.end_write(KEY, version=what.version, acknowledged=acknowledged, at=at)
    return what


def test_a_strong_read_must_see_the_last_acknowledged_write() -> None:
    """The acknowledged version is right, an older one is stale, none at all is a lost write."""
    h = history()
    first, second = write(h, 0.0), write(h, 1.0)
    assert read(h, second, at=2.0) is None
    assert read(h, first, at=2.0) == "stale_read"
    assert read(h, None, at=2.0) == "lost_write"


def test_a_stale_read_says_by_how_many_milliseconds() -> None:
    """Counted from the acknowledgement of the first newer write to the beginning of the read."""
    h = history()
    first = write(h, 0.0)
    write(h, 10.0)
    write(h, 18.0)
    wrong = h.end_read(KEY, h.begin_read(KEY, 20.5), first, strong=True, at=21.0)
    assert wrong is not None
    assert wrong.detail.startswith("stale by 10500 ms")


def test_an_eventual_read_may_be_old_within_the_bound_but_not_invented() -> None:
    """Old and missing are fine until the newer write has been there for the bound; never attempted never is."""
    h = history()
    first, second = write(h, 0.0), write(h, 1.0)
    assert read(h, first, strong=False, at=BOUND) is None
    assert read(h, None, strong=False, at=BOUND) is None
    assert read(h, first, strong=False, at=BOUND + 1.1) == "stale_read"
    assert read(h, None, strong=False, at=BOUND + 1.1) == "stale_read"
    assert read(h, second, strong=False, at=BOUND + 1.1) is None
    assert read(h, Stored(second.version + 1, "boot"), strong=False, at=2.0) == "wrong_value"


def test_a_read_that_started_before_the_acknowledgement_may_miss_it() -> None:
    """Only what was acknowledged before the read started binds it."""
    h = history()
    first = write(h, 0.0)
    what = h.begin_write(KEY, at=1.0)
    before = h.begin_read(KEY, 1.5)
    h.end_write(KEY, version=what.version, acknowledged=True, at=2.0)
    assert read(h, first, before=before, at=2.5) is None
    assert read(h, what, before=before, at=2.5) is None
    assert read(h, first, at=2.5) == "stale_read"


def test_an_unanswered_write_may_turn_up_late_until_a_write_that_began_after_its_death() -> None:
    """It may overwrite a later acknowledged write; once it is surely dead, the next acknowledged write ends it for good."""
    h = history()
    lost = write(h, 0.0, acknowledged=False)
    write(h, 1.0)
    assert read(h, lost, at=30.0) is None
    assert read(h, lost, at=LATE) is None  # applied at 59 s, and nothing was written since
    write(h, LATE)
    assert read(h, lost, at=LATE + 1) == "stale_read"


def test_an_earlier_boot_does_not_confuse() -> None:
    """Another boot's value is fine until a write of ours that began after all of that boot's writes were dead."""
    h = history()
    old = Stored(7, "earlier")
    assert read(h, old, at=0.0) is None
    write(h, 1.0)
    assert read(h, old, at=2.0) is None
    write(h, LATE)
    assert read(h, old, at=LATE + 1) == "stale_read"


def test_a_deleted_item_may_be_missing_and_must_not_come_back() -> None:
    """After an acknowledged delete, none is right and the old version is a resurrected delete; after a new put, none is lost."""
    h = history()
    put = write(h, LATE, brief=True)
    assert read(h, None, at=LATE + 1) == "lost_write"
    write(h, LATE + 2, brief=True, deletes=True)
    assert read(h, None, at=LATE + 3) is None
    assert read(h, put, at=LATE + 3) == "resurrected_delete"
    again = write(h, LATE + 4, brief=True)
    assert read(h, again, at=LATE + 5) is None
    assert read(h, put, at=LATE + 5) == "stale_read"
    assert read(h, None, at=LATE + 5) == "lost_write"


def test_an_unanswered_delete_excuses_a_missing_item() -> None:
    """It may have taken effect, before or after the put that follows it."""
    h = history()
    write(h, LATE, brief=True)
    write(h, LATE + 1, brief=True, deletes=True, acknowledged=False)
    assert read(h, None, at=LATE + 2) is None
    write(h, LATE + 3, brief=True)
    assert read(h, None, at=LATE + 4) is None


def test_another_zones_item_is_judged_by_what_was_read_before() -> None:
    """Nothing is known before the first read; after it, older versions are stale and a missing item is lost."""
    writer, reader = history("writer"), history("reader", first=5)
    first, second = write(writer, LATE), write(writer, LATE + 1)
    assert read(reader, None, at=0.0, own=False) is None
    assert read(reader, first, at=1.0, own=False) is None
    assert read(reader, second, at=2.0, own=False) is None
    assert read(reader, first, at=3.0, own=False) == "stale_read"
    assert read(reader, first, at=3.0, own=False, strong=False) is None
    assert read(reader, first, at=3.0 + BOUND, own=False, strong=False) == "stale_read"
    assert read(reader, None, at=3.0, own=False) == "lost_write"


def test_a_floor_travels_in_the_item() -> None:
    """A version that its writer had under way when a newer one began may turn up after it, in another zone, too."""
    writer, reader = history("writer"), history("reader")
    slow = writer.begin_write(KEY, at=LATE)
    quick = write(writer, LATE + 1)
    assert quick.floor == slow.version
    assert read(reader, quick, at=1.0, own=False) is None
    assert read(reader, slow, at=2.0, own=False) is None


@dataclass
class Register:
    """A linearizable item: writes are applied when the test says so, if ever."""

    value: Stored | None = None
    waiting: list[tuple[Stored, bool, float]] = field(default_factory=list)

    def apply(self, what: Stored, *, deletes: bool) -> None:
        """The write takes effect."""
        self.value = None if deletes else what


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "delete", "lose", "apply_late", "read", "wait"]),
        st.floats(0.0, 40.0),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_a_linearizable_store_is_never_accused(actions: list[tuple[str, float, int]]) -> None:
    """Whatever is applied at once, later (while it can be) or never: reads of the current value are right, own and another zone's."""
    writer, reader, register, now = history("w"), history("r"), Register(), 0.0
    deletes_at_all = any(kind == "delete" for kind, _, _ in actions)
    for kind, wait, pick in actions:
        now += wait
        register.waiting = [w for w in register.waiting if now - w[2] < SETTLE_SECONDS]
        if kind in ("write", "delete", "lose"):
            deletes = kind == "delete"
            what = writer.begin_write(KEY, at=now, brief=deletes_at_all, deletes=deletes)
            if kind == "lose":
                register.waiting.append((what, pick % 2 == 0 and deletes_at_all, now))
            else:
                register.apply(what, deletes=deletes)
                writer.end_write(KEY, version=what.version, acknowledged=pick != 0, at=now)
        elif kind == "apply_late" and register.waiting:
            what, deletes, _ = register.waiting.pop(pick % len(register.waiting))
            register.apply(what, deletes=False)
        for strong in (True, False):
            assert read(writer, register.value, at=now, strong=strong) is None
            if not deletes_at_all:
                assert read(reader, register.value, at=now, strong=strong, own=False) is None


@given(st.lists(st.tuples(st.floats(0.1, 30.0), st.booleans()), min_size=1, max_size=40), st.floats(0.0, BOUND * 0.99))
def test_replicas_within_the_bound_are_never_accused(writes: list[tuple[float, bool]], lag: float) -> None:
    """An eventual read that is at most the bound behind is right, in the own zone and in another."""
    writer, reader = history("w"), history("r")
    applied: list[tuple[float, Stored]] = []
    now = 0.0
    for wait, answered in writes:
        now += wait
        applied.append((now, write(writer, now, acknowledged=answered)))
        seen = [value for at, value in applied if at <= now - lag]
        behind = seen[-1] if seen else None
        assert read(writer, behind, at=now, strong=False) is None
        assert read(reader, behind, at=now, strong=False, own=False) is None


@given(st.integers(1, 30), st.integers(1, 30), st.floats(1.0, 50.0))
def test_a_store_that_forgets_an_acknowledged_write_is_always_accused(kept: int, lost: int, gap: float) -> None:
    """Going back by any number of acknowledged writes is seen by the next strong read, in both zones."""
    writer, reader = history("w"), history("r")
    values = [write(writer, LATE + n * gap) for n in range(kept + lost)]
    now = LATE + (kept + lost) * gap
    assert read(reader, values[-1], at=now, own=False) is None
    assert read(writer, values[kept - 1], at=now) == "stale_read"
    assert read(reader, values[kept - 1], at=now, own=False) == "stale_read"
    assert read(writer, None, at=now) == "lost_write"


def test_memory_does_not_grow_with_the_number_of_writes() -> None:
    """A day of writes keeps a handful of facts."""
    h = history()
    for n in range(5000):
        write(h, float(n) * 0.5)
        if n % 100 == 0:
            assert len(h.begin_read(KEY, n * 0.5).facts) <= 20
