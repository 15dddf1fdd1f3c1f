"""The rule that turns a claim and its recomputed readings into a verdict; nobody types one.

A claim can often be read in several ways, each a `Case`. A case holds if every recomputed figure rounds to the printed
one, the comparison that the claim makes is true, and the claim calls the quantity by its right name. If a figure is
off by at most a tenth, or only the word is wrong, the case is imprecise; otherwise it is wrong. Then the claim
- holds, if every case holds;
- holds if (and says under what), when some cases hold and others do not, or have no public figure;
- is imprecise, if no case holds but one is imprecise;
- is wrong, if the cases that can be computed are all wrong;
- is not checkable, if no public data gives any case a value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from repro.calc.rounding import within_place
from repro.claims.register import Printed
from repro.errors import InputError

RIGHT_SIZE = 0.10  # a printed value of the right size differs by at most this share of the recomputed one


class Verdict(StrEnum):
    """What an audit says about a claim."""

    HOLDS = "holds"
    HOLDS_IF = "holds if"
    IMPRECISE = "imprecise"
    WRONG = "wrong"
    NOT_CHECKABLE = "not checkable"
    CONTEXT = "context"
    NOT_AUDITED = "not audited yet"


@dataclass(frozen=True)
class Case:
    """One reading of a claim and the value it leads to."""

    reading: str  #: what it assumes, as it stands behind "holds if"
    value: float | None  #: the recomputed number in the finding's unit, None if no public data gives it
    figures: Mapping[str, float] = field(default_factory=dict)  #: recomputed, in the printed figure's unit, by its name
    is_true: bool | None = None  #: whether the comparison that the claim makes is true, None if it makes none
    wording_ok: bool = True  #: whether the claim's word for the thing is right


def readings(figure: str, values: Mapping[str, float]) -> tuple[Case, ...]:
    """Return one case per reading of a claim that prints a single figure, from its values by what is assumed."""
    return tuple(Case(reading, value, {figure: value}) for reading, value in values.items())


def comparisons(values: Mapping[str, float], is_true: Callable[[float], bool]) -> tuple[Case, ...]:
    """Return one case per reading of a claim that compares, from its values by what is assumed."""
    return tuple(Case(reading, value, is_true=is_true(value)) for reading, value in values.items())


def judge(figures: Sequence[Printed], cases: Sequence[Case]) -> Verdict:
    """Return the verdict on a claim by the rule above; raise ValueError if there is no case, and what grade raises."""
    if not cases:
        raise ValueError("a finding needs at least one case")
    grades = [grade(figures, case) for case in cases]
    if all(verdict is Verdict.HOLDS for verdict in grades):
        return Verdict.HOLDS
    if Verdict.HOLDS in grades:
        return Verdict.HOLDS_IF
    return next((verdict for verdict in (Verdict.IMPRECISE, Verdict.WRONG) if verdict in grades), Verdict.NOT_CHECKABLE)


def grade(figures: Sequence[Printed], case: Case) -> Verdict:
    """Return whether one case holds, is imprecise, wrong or not checkable; its worst part decides.

    Raises:
        ValueError: if it recomputes nothing that the claim says.
        InputError: for a figure that the claim lacks.
    """
    if case.value is None:
        return Verdict.NOT_CHECKABLE
    by_name = {figure.name: figure for figure in figures}
    if stray := set(case.figures) - set(by_name):
        raise InputError(f"the claim prints no figure named {', '.join(sorted(stray))}")
    parts = [grade_figure(by_name[name], value) for name, value in case.figures.items()]
    if case.is_true is not None:
        parts.append(Verdict.HOLDS if case.is_true else Verdict.WRONG)
    if not case.wording_ok:
        parts.append(Verdict.IMPRECISE)
    for verdict in (Verdict.WRONG, Verdict.IMPRECISE, Verdict.HOLDS):
        if verdict in parts:
            return verdict
    raise ValueError(f"the case {case.reading!r} recomputes nothing that the claim says")


def grade_figure(figure: Printed, value: float) -> Verdict:
    """Return whether one printed figure holds, is imprecise or wrong beside its recomputed value."""
    if _agrees(figure, value):
        return Verdict.HOLDS
    printed = figure.high if figure.high is not None and value > figure.high else figure.value
    return Verdict.IMPRECISE if abs(printed - value) <= RIGHT_SIZE * abs(value) else Verdict.WRONG


def _agrees(figure: Printed, value: float) -> bool:
    if figure.relation == "<":
        return value < figure.value
    high = figure.value if figure.high is None else figure.high
    return figure.value <= value <= high or any(within_place(value, end, figure.place) for end in (figure.value, high))
