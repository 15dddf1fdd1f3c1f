"""Runs the audit of a claim: assumptions in, finding and verdict out, with the facts that were read."""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from repro.claims.assumptions import ASSUMPTIONS, assumption
from repro.claims.formatting import format_quantity
from repro.claims.register import Claim, load_register
from repro.claims.verdict import Case, Verdict, grade, judge
from repro.errors import InputError, nearest_name
from repro.facts import Facts, Ledger, load
from repro.inputs import Value


@dataclass(frozen=True)
class Finding:
    """What an audit found. The first case is the one that `value` speaks of.

    unit: of every case's value. cases: the readings of the claim. explanation: one or two sentences with numbers.
    digits: significant ones that the claim deserves, where a reader sees the value.
    """

    unit: str
    cases: tuple[Case, ...]
    explanation: str
    digits: int = 4

    @property
    def value(self) -> float | None:
        """The recomputed number under the first case, None where there is none."""
        return self.cases[0].value if self.cases else None

    @property
    def low(self) -> float | None:
        """The least value over the cases, None where there is one case."""
        values = [case.value for case in self.cases if case.value is not None]
        return min(values) if len(values) > 1 else None

    @property
    def high(self) -> float | None:
        """The greatest value over the cases, None where there is one case."""
        values = [case.value for case in self.cases if case.value is not None]
        return max(values) if len(values) > 1 else None


AuditFunction = Callable[..., Finding]


@dataclass(frozen=True)
class Audit:
    """One audit function with the notebook that argues it and the assumptions that it takes."""

    function: AuditFunction
    notebook: str
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class AuditResult:
    """A claim with its verdict; without a finding where it is not audited yet."""

    claim: Claim
    verdict: Verdict
    finding: Finding | None = None
    assumptions: Mapping[str, Value] | None = None
    overridden: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    notebook: str | None = None

    @property
    def explanation(self) -> str:
        """The finding's sentences; for "holds if" led by what it depends on."""
        if self.finding is None:
            return ""
        if self.verdict is not Verdict.HOLDS_IF:
            return self.finding.explanation
        when, not_when, unknown = self.readings
        parts = [f"Holds for {'; '.join(when)}."]
        parts += [f"Not for {'; '.join(not_when)}."] if not_when else []
        parts += [f"No figure is public for {'; '.join(unknown)}."] if unknown else []
        return " ".join([*parts, self.finding.explanation])

    @property
    def readings(self) -> tuple[list[str], list[str], list[str]]:
        """What is assumed in the cases that hold, in those that do not, and in those without a public figure."""
        cases = self.finding.cases if self.finding else ()
        graded = [(case.assumption, grade(self.claim.printed, case)) for case in cases]
        when = [name for name, verdict in graded if verdict is Verdict.HOLDS]
        unknown = [name for name, verdict in graded if verdict is Verdict.NOT_CHECKABLE]
        return when, [name for name, _ in graded if name not in when + unknown], unknown

    @property
    def printed(self) -> str:
        """The figures of the claim, as its document prints them."""
        return ", ".join(figure.text for figure in self.claim.printed)

    @property
    def recomputed(self) -> str:
        """The value that the audit found, with its unit; empty where there is none yet."""
        if self.finding is None:
            return ""
        return format_quantity(self.finding.value, self.finding.unit, self.finding.digits)


AUDITS: dict[str, Audit] = {}


def audit(claim_id: str, *, notebook: str) -> Callable[[AuditFunction], AuditFunction]:
    """Register a function as the audit of a claim; its keyword-only arguments are its assumptions.

    Raises: ValueError for a second audit of one claim, or an argument that is no known assumption.
    """

    def register(function: AuditFunction) -> AuditFunction:
        names = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        if claim_id in AUDITS:
            raise ValueError(f"{claim_id} has two audits")
        if stray := set(names) - set(ASSUMPTIONS):
            raise ValueError(f"{claim_id}: not in the list of assumptions: {', '.join(sorted(stray))}")
        AUDITS[claim_id] = Audit(function, notebook, tuple(names))
        return function

    return register


def run_audit(claim_id: str, facts: Facts | None = None, **overrides: Value) -> AuditResult:
    """Audit one claim under the given assumptions, the others at their defaults.

    Args: claim_id: such as "A46". facts: all facts, by default those of the package. overrides: assumptions by
        name, in their units.
    Raises: InputError for an unknown claim, an assumption that the audit does not take, or a value outside its
        domain.
    """
    claim = load_register().claim(claim_id)
    facts = facts if facts is not None else load()
    audit = AUDITS.get(claim.id)
    if audit is None:
        if overrides:
            raise InputError(f"{claim.id} is not audited yet and takes no assumptions")
        return AuditResult(claim, Verdict.NOT_AUDITED)
    for name in overrides:
        if name not in audit.assumptions:
            raise _not_taken(claim.id, name, audit)
    ledger = Ledger(facts)
    values = {name: _value(name, overrides, ledger, facts) for name in audit.assumptions}
    finding = _finite_finding(claim.id, audit, ledger, values)
    try:
        verdict = Verdict.CONTEXT if claim.is_context else judge(claim.printed, finding.cases)
    except InputError as error:
        raise InputError(f"register.toml: {claim.id}: {error}") from None
    return AuditResult(
        claim,
        verdict,
        finding,
        values,
        tuple(overrides),
        tuple(ledger.read),
        audit.notebook,
    )


def under(facts: Facts | None = None, **assumptions: Value) -> Callable[[str], AuditResult]:
    """Return a function that audits a claim by id under these assumptions, each claim under those that it takes.

    Raises: InputError for a name that is no assumption at all, or a value outside its domain.
    """
    known = facts if facts is not None else load()
    checked = {name: assumption(name).parameter(known).check(value) for name, value in assumptions.items()}

    def audit(claim_id: str) -> AuditResult:
        claim = load_register().claim(claim_id)
        taken = AUDITS[claim.id].assumptions if claim.id in AUDITS else ()
        return run_audit(claim.id, known, **{name: checked[name] for name in taken if name in checked})

    return audit


def run_all(facts: Facts | None = None, **assumptions: Value) -> list[AuditResult]:
    """Audit every claim in the order of the register, each under those of the assumptions that it takes.

    Raises: InputError for a name that is no assumption at all, or a value outside its domain.
    """
    audit = under(facts, **assumptions)
    return [audit(claim.id) for claim in load_register().claims]


def count_verdicts(results: Iterable[AuditResult]) -> dict[str, int]:
    """Return how often each verdict occurs, in the order of the rule, those that do not occur left out."""
    found = Counter(result.verdict for result in results)
    return {str(verdict): found[verdict] for verdict in Verdict if found[verdict]}


def result_to_json(result: AuditResult, facts: Facts | None = None) -> dict[str, Any]:
    """Return a result as plain data, with every assumption's unit and every source's locator and standing."""
    facts = facts if facts is not None else load()
    claim, finding = result.claim, result.finding
    return {
        "id": claim.id,
        "document": claim.document,
        "section": claim.section,
        "kind": claim.kind,
        "statement": claim.statement,
        "printed": [figure.model_dump() for figure in claim.printed],
        "verdict": str(result.verdict),
        "value": finding.value if finding else None,
        "unit": finding.unit if finding else None,
        "low": finding.low if finding else None,
        "high": finding.high if finding else None,
        "explanation": result.explanation,
        "cases": [_case_as_json(claim, case) for case in finding.cases] if finding else [],
        "assumptions": {
            name: {
                "value": value,
                "unit": ASSUMPTIONS[name].parameter(facts).unit,
                "set_by_user": name in result.overridden,
            }
            for name, value in (result.assumptions or {}).items()
        },
        "sources": [
            {"value": None, "unit": "file"}
            | facts.source(key).model_dump(
                include={"key", "value", "unit", "source", "locator", "provenance", "read_via"}, by_alias=True
            )
            for key in result.sources
        ],
        "notebook": result.notebook,
    }


def _case_as_json(claim: Claim, case: Case) -> dict[str, Any]:
    return {
        "assumption": case.assumption,
        "value": case.value,
        "figures": dict(case.figures),
        "true": case.true,
        "verdict": str(grade(claim.printed, case)),
    }


def _value(name: str, overrides: Mapping[str, Value], ledger: Ledger, facts: Facts) -> Value:
    parameter = ASSUMPTIONS[name].parameter(facts)
    if name in overrides:
        return parameter.check(overrides[name])
    if not (key := ASSUMPTIONS[name].fact):
        return parameter.default
    ledger[key]
    try:
        return parameter.check(parameter.default)
    except InputError as error:
        raise InputError(f"fact {key}: {error}") from None


def _finite_finding(claim_id: str, audit: Audit, ledger: Ledger, values: Mapping[str, Value]) -> Finding:
    """Return what an audit finds; raises InputError where extreme assumptions leave the range of numbers."""
    try:
        finding = audit.function(ledger, **values)
        numbers = [number for case in finding.cases for number in (case.value, *case.figures.values())]
        if all(number is None or math.isfinite(number) for number in numbers):
            return finding
    except ArithmeticError:
        pass
    given = ", ".join(f"{name} = {value}" for name, value in values.items())
    raise InputError(f"{claim_id}: these assumptions together lead out of the range of numbers: {given}")


def _not_taken(claim_id: str, name: str, audit: Audit) -> InputError:
    taken = list(audit.assumptions)
    if not taken:
        return InputError(f"{claim_id} takes no assumptions, so {name!r} cannot be set")
    if name in ASSUMPTIONS:
        return InputError(f"{claim_id} does not depend on {name}; it takes: {', '.join(taken)}")
    near = nearest_name(name, taken)
    hint = f"did you mean {near}?" if near else f"{claim_id} takes: {', '.join(taken)}"
    return InputError(f"unknown assumption {name!r}; {hint}")
