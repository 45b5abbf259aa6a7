"""What operators did, in the console: who took it, what is muted, notes, parts, the evidence of the end."""

import aiohttp
import msgspec

from dashboards.console import views
from dashboards.console.payloads import Incident, Status
from tests.dashboards import samples
from tests.dashboards.conftest import console


def known(name: str) -> views.Overview:
    answers = samples.state(name)
    opened = tuple(msgspec.convert(one, Incident) for one in answers["open"])
    return views.overview(views.Known(msgspec.convert(answers["status"], Status), opened, (), (), None, samples.NOW))


def test_maintenance_and_silences_in_force_stand_under_the_banner() -> None:
    """What is muted, until when, by whom and why; nothing when nothing is."""
    muted = known("operated").muted
    assert [one.title for one in muted] == ["Maintenance: zone az1", "Silence: endpoint fips, writes only"]
    assert "failures elsewhere page faster" in muted[0].detail
    assert "power works" in muted[0].detail
    assert known("zone_down").muted == ()


def test_a_card_says_who_took_it_or_that_nobody_did() -> None:
    """At 3 a.m. the first question after "what" is "does somebody have it?"."""
    taken, muted = known("operated").open_cards
    assert [chip for card in (taken, muted) for chip in card.chips] == [
        "taken by bob, 15:59:48",
        "opened again 1 time",
        "muted by m-4f1c22aa",
    ]
    assert known("zone_down").open_cards[0].chips == ("not taken by anyone",)


async def test_notes_are_shown_as_text_and_parts_as_links() -> None:
    """A note cannot put markup into the page; folded incidents and the evidence of the end are there."""
    answers = samples.state("operated")
    async with console(answers) as running, aiohttp.ClientSession() as session:
        async with session.get(f"{running.url}/incidents/{answers['open'][0]['id']}") as answer:
            page = await answer.text()
        async with session.get(f"{running.url}/incidents/{answers['closed'][0]['id']}") as answer:
            over = await answer.text()
    assert "certificate &lt;b&gt;expired&lt;/b&gt;" in page
    assert 'href="/incidents/i-20251124-155900-zone-az2-endpoint-fips"' in page
    assert "182 successes by 3 witnesses" in over
