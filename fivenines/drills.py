"""Game days: a scenario is a file with its expected verdict; what was seen is judged against it (pure)."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cluster.faults import NOT_BUILT_YET, Fault
from fivenines.durability import Durability
from fivenines.durations import seconds_of
from fivenines.power_off import RandomPowerOffs

Duration = Annotated[float, BeforeValidator(seconds_of)]
MAX_SCENARIO_BYTES = 256 * 1024


class Frozen(BaseModel):
    """Scenarios are read once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ScheduledFault(Frozen):
    """A fault with its time: ``at`` from the start of the scenario, ``for`` how long (none: until the end)."""

    at: Duration = 0.0
    lasts: Duration | None = None
    fault: Fault


class ExpectedIncident(Frozen):
    """What the page must say. What is left out is not judged."""

    scope: dict[str, str]
    operations: tuple[Literal["read", "write"], ...] | None = None
    side: Literal["client", "server", "both", "client-only", "server-only"] | None = None
    severity: Literal["page", "ticket"] = "page"
    within: Duration = 30.0

    @property
    def expected_side(self) -> str | None:
        """The side in the words of an incident."""
        return self.side.removesuffix("-only") if self.side else None


class Expectation(Frozen):
    """The verdict that the scenario wants. ``incident: any``: whoever is paged is told, and not judged."""

    incident: ExpectedIncident | Literal["none", "any"] = "none"
    pages_at_most: int | None = Field(None, ge=0)
    clears_within: Duration | None = None
    failed_probes_at_most: int | None = Field(None, ge=0, description="attempts of canaries that count as bad")
    recused: tuple[str, ...] = ()
    durable: bool = Field(False, description="nothing acknowledged is lost, nothing is read that nobody wrote")
    whole: bool = Field(False, description="in the end every replication group has its replicas and a leader")
    whole_within: Duration = Field(120.0, description="so long after the last power-off")

    @property
    def expected_incident(self) -> ExpectedIncident | None:
        """The incident that must be there, if one must."""
        return self.incident if isinstance(self.incident, ExpectedIncident) else None


class DrillTraffic(Frozen):
    """Customers of the drill's own, who remember all that they were told. ``rate``: operations a second, in all."""

    table: str = Field("canary", description="one with partitions on every storage node")
    keys: int = Field(200, ge=1, le=10_000)
    rate: float = Field(60.0, gt=0, le=2000)


class Scenario(Frozen):
    """One game day."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    about: str = ""
    lasts: Duration | None = Field(
        None, description="at least this long; a calm day has nothing else to say when it is over"
    )
    faults: tuple[ScheduledFault, ...] = ()
    power_offs: RandomPowerOffs | None = Field(None, description="the entry of 'faults' that has 'random'")
    traffic: DrillTraffic | None = None
    expect: Expectation = Expectation()

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if (self.power_offs is None) != (self.traffic is None):
            raise ValueError("random power-offs and traffic go together: one breaks, the other one proves")
        if self.power_offs is not None and (self.faults or self.lasts is None):
            raise ValueError("a scenario with random power-offs says how long it lasts, and has no other faults")
        if (self.expect.durable or self.expect.whole) and self.traffic is None:
            raise ValueError("'durable' and 'whole' can be judged where there are random power-offs and traffic")
        return self

    @property
    def faults_over_seconds(self) -> float:
        """When the last fault with a known length is removed, from the start."""
        return max((fault.at + (fault.lasts or 0.0) for fault in self.faults), default=0.0)


class ScenarioError(ValueError):
    """A scenario file that cannot be run; one line a problem."""


def parse(text: str, name: str) -> Scenario:
    """The scenario in ``text`` (YAML); ``name`` is what errors call the file. Raises :class:`ScenarioError`."""
    if len(text) > MAX_SCENARIO_BYTES:
        raise ScenarioError(f"{name}: larger than {MAX_SCENARIO_BYTES} bytes")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ScenarioError(f"{name}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ScenarioError(f"{name}: a scenario has the keys name, about, faults, expect")
    try:
        return Scenario.model_validate({**values, **_sorted(values.get("faults"), name)})
    except ValidationError as error:
        lines = [
            f"{name}: {'.'.join(str(p) for p in e['loc'])}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise ScenarioError("\n".join(lines)) from error


def _sorted(faults: object, name: str) -> dict[str, object]:
    """The file's faults: each within its schedule, random ones apart; what is no list is left to the model to refuse."""
    if not isinstance(faults, list):
        return {"faults": () if faults is None else faults}
    drawn = [fault for fault in faults if isinstance(fault, dict) and "random" in fault]
    scheduled: dict[str, object] = {"faults": [_schedule(fault) for fault in faults if fault not in drawn]}
    if not drawn:
        return scheduled
    if len(drawn) > 1 or drawn[0].get("kind") != "power_off" or set(drawn[0]) != {"kind", "random"}:
        raise ScenarioError(
            f"{name}: faults: at most one is random, and it is written {{kind: power_off, random: {{…}}}}"
        )
    return scheduled | {"power_offs": drawn[0]["random"]}


def _schedule(fault: object) -> object:
    """``{at, for, kind, …}`` as a schedule around a fault."""
    if not isinstance(fault, dict):
        return fault
    rest = {key: value for key, value in fault.items() if key not in ("at", "for")}
    return {"at": fault.get("at", 0.0), "lasts": fault.get("for"), "fault": rest}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a run has seen. Times in UTC epoch seconds; ``incidents`` and ``pages`` as the judgement's API gives them."""

    in_force_at: float | None
    ended_at: float
    incidents: tuple[dict[str, Any], ...] = ()
    pages: tuple[dict[str, Any], ...] = ()
    recused: tuple[str, ...] = ()
    failed_probes: int | None = None


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
    durability: Durability | None = None

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON object, keys in the documented order; what was not judged is left out at the end."""
        shown = asdict(self)
        for last in ("failed_probes", "durability"):
            if shown[last] is None:
                del shown[last]
        return shown


def judge(scenario: Scenario, seen: Seen, *, seed: int, durability: Durability | None = None) -> Verdict:
    """Whether what was seen is what the scenario expects, and why not."""
    expect, expected = scenario.expect, scenario.expect.expected_incident
    incident = pick(scenario, seen.incidents)
    pages = page_count(seen.pages)
    problems = [*_page_problems(scenario, pages), *_recused_problems(scenario, seen), *_probe_problems(scenario, seen)]
    if durability is not None:
        problems += durability.problems(durable=expect.durable, whole=expect.whole)
    if expected is None:
        paged = [i for i in seen.incidents if i["severity"] == "page" and expect.incident == "none"]
        problems += [f"paged for {describe(i['scope'])}: {i['summary']}" for i in paged]
        scope_correct = not paged
    else:
        problems += incident_problems(scenario, incident, seen)
        scope_correct = incident is not None and incident["scope"] == expected.scope
    return Verdict(
        scenario=scenario.name,
        seed=seed,
        passed=not problems,
        detected_seconds=since(seen, incident, "opened_at"),
        paged_seconds=since(seen, incident, "paged_at"),
        cleared_seconds=since(seen, incident, "closed_at"),
        scope=incident["scope"] if incident else None,
        expected_scope=None if expected is None else expected.scope,
        scope_correct=scope_correct,
        pages=pages,
        recused=sorted(seen.recused),
        reason="; ".join(problems) or "as expected",
        failed_probes=None if expect.failed_probes_at_most is None else seen.failed_probes,
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


def not_built(scenario: Scenario) -> list[str]:
    """Kinds of fault that the scenario needs and the store cannot do yet."""
    return sorted(
        {scheduled.fault.kind.value for scheduled in scenario.faults if scheduled.fault.kind in NOT_BUILT_YET}
    )


def pick(scenario: Scenario, incidents: tuple[dict[str, Any], ...]) -> dict[str, Any] | None:
    """The incident that the scenario speaks of: the expected scope if it is there, else the severest, then the earliest."""
    expected = scenario.expect.expected_incident
    wanted = None if expected is None else expected.scope
    rank = {"page": 0, "ticket": 1, "watch": 2}
    ordered = sorted(incidents, key=lambda i: (i["scope"] != wanted, rank.get(i["severity"], 3), i["opened_at"]))
    return ordered[0] if ordered else None


def page_count(pages: tuple[dict[str, Any], ...]) -> int:
    """How often people were paged: triggers, each counted once however many destinations it went to."""
    return len({(page["incident"], page["created_at"]) for page in pages if page["event"] == "trigger"})


def since(seen: Seen, incident: dict[str, Any] | None, key: str) -> float | None:
    """Seconds from the fault in force to the incident's ``key``; None when either is not there."""
    if incident is None or seen.in_force_at is None or incident.get(key) is None:
        return None
    return round(float(incident[key]) - seen.in_force_at, 3)


def describe(scope: dict[str, str]) -> str:
    """A scope in a few words: ``zone az1, endpoint fips``."""
    return ", ".join(f"{kind} {name}" for kind, name in scope.items()) or "nothing"


def _page_problems(scenario: Scenario, pages: int) -> list[str]:
    expect = scenario.expect
    limit = expect.pages_at_most
    if limit is None:
        limit = {"none": 0, "any": pages}.get(str(expect.incident), 1)
    return [f"{pages} pages, at most {limit} expected"] if pages > limit else []


def _recused_problems(scenario: Scenario, seen: Seen) -> list[str]:
    missing = sorted(set(scenario.expect.recused) - set(seen.recused))
    return [f"not reported as sick: {', '.join(missing)}"] if missing else []


def _probe_problems(scenario: Scenario, seen: Seen) -> list[str]:
    limit, failed = scenario.expect.failed_probes_at_most, seen.failed_probes
    if limit is None:
        return []
    if failed is None:
        return ["nobody could say how many probes failed"]
    return [f"{failed} probes failed, at most {limit} expected"] if failed > limit else []


def incident_problems(scenario: Scenario, incident: dict[str, Any] | None, seen: Seen) -> list[str]:
    """What is wrong with the incident, against an expected one."""
    expected = scenario.expect.expected_incident
    if expected is None:
        return []
    if incident is None:
        return [f"no incident; expected {describe(expected.scope)}"]
    problems = []
    if incident["scope"] != expected.scope:
        problems.append(f"scope is {describe(incident['scope'])}, expected {describe(expected.scope)}")
    if expected.operations is not None and sorted(incident["operations"]) != sorted(expected.operations):
        problems.append(f"operations are {incident['operations']}, expected {list(expected.operations)}")
    if expected.expected_side is not None and incident["side"] != expected.expected_side:
        problems.append(f"side is {incident['side']}, expected {expected.expected_side}")
    if incident["severity"] != expected.severity:
        problems.append(f"severity is {incident['severity']}, expected {expected.severity}")
    key = "paged_at" if expected.severity == "page" else "opened_at"
    problems += _late(since(seen, incident, key), expected.within, "paged" if key == "paged_at" else "opened")
    if scenario.expect.clears_within is not None:
        problems += _late(since(seen, incident, "closed_at"), scenario.expect.clears_within, "cleared")
    return problems


def _late(took: float | None, within: float, what: str) -> list[str]:
    if took is None:
        return [f"never {what}"]
    return [f"{what} after {took:.1f} s, expected within {within:g} s"] if took > within else []
