"""Whatever a server goes through, nothing is counted twice, and only what nobody could see is lost."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from collector import counters
from collector.exposition import Page

NAMES = ("a", "b", "c", "d")


@dataclass
class Server:
    """Counts requests of four tables; restarts, and makes tables anew. ``tells``: its page shows the start time."""

    tells: bool
    lives: int = 1
    counts: dict[str, int] = field(default_factory=dict)
    before: Page | None = None
    happened: int = 0
    counted: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    expected: int = 0

    def request(self, name: str, times: int) -> None:
        """Requests of a table."""
        self.counts[name] = self.counts.get(name, 0) + times
        self.happened += times

    def restart(self) -> None:
        """Counters begin at nought."""
        self.lives += 1
        self.counts, self.seen = {}, {}

    def make_anew(self, name: str) -> None:
        """A table is deleted and created: its counter begins at nought, the others go on."""
        self.counts.pop(name, None)
        self.seen.pop(name, None)

    def scrape(self) -> None:
        """Look, and count what grew."""
        life = (f"process_start_time_seconds {self.lives}",) if self.tells else ()
        page = Page(life, {name: float(value) for name, value in self.counts.items()})
        first = self.before is None
        self.counted += sum(counters.increases(self.before, page).values())
        if first:
            self.happened = 0  # what was before we looked is nobody's business
        else:
            self.expected += sum(value - self.seen.get(name, 0) for name, value in self.counts.items())
        self.before, self.seen = page, dict(self.counts)


requests = st.tuples(st.just("request"), st.sampled_from(NAMES), st.integers(1, 50))
scrapes = st.just(("scrape",))
restarts = st.just(("restart",))
anew = st.tuples(st.just("make_anew"), st.sampled_from(NAMES))


def play(server: Server, steps: list[tuple[object, ...]]) -> Server:
    """Let it happen; the last look is at the end."""
    for name, *arguments in steps:
        getattr(server, str(name))(*arguments)
    server.scrape()
    return server


@given(st.lists(st.one_of(requests, requests, scrapes, restarts)))
def test_over_restarts_all_that_a_page_has_shown_is_counted_once(steps: list[tuple[object, ...]]) -> None:
    """Lost is only what happened between the last look and the restart."""
    server = play(Server(tells=True), steps)
    assert server.counted == server.expected <= server.happened


@given(st.lists(st.one_of(requests, requests, scrapes)))
def test_without_restarts_nothing_is_lost(steps: list[tuple[object, ...]]) -> None:
    """Missed scrapes change nothing: the next one that comes brings it all."""
    server = play(Server(tells=False), steps)
    assert server.counted == server.happened


@given(st.lists(st.one_of(requests, requests, scrapes, restarts, anew)))
def test_tables_made_anew_never_count_the_past_again(steps: list[tuple[object, ...]]) -> None:
    """However many at once, when the page tells the start time; a counter that has overtaken itself shows less, never more."""
    server = play(Server(tells=True), steps)
    assert server.counted <= server.happened


@given(st.lists(st.one_of(requests, requests, scrapes, restarts)))
def test_a_page_without_start_time_never_counts_twice_over_restarts(steps: list[tuple[object, ...]]) -> None:
    """A restart that the values do not show costs a part of the growth."""
    server = play(Server(tells=False), steps)
    assert server.counted <= server.happened
