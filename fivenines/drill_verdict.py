"""What a drill saw, judged against what its scenario expects (pure)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fivenines.drills import ExpectedIncident, Scenario, Scoped
from fivenines.durability import Durability

Told = dict[str, Any]
"""An incident, or a page, as the judgement's API gives it."""

_RANK = {"page": 0, "ticket": 1, "watch": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a run has seen. Times in UTC epoch seconds; ``incidents`` and ``pages`` as the judgement's API gives them."""

    in_force_at: float | None
    ended_at: float
    incidents: tuple[Told, ...] = ()
    pages: tuple[Told, ...] = ()
    recused: tuple[str, ...] = ()
    failed_probes: int | None = None
    actions: tuple[Told, ...] = ()
    """What was done about incidents by itself, as the judgement's API gives it."""
    blind_at: float | None = None
    """When the judgement first said that it has no data; None: it never did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One of several expected incidents, and what was there instead."""

    expected_scope: dict[str, str]
    scope: dict[str, str] | None
    detected_seconds: float | None
    paged_seconds: float | None
    cleared_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of a drill. Seconds run from the instant the (first) fault was really in force."""

    scenario: str
    seed: int
    passed: bool
    detected_seconds: float | None
    paged_seconds: float | None
    cleared_seconds: float | None
    scope: dict[str, str] | None
    expected_scope: dict[str, str] | None
    scope_correct: bool
    pages: int
    recused: list[str] = field(default_factory=list)
    reason: str = ""
    failed_probes: int | None = None
    blind_seconds: float | None = None
    mitigated_seconds: float | None = None
    found: list[Found] | None = None
    durability: Durability | None = None

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON object, keys in the documented order; what was not judged is left out at the end."""
        shown = asdict(self)
        for last in ("failed_probes", "blind_seconds", "mitigated_seconds", "found", "durability"):
            if shown[last] is None:
                del shown[last]
        return shown


def judge(scenario: Scenario, seen: Seen, *, seed: int, durability: Durability | None = None) -> Verdict:
    """Whether what was seen is what the scenario expects, and why not."""
    expect = scenario.expect
    pairs = matched(expect.expected, seen.incidents)
    incident = pairs[0][1] if pairs else _severest(seen.incidents)
    problems = [*_counted(scenario, seen), *_unwanted(scenario, seen), *_witnesses(scenario, seen)]
    if durability is not None:
        problems += durability.problems(durable=expect.durable, whole=expect.whole)
    for expected, told in pairs:
        problems += incident_problems(scenario, expected, told, seen)
    paged = expect.incident == "none" and any(i["severity"] == "page" for i in seen.incidents)
    return Verdict(
        scenario=scenario.name,
        seed=seed,
        passed=not problems,
        detected_seconds=since(seen, incident, "opened_at"),
        paged_seconds=since(seen, incident, "paged_at"),
        cleared_seconds=since(seen, incident, "closed_at"),
        scope=incident["scope"] if incident else None,
        expected_scope=pairs[0][0].scope if pairs else None,
        scope_correct=all(t is not None and t["scope"] in e.scopes for e, t in pairs) if pairs else not paged,
        pages=page_count(seen.pages),
        recused=sorted(seen.recused),
        reason="; ".join(problems) or "as expected",
        failed_probes=None if expect.failed_probes_at_most is None else seen.failed_probes,
        blind_seconds=_after(seen, seen.blind_at),
        mitigated_seconds=_mitigated(scenario, seen),
        found=[_found(seen, *pair) for pair in pairs] if len(pairs) > 1 else None,
        durability=durability,
    )


def could_not_run(scenario: Scenario, seed: int, reason: str) -> Verdict:
    """The verdict of a drill that could not begin."""
    expected = scenario.expect.expected_incident
    return Verdict(
        scenario=scenario.name,
        seed=seed,
        passed=False,
        detected_seconds=None,
        paged_seconds=None,
        cleared_seconds=None,
        scope=None,
        expected_scope=None if expected is None else expected.scope,
        scope_correct=False,
        pages=0,
        reason=reason,
    )


# --- which incident is meant --------------------------------------------------------------------------------------------


def matched(
    expected: Sequence[ExpectedIncident], incidents: Sequence[Told]
) -> list[tuple[ExpectedIncident, Told | None]]:
    """Each expected incident with the one that is it, or that is there in its place: the severest, then the earliest."""
    left = sorted(incidents, key=lambda i: (_RANK.get(i["severity"], 3), i["opened_at"]))
    found: dict[int, Told | None] = {}
    for exact in (True, False):
        for index, each in enumerate(expected):
            if found.get(index) is None:
                told = next((i for i in left if not exact or i["scope"] in each.scopes), None)
                found[index] = told
                left = [i for i in left if i is not told]
    return [(each, found[index]) for index, each in enumerate(expected)]


def _severest(incidents: Sequence[Told]) -> Told | None:
    return min(incidents, key=lambda i: (_RANK.get(i["severity"], 3), i["opened_at"]), default=None)


def pick(scenario: Scenario, incidents: Sequence[Told]) -> Told | None:
    """The (first) incident that the scenario speaks of."""
    pairs = matched(scenario.expect.expected, incidents)
    return pairs[0][1] if pairs else _severest(incidents)


def page_count(pages: Sequence[Told]) -> int:
    """How often people were paged: triggers, each counted once however many destinations it went to."""
    return len({(page["incident"], page["created_at"]) for page in pages if page["event"] == "trigger"})


def since(seen: Seen, incident: Told | None, key: str) -> float | None:
    """Seconds from the fault in force to the incident's ``key``; None when either is not there."""
    return _after(seen, None if incident is None else incident.get(key))


def _after(seen: Seen, at: float | None) -> float | None:
    return None if at is None or seen.in_force_at is None else round(float(at) - seen.in_force_at, 3)


def describe(scope: dict[str, str]) -> str:
    """A scope in a few words: ``zone az1, endpoint fips``."""
    return ", ".join(f"{kind} {name}" for kind, name in scope.items()) or "nothing"


def _found(seen: Seen, expected: ExpectedIncident, told: Told | None) -> Found:
    return Found(
        expected_scope=expected.scope,
        scope=told["scope"] if told else None,
        detected_seconds=since(seen, told, "opened_at"),
        paged_seconds=since(seen, told, "paged_at"),
        cleared_seconds=since(seen, told, "closed_at"),
    )


# --- what is wrong ------------------------------------------------------------------------------------------------------


def _counted(scenario: Scenario, seen: Seen) -> list[str]:
    """Pages and tickets beyond what is allowed. Without a limit of its own a scenario allows a page for each that it expects."""
    expect, pages = scenario.expect, page_count(seen.pages)
    limit = expect.pages_at_most
    if limit is None:
        limit = pages if expect.incident == "any" else sum(e.severity == "page" for e in expect.expected)
    problems = [f"{pages} pages, at most {limit} expected"] if pages > limit else []
    tickets = [i for i in seen.incidents if i["severity"] == "ticket"]
    if expect.tickets_at_most is not None and len(tickets) > expect.tickets_at_most:
        named = ", ".join(describe(i["scope"]) for i in tickets)
        problems.append(f"{len(tickets)} tickets ({named}), at most {expect.tickets_at_most} expected")
    return problems


def _unwanted(scenario: Scenario, seen: Seen) -> list[str]:
    """Incidents that must not be there."""
    expect = scenario.expect
    problems = []
    if expect.incident == "none" and not expect.incidents:
        paged = [i for i in seen.incidents if i["severity"] == "page"]
        problems += [f"paged for {describe(i['scope'])}: {i['summary']}" for i in paged]
    for unwanted in expect.must_not_fire:
        problems += [f"fired: {i['severity']} for {describe(i['scope'])}" for i in seen.incidents if _is(i, unwanted)]
    return problems


def _is(incident: Told, meant: Scoped) -> bool:
    return all(
        incident.get(name) == value for name, value in meant.model_dump(exclude_none=True).items() if value is not None
    )


def _witnesses(scenario: Scenario, seen: Seen) -> list[str]:
    """What the witnesses should have said of themselves, and how many of their attempts may have failed."""
    expect = scenario.expect
    missing = sorted(set(expect.recused) - set(seen.recused))
    problems = [f"not reported as sick: {', '.join(missing)}"] if missing else []
    if expect.blind_within is not None:
        problems += _late(_after(seen, seen.blind_at), expect.blind_within, "told that it is blind")
    if expect.mitigated is not None:
        problems += _late(_mitigated(scenario, seen), expect.mitigated.within, f"well again by {expect.mitigated.hook}")
    limit, failed = expect.failed_probes_at_most, seen.failed_probes
    if limit is not None and failed is None:
        problems.append("nobody could say how many probes failed")
    elif limit is not None and failed is not None and failed > limit:
        problems.append(f"{failed} probes failed, at most {limit} expected")
    return problems


def _mitigated(scenario: Scenario, seen: Seen) -> float | None:
    """Seconds from the fault in force until canaries saw no failure any more, after the hook that is expected was done."""
    wanted = scenario.expect.mitigated
    begun = seen.in_force_at or 0.0
    well = (
        action["recovered_at"]
        for action in seen.actions
        if wanted is not None and action["hook"] == wanted.hook and not action["dry_run"] and action["recovered_at"]
    )
    return _after(seen, min((at for at in well if at > begun), default=None))


def incident_problems(scenario: Scenario, expected: ExpectedIncident, incident: Told | None, seen: Seen) -> list[str]:
    """What is wrong with the incident, against the expected one."""
    if incident is None:
        return [f"no incident; expected {describe(expected.scope)}"]
    problems = []
    if incident["scope"] not in expected.scopes:
        wanted = " or ".join(describe(scope) for scope in expected.scopes)
        problems.append(f"scope is {describe(incident['scope'])}, expected {wanted}")
    if expected.operations is not None and sorted(incident["operations"]) != sorted(expected.operations):
        problems.append(f"operations are {incident['operations']}, expected {list(expected.operations)}")
    for what, wanted_word in (
        ("side", expected.expected_side),
        ("severity", expected.severity),
        ("category", expected.category),
        ("finding", expected.finding),
    ):
        if wanted_word is not None and incident.get(what) != wanted_word:
            problems.append(f"{what} is {incident.get(what)}, expected {wanted_word}")
    key = "paged_at" if expected.severity == "page" else "opened_at"
    problems += _late(since(seen, incident, key), expected.within, "paged" if key == "paged_at" else "opened")
    if scenario.expect.clears_within is not None:
        problems += _late(since(seen, incident, "closed_at"), scenario.expect.clears_within, "cleared")
    return [*problems, *_too_early(since(seen, incident, "closed_at"), scenario.expect.clears_after)]


def _too_early(took: float | None, least: float | None) -> list[str]:
    if took is None or least is None or took >= least:
        return []
    return [f"told to be over after {took:.1f} s, while its fault was in force (expected: not before {least:g} s)"]


def _late(took: float | None, within: float, what: str) -> list[str]:
    if took is None:
        return [f"never {what}"]
    return [f"{what} after {took:.1f} s, expected within {within:g} s"] if took > within else []
