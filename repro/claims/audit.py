"""Runs the audit of a claim: assumptions in, finding and verdict out, with the facts that were read.

An audit is one function marked with `@audit`. It takes a ledger of facts and, as keyword-only arguments, the
assumptions that it depends on. It returns an `Answer`: the readings of the claim, a headline, and a sentence or two
with numbers. The ledger notes each fact that is read, so a finding's sources are exact. The verdict comes from the rule
in verdict.py alone.
"""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from repro.claims.assumptions import ASSUMPTIONS, assumption
from repro.claims.formatting import format_quantity
from repro.claims.register import Claim, load_register
from repro.claims.verdict import Case, Verdict, grade, judge
from repro.errors import InputError, nearest_name
from repro.facts import Facts, Ledger, load
from repro.inputs import Value

CHECKOUT = Path(__file__).parents[2]
SOURCE_FIELDS = {"key", "value", "unit", "source", "locator", "provenance", "read_via"}  # that a result's JSON shows


class Answer(NamedTuple):
    """What an audit function returns."""

    cases: tuple[Case, ...]  #: the claim's readings, the one that an ordinary reader takes first; none for context
    headline: str  #: what is true, in at most 12 words that a newspaper could print, without a full stop
    explanation: str  #: one or two sentences with numbers
    ordinary: str = ""  #: why an ordinary reader takes the first reading; needed where there is another


AuditFunction = Callable[..., Answer]


@dataclass(frozen=True)
class Audit:
    """One audit function, and what its decorator says about it."""

    function: AuditFunction
    notebook: str  #: name of the one that argues it
    assumptions: tuple[str, ...]  #: names of those it takes
    unit: str  #: of every case's value
    digits: int  #: significant ones that the claim deserves, wherever a reader sees the value

    @property
    def location(self) -> tuple[str, int]:
        """The function's file, relative to the checkout where it lies inside, and its first line."""
        path = Path(inspect.getfile(self.function))
        inside = path.is_relative_to(CHECKOUT)
        return (path.relative_to(CHECKOUT) if inside else path).as_posix(), inspect.getsourcelines(self.function)[1]


@dataclass(frozen=True)
class Finding:
    """An audit's answer with the unit and the digits of its values."""

    unit: str
    answer: Answer
    digits: int = 4

    @property
    def cases(self) -> tuple[Case, ...]:
        """The readings of the claim, the ordinary one first."""
        return self.answer.cases

    @property
    def value(self) -> float | None:
        """The recomputed number under the ordinary reading, None if it has none."""
        return self.cases[0].value if self.cases else None


@dataclass(frozen=True)
class AuditResult:
    """A claim with its verdict; without audit and finding if nobody has audited it yet."""

    claim: Claim
    verdict: Verdict
    audit: Audit | None = None
    finding: Finding | None = None
    assumptions: Mapping[str, Value] | None = None  #: value by name, of all that the audit takes
    overridden: tuple[str, ...] = ()  #: names of those that the caller set
    sources: tuple[str, ...] = ()  #: keys of the facts and published files that were read

    @property
    def notebook(self) -> str | None:
        """Name of the notebook that argues the audit."""
        return self.audit.notebook if self.audit else None

    @property
    def headline(self) -> str:
        """What is true about the claim, in at most 12 words; empty if it is not audited."""
        text = self.finding.answer.headline if self.finding else ""
        return text[:1].upper() + text[1:]

    @property
    def explanation(self) -> str:
        """The finding's sentences; where readings differ, which of them hold comes first."""
        if self.finding is None:
            return ""
        told = self.finding.answer.explanation
        when, not_when, unknown = self.readings_by_outcome
        if self.verdict is Verdict.CONTEXT or len(self.finding.cases) < 2 or not (when or unknown):
            return told
        parts = [f"Holds for {'; '.join(when)}."] if when else []
        parts += [f"Not for {'; '.join(not_when)}."] if not_when else []
        parts += [f"No figure is public for {'; '.join(unknown)}."] if unknown else []
        return " ".join([*(parts if not_when or unknown else ()), told])

    @property
    def read_as(self) -> str:
        """A sentence on why the first of several readings is the ordinary one; empty if there is but one."""
        cases = self.finding.cases if self.finding else ()
        reason = self.finding.answer.ordinary if self.finding else ""
        return f"Read as {cases[0].reading}: {reason}." if len(cases) > 1 else ""

    def mark_reading(self, case: Case) -> str:
        """Return the words of a reading, with a mark if it is the ordinary one of several."""
        cases = self.finding.cases if self.finding else ()
        return f"{case.reading} (ordinary reading)" if len(cases) > 1 and case is cases[0] else case.reading

    @property
    def readings_by_outcome(self) -> tuple[list[str], list[str], list[str]]:
        """The readings that hold, those that do not, and those without a public figure."""
        cases = self.finding.cases if self.finding else ()
        graded = [(case.reading, grade(self.claim.printed, case)) for case in cases]
        when = [name for name, verdict in graded if verdict is Verdict.HOLDS]
        unknown = [name for name, verdict in graded if verdict is Verdict.NOT_SETTLED]
        return when, [name for name, _ in graded if name not in when + unknown], unknown

    @property
    def printed(self) -> str:
        """The figures that the claim arrives at, as its document prints them; its premises are not among them."""
        return ", ".join(figure.text for figure in self.claim.printed if not figure.premise)

    @property
    def recomputed(self) -> str:
        """The finding's value with its unit; empty if there is no finding yet."""
        return format_quantity(self.finding.value, self.finding.unit, self.finding.digits) if self.finding else ""


AUDITS: dict[str, Audit] = {}


def audit(claim_id: str, *, notebook: str, unit: str = "", digits: int = 4) -> Callable[[AuditFunction], AuditFunction]:
    """Register a function as the audit of a claim; its keyword-only arguments are its assumptions.

    Args:
        claim_id: in capitals, as in the register.
        notebook: name of the one that argues the audit.
        unit: of every case's value; "" for an audit that computes nothing.
        digits: significant ones that the claim deserves.

    Raises:
        ValueError: for a second audit of one claim, or an argument that is no known assumption.
    """

    def register(function: AuditFunction) -> AuditFunction:
        names = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        if claim_id in AUDITS:
            raise ValueError(f"{claim_id} has two audits")
        if stray := set(names) - set(ASSUMPTIONS):
            raise ValueError(f"{claim_id}: not in the list of assumptions: {', '.join(sorted(stray))}")
        AUDITS[claim_id] = Audit(function, notebook, tuple(names), unit, digits)
        return function

    return register


def run_audit(claim_id: str, facts: Facts | None = None, **overrides: Value) -> AuditResult:
    """Audit one claim under these assumptions, the others at their defaults.

    Args:
        claim_id: in capitals or small letters.
        facts: to read from; the package's where None.
        **overrides: value by assumption.

    Raises:
        InputError: for an unknown claim, an assumption that the audit does not take, or a value outside its domain.
    """
    register = load_register()
    claim = register.claim(claim_id)
    facts = facts if facts is not None else load()
    audit = AUDITS.get(claim.id)
    if audit is None:
        if overrides:
            raise InputError(f"{claim.id} is not audited yet and takes no assumptions")
        return AuditResult(claim, Verdict.NOT_AUDITED)
    if stray := [name for name in overrides if name not in audit.assumptions]:
        raise _not_taken(claim.id, stray[0], audit)
    ledger = Ledger(facts)
    values = {name: _value(name, overrides, ledger, facts) for name in audit.assumptions}
    finding = _finite_finding(claim.id, audit, ledger, values)
    try:
        verdict = Verdict.CONTEXT if register.is_context(claim) else judge(claim.printed, finding.cases)
    except InputError as error:
        raise InputError(f"register.toml: {claim.id}: {error}") from None
    return AuditResult(claim, verdict, audit, finding, values, tuple(overrides), tuple(ledger.read))


def under(facts: Facts | None = None, **assumptions: Value) -> Callable[[str], AuditResult]:
    """Return a function that audits a claim by its id under these assumptions; each claim gets those that it takes.

    Args:
        facts: to read from; the package's where None.
        **assumptions: value by assumption.

    Raises:
        InputError: for a name that is no assumption at all, or a value outside its domain.
    """
    known = facts if facts is not None else load()
    checked = {name: assumption(name).user_input(known).check(value) for name, value in assumptions.items()}

    def audit(claim_id: str) -> AuditResult:
        claim = load_register().claim(claim_id)
        taken = AUDITS[claim.id].assumptions if claim.id in AUDITS else ()
        return run_audit(claim.id, known, **{name: checked[name] for name in taken if name in checked})

    return audit


def run_all(facts: Facts | None = None, **assumptions: Value) -> list[AuditResult]:
    """Audit every claim in the order of the register, as `under` does; raises what it raises."""
    audit = under(facts, **assumptions)
    return [audit(claim.id) for claim in load_register().claims]


def count_verdicts(results: Iterable[AuditResult]) -> dict[str, int]:
    """Return how often each verdict occurs, in the order of the rule, without those that do not occur."""
    counts = Counter(result.verdict for result in results)
    return {str(verdict): counts[verdict] for verdict in Verdict if counts[verdict]}


def result_to_json(result: AuditResult, facts: Facts | None = None) -> dict[str, Any]:
    """Return a result as plain data: low and high over several cases, every assumption's unit, every source."""
    facts = facts if facts is not None else load()
    claim, finding = result.claim, result.finding
    values = [case.value for case in finding.cases if case.value is not None] if finding else []
    spread = values if len(values) > 1 else []
    assumed = result.assumptions or {}
    units = {name: ASSUMPTIONS[name].user_input(facts).unit for name in assumed}
    return {
        **claim.model_dump(include={"id", "document", "section", "kind", "statement"}),
        "printed": [figure.model_dump() for figure in claim.printed],
        "verdict": str(result.verdict),
        "headline": result.headline,
        "value": finding.value if finding else None,
        "unit": finding.unit if finding else None,
        "low": min(spread, default=None),
        "high": max(spread, default=None),
        "explanation": result.explanation,
        "read_as": result.read_as,
        "cases": [_case_to_json(claim, case) for case in finding.cases] if finding else [],
        "assumptions": {
            name: {"value": value, "unit": units[name], "set_by_user": name in result.overridden}
            for name, value in assumed.items()
        },
        "sources": [
            {"value": None, "unit": "file"} | facts.source(key).model_dump(include=SOURCE_FIELDS, by_alias=True)
            for key in result.sources
        ],
        "notebook": result.notebook,
    }


def _case_to_json(claim: Claim, case: Case) -> dict[str, Any]:
    fields = {"assumption": case.reading, "value": case.value, "figures": dict(case.figures), "true": case.is_true}
    fields |= {"about": case.about}
    return fields | {"verdict": str(grade(claim.printed, case))}


def _value(name: str, overrides: Mapping[str, Value], ledger: Ledger, facts: Facts) -> Value:
    user_input = ASSUMPTIONS[name].user_input(facts)
    if name in overrides:
        return user_input.check(overrides[name])
    if not (key := ASSUMPTIONS[name].fact):
        return user_input.default
    ledger[key]
    try:
        return user_input.check(user_input.default)
    except InputError as error:
        raise InputError(f"fact {key}: {error}") from None


def _finite_finding(claim_id: str, audit: Audit, ledger: Ledger, values: Mapping[str, Value]) -> Finding:
    """Return what an audit finds, or raise InputError if extreme assumptions leave the range of numbers."""
    try:
        answer = audit.function(ledger, **values)
        numbers = [number for case in answer.cases for number in (case.value, *case.figures.values())]
        if all(number is None or math.isfinite(number) for number in numbers):
            return Finding(audit.unit, answer, audit.digits)
    except ArithmeticError:
        pass
    assumed = ", ".join(f"{name} = {value}" for name, value in values.items())
    raise InputError(f"{claim_id}: these assumptions together lead out of the range of numbers: {assumed}")


def _not_taken(claim_id: str, name: str, audit: Audit) -> InputError:
    taken = list(audit.assumptions)
    if not taken:
        return InputError(f"{claim_id} takes no assumptions, so {name!r} cannot be set")
    if name in ASSUMPTIONS:
        return InputError(f"{claim_id} does not depend on {name}; it takes: {', '.join(taken)}")
    near = nearest_name(name, taken)
    hint = f"did you mean {near}?" if near else f"{claim_id} takes: {', '.join(taken)}"
    return InputError(f"unknown assumption {name!r}; {hint}")
