"""Which versions a read may return."""

from hypothesis import given
from hypothesis import strategies as st

from canary.history import SETTLE_SECONDS, Before, History
from canary.probes.dynamodb import Stored


def history() -> History:
    return History("boot", first_version=100, began=0.0)


def read(
    h: History, got: Stored | None, *, strong: bool = True, at: float = 0.0, before: Before | None = None
) -> str | None:
    wrong = h.end_read("k", "s", before or h.begin_read("k", "s"), got, strong=strong, at=at)
    return wrong.reason if wrong else None


def write(h: History, *, acknowledged: bool = True, at: float = 0.0) -> int:
    version = h.begin_write("k", "s", at)
    h.end_write("k", "s", version, acknowledged=acknowledged)
    return version


def test_a_strong_read_must_see_the_last_acknowledged_write() -> None:
    """The acknowledged version is right, an older one is stale, none at all is a lost write."""
    h = history()
    first, second = write(h), write(h)
    assert read(h, Stored(second, "boot")) is None
    assert read(h, Stored(first, "boot")) == "stale_read"
    assert read(h, None) == "lost_write"


def test_an_eventual_read_may_be_old_but_not_invented() -> None:
    """Old and missing are fine, never attempted is not."""
    h = history()
    first, second = write(h), write(h)
    assert read(h, Stored(first, "boot"), strong=False) is None
    assert read(h, None, strong=False) is None
    assert read(h, Stored(second + 1, "boot"), strong=False) == "wrong_value"


def test_a_read_that_started_before_the_acknowledgement_may_miss_it() -> None:
    """Only what was acknowledged before the read started binds it."""
    h = history()
    first = write(h)
    version = h.begin_write("k", "s", 0.0)
    before = h.begin_read("k", "s")
    h.end_write("k", "s", version, acknowledged=True)
    assert read(h, Stored(first, "boot"), before=before) is None
    assert read(h, Stored(version, "boot"), before=before) is None
    assert read(h, Stored(first, "boot")) == "stale_read"


def test_an_unanswered_write_may_turn_up_late_until_it_is_surely_dead() -> None:
    """A timed-out write that overwrites a later acknowledged one is legal for a minute, and a fault after that."""
    h = history()
    lost = write(h, acknowledged=False)
    write(h)
    assert read(h, Stored(lost, "boot"), at=SETTLE_SECONDS - 1) is None
    assert read(h, Stored(lost, "boot"), at=SETTLE_SECONDS + 1) == "stale_read"


def test_an_earlier_boot_does_not_confuse() -> None:
    """Before our first acknowledged write any other boot's value is fine; afterwards only shortly after our start."""
    h = history()
    assert read(h, Stored(7, "earlier")) is None
    write(h, at=1.0)
    assert read(h, Stored(7, "earlier"), at=2.0) is None
    assert read(h, Stored(7, "earlier"), at=SETTLE_SECONDS + 1) == "stale_read"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_a_linearizable_store_is_never_accused(steps: list[tuple[bool, bool]]) -> None:
    """Whatever writes are applied or not, acknowledged only if applied, a read of the current value is right."""
    h, value = history(), None
    for applied, answered in steps:
        version = h.begin_write("k", "s", 0.0)
        if applied:
            value = Stored(version, "boot")
        h.end_write("k", "s", version, acknowledged=applied and answered)
        assert read(h, value) is None
        assert read(h, value, strong=False) is None
