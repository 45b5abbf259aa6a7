"""What the power-off drill makes of the scrubs of all zones."""

from fivenines.zone_states import scrub_verdict

SOUND = {"clean": True, "complete": True, "replicas": ["a", "b", "c"], "mismatches": 0, "repaired": 0, "undecided": 0}


def test_a_scrub_is_clean_only_when_everything_was_compared_and_is_the_same():
    """Differences are told by group; a replica that was not compared is told too; no scrub at all is not clean."""
    assert scrub_verdict({"t/0": SOUND, "t/1": SOUND}) == "clean"
    assert scrub_verdict({}) == "nothing was scrubbed"
    wrong = {**SOUND, "clean": False, "mismatches": 3, "repaired": 2, "undecided": 1}
    assert scrub_verdict({"t/0": SOUND, "t/1": wrong}) == "t/1: 3 differ, 2 repaired, 1 undecided"
    assert scrub_verdict({"t/0": {**SOUND, "complete": False, "replicas": ["a", "b"]}}) == "t/0: only a, b"
