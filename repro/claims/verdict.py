"""The rule that turns a claim and its recomputed readings into a verdict; nobody types one.

A claim can often be read in several ways, each a `Case`. The first is the reading that an ordinary reader takes; the
audit gives the reason. A case is graded by its worst part: each recomputed figure against the printed one, the
comparison that the claim makes, and the claim's word for the thing. Then the claim

- holds, if every reading that concerns what the claim names holds;
- mostly holds, if the ordinary reading holds and another one fails or has no public figure;
- is imprecise, if the ordinary reading is a little off: near the printed figure, or only its word is wrong;
- is misleading, if the ordinary reading is wrong but another holds, or the figure is true of another model or stage;
- is wrong, if the ordinary reading is, and no other holds;
- is not settled, if no public figure decides the ordinary reading.

docs/method.md gives the reasons, and what each rule that was considered would do to every claim.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from repro.calc.rounding import within_place
from repro.claims.register import Printed
from repro.errors import InputError

RIGHT_SIZE = 0.10  # a printed value of the right size differs by at most this share of the recomputed one
FAR_LESS = 0.5  # "far less", "significantly less" and "a fraction of" mean at most this share


class Verdict(StrEnum):
    """What an audit says about a claim."""

    HOLDS = "holds"
    MOSTLY_HOLDS = "mostly holds"
    IMPRECISE = "imprecise"
    MISLEADING = "misleading"
    WRONG = "wrong"
    NOT_SETTLED = "not settled"
    CONTEXT = "context"
    NOT_AUDITED = "not audited yet"


@dataclass(frozen=True)
class Rule:
    """The choices behind a verdict. The defaults are those of this project; docs/method.md compares the others."""

    approximate: Literal["last digit", "nothing", "5%"] = "last digit"  #: how far off "about" lets a figure be
    capped: bool = True  #: whether a figure more than a tenth off cannot hold, even if it rounds to the printed digit
    tenth_of: Literal["recomputed", "printed"] = "recomputed"  #: what the tenth is taken of
    borrowed: Literal["misleading", "wrong", "a reading"] = "misleading"  #: a figure that is right of another thing
    unknown_counts: bool = True  #: whether a reading without a public figure keeps a claim from holding in full
    ordinary_first: bool = True  #: whether the ordinary reading decides; else any reading that holds is enough


RULE = Rule()


@dataclass(frozen=True)
class Case:
    """One reading of a claim and the value it leads to."""

    reading: str  #: what it assumes or counts
    value: float | None  #: the recomputed number in the finding's unit, None if no public data gives it
    figures: Mapping[str, float] = field(default_factory=dict)  #: recomputed, in the printed figure's unit, by its name
    is_true: bool | None = None  #: whether the comparison that the claim makes is true, None if it makes none
    wording_ok: bool = True  #: whether the claim's word for the thing is right
    about: str = ""  #: the model, stage or run that the value belongs to, if it is not the one that the claim names


def readings(figure: str, values: Mapping[str, float]) -> tuple[Case, ...]:
    """Return one case per reading of a claim that prints a single figure, from its values by what is assumed."""
    return tuple(Case(reading, value, {figure: value}) for reading, value in values.items())


def comparisons(values: Mapping[str, float], is_true: Callable[[float], bool]) -> tuple[Case, ...]:
    """Return one case per reading of a claim that compares, from its values by what is assumed."""
    return tuple(Case(reading, value, is_true=is_true(value)) for reading, value in values.items())


def judge(figures: Sequence[Printed], cases: Sequence[Case], rule: Rule = RULE) -> Verdict:
    """Return the verdict on a claim by the rule above; raise ValueError if there is no case, and what grade raises.

    Args:
        figures: as the claim prints them.
        cases: its readings, the ordinary one first.
        rule: the choices to judge by.
    """
    if not cases or cases[0].about:
        raise ValueError("a finding needs at least one case, and the first must be of what the claim names")
    grades = [grade(figures, case, rule) for case in cases]
    as_readings = rule.borrowed == "a reading"
    own = [verdict for verdict, case in zip(grades, cases, strict=True) if as_readings or not case.about]
    if not rule.unknown_counts:
        own = [own[0], *(verdict for verdict in own[1:] if verdict is not Verdict.NOT_SETTLED)]
    ordinary = grades[0] if rule.ordinary_first else _best(own)
    if ordinary is Verdict.HOLDS:
        return Verdict.HOLDS if all(verdict is Verdict.HOLDS for verdict in own) else Verdict.MOSTLY_HOLDS
    excused = own if rule.borrowed == "wrong" else grades
    return Verdict.MISLEADING if ordinary is Verdict.WRONG and Verdict.HOLDS in excused else ordinary


def _best(grades: Sequence[Verdict]) -> Verdict:
    order = (Verdict.HOLDS, Verdict.IMPRECISE, Verdict.WRONG, Verdict.NOT_SETTLED)
    return min(grades, key=order.index)


def grade(figures: Sequence[Printed], case: Case, rule: Rule = RULE) -> Verdict:
    """Return whether one case holds, is imprecise, wrong or not settled; its worst part decides.

    Raises:
        ValueError: if it recomputes nothing that the claim says.
        InputError: for a figure that the claim lacks, or states as its premise.
    """
    if case.value is None:
        return Verdict.NOT_SETTLED
    by_name = {figure.name: figure for figure in figures if not figure.premise}
    if stray := set(case.figures) - set(by_name):
        raise InputError(f"the claim prints no figure to recompute named {', '.join(sorted(stray))}")
    parts = [grade_figure(by_name[name], value, rule) for name, value in case.figures.items()]
    if case.is_true is not None:
        parts.append(Verdict.HOLDS if case.is_true else Verdict.WRONG)
    if not case.wording_ok:
        parts.append(Verdict.IMPRECISE)
    for verdict in (Verdict.WRONG, Verdict.IMPRECISE, Verdict.HOLDS):
        if verdict in parts:
            return verdict
    raise ValueError(f"the case {case.reading!r} recomputes nothing that the claim says")


def grade_figure(figure: Printed, value: float, rule: Rule = RULE) -> Verdict:
    """Return whether one printed figure holds, is imprecise or wrong beside its recomputed value.

    It holds if the value rounds to it and is at most a tenth away, imprecise if one of the two is true, else wrong.
    Where the document says "about", it may instead be one unit of the last printed digit away.
    """
    agrees, near = _agrees(figure, value, rule), _near(figure, value, RIGHT_SIZE, rule.tenth_of)
    if agrees and (near or not rule.capped):
        return Verdict.HOLDS
    return Verdict.IMPRECISE if agrees or near else Verdict.WRONG


def values_that_hold(figure: Printed) -> tuple[float, float]:
    """Return the lowest and the highest value beside which a printed figure, or range, holds."""
    low, high = figure.value, figure.value if figure.high is None else figure.high
    slack = figure.place if figure.approximate else figure.place / 2
    return max(low - slack, low / (1 + RIGHT_SIZE)), min(high + slack, high / (1 - RIGHT_SIZE))


def _agrees(figure: Printed, value: float, rule: Rule) -> bool:
    if figure.relation == "<":
        return value < figure.value
    ends = (figure.value, figure.value if figure.high is None else figure.high)
    if ends[0] <= value <= ends[1] or any(within_place(value, end, figure.place) for end in ends):
        return True
    if not figure.approximate or rule.approximate == "nothing":
        return False
    if rule.approximate == "5%":
        return _near(figure, value, 0.05)
    return any(within_place(value, end, 2 * figure.place) for end in ends)


def _near(figure: Printed, value: float, share: float, of: str = "recomputed") -> bool:
    """Tell whether a printed figure is within a share of the recomputed value; a range or a bound, its nearer end."""
    low, high = figure.value, figure.value if figure.high is None else figure.high
    if low <= value <= high or (figure.relation == "<" and value < low):
        return True
    end = high if value > high else low
    return abs(end - value) <= share * abs(value if of == "recomputed" else end)
