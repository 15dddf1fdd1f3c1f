"""The rule that turns a claim and its recomputed cases into a verdict; nobody types one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from repro.calc.rounding import within_place
from repro.errors import InputError

# "Right size": the recomputed value lies within this share of itself of the printed one.
RIGHT_SIZE = 0.10


class Verdict(StrEnum):
    """What an audit says of a claim."""

    HOLDS = "holds"
    HOLDS_IF = "holds if"
    IMPRECISE = "imprecise"
    WRONG = "wrong"
    NOT_CHECKABLE = "not checkable"
    CONTEXT = "context"
    NOT_AUDITED = "not audited yet"


class Figure(Protocol):
    """A printed figure, as far as the rule needs it."""

    name: str
    value: float
    high: float | None
    place: float
    relation: str


@dataclass(frozen=True)
class Case:
    """One reading of a claim with what it comes to.

    assumption: what is assumed, to stand behind "holds if". value: the recomputed number in the finding's unit,
    None where no public data gives it. figures: recomputed values by the name of the printed figure, in its unit.
    true: whether the comparison that the claim makes is true, None where it makes none. worded: whether the claim's
    word for the thing is right; a wrong word for right figures makes it imprecise.
    """

    assumption: str
    value: float | None
    figures: Mapping[str, float] = field(default_factory=dict)
    true: bool | None = None
    worded: bool = True


def readings(figure: str, values: Mapping[str, float]) -> tuple[Case, ...]:
    """Return one case per reading of a claim that prints a single figure.

    Args: figure: name of the printed figure. values: recomputed value by what is assumed.
    """
    return tuple(Case(assumption, value, {figure: value}) for assumption, value in values.items())


def judge(figures: Sequence[Figure], cases: Sequence[Case]) -> Verdict:
    """Return the verdict on a claim.

    holds: true in every case. holds if: true in some case; in others not, or without a public figure to tell.
    Otherwise imprecise where some case comes within RIGHT_SIZE, wrong where none does, and not checkable where no
    case has a value.

    Args: figures: the claim's printed figures. cases: at least one.
    Raises: ValueError where there is no case; InputError where one recomputes a figure that the claim does not print.
    """
    if not cases:
        raise ValueError("a finding needs at least one case")
    grades = [grade(figures, case) for case in cases]
    if all(one is Verdict.HOLDS for one in grades):
        return Verdict.HOLDS
    if Verdict.HOLDS in grades:
        return Verdict.HOLDS_IF
    for verdict in (Verdict.IMPRECISE, Verdict.WRONG):
        if verdict in grades:
            return verdict
    return Verdict.NOT_CHECKABLE


def grade(figures: Sequence[Figure], case: Case) -> Verdict:
    """Return how one case comes out: holds, imprecise, wrong or not checkable; its worst part decides.

    Raises: InputError where the case recomputes a figure that the claim does not print.
    """
    if case.value is None:
        return Verdict.NOT_CHECKABLE
    by_name = {figure.name: figure for figure in figures}
    if stray := set(case.figures) - set(by_name):
        raise InputError(f"the claim prints no figure named {', '.join(sorted(stray))}")
    parts = [grade_figure(by_name[name], value) for name, value in case.figures.items()]
    if case.true is not None:
        parts.append(Verdict.HOLDS if case.true else Verdict.WRONG)
    if not case.worded:
        parts.append(Verdict.IMPRECISE)
    for verdict in (Verdict.WRONG, Verdict.IMPRECISE, Verdict.HOLDS):
        if verdict in parts:
            return verdict
    raise ValueError(f"the case {case.assumption!r} recomputes nothing that the claim says")


def grade_figure(figure: Figure, value: float) -> Verdict:
    """Return how one printed figure compares with its recomputed value: holds, imprecise or wrong."""
    if _agrees(figure, value):
        return Verdict.HOLDS
    printed = figure.value
    if figure.high is not None and value > figure.high:
        printed = figure.high
    return Verdict.IMPRECISE if abs(printed - value) <= RIGHT_SIZE * abs(value) else Verdict.WRONG


def _agrees(figure: Figure, value: float) -> bool:
    if figure.relation == "<":
        return value < figure.value
    if figure.high is not None:
        inside = figure.value <= value <= figure.high
        return inside or any(within_place(value, end, figure.place) for end in (figure.value, figure.high))
    return within_place(value, figure.value, figure.place)
