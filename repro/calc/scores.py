"""Benchmark scores set side by side: won, tied or lost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from repro.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """One benchmark with the scores of two models, in points of its metric."""

    area: str
    benchmark: str
    metric: str
    score: float
    other: float

    @property
    def margin(self) -> float:
        """By how much the first is ahead, in points, to the digit that tables print."""
        return round(self.score - self.other, 3)

    def outcome(self, *, tie_points: float) -> str:
        """Return "won", "tied" where the gap is at most so many points, or "lost", as the first model sees it."""
        if abs(self.margin) <= tie_points:
            return "tied"
        return "won" if self.margin > 0 else "lost"


def compare(rows: Iterable[Mapping[str, str]], model: str, other: str, areas: Iterable[str] = ()) -> list[Comparison]:
    """Return the benchmarks for which a table has both models' scores.

    Args: rows: of a table with the columns area, benchmark, metric and one per model. model, other: columns.
        areas: only these, by the beginning of their name; all where none is named.
    Raises: InputError naming a column that the table has not.
    """
    wanted, found = tuple(areas), []
    for row in rows:
        for name in (model, other):
            if name not in row:
                raise InputError(f"the table has no model {name!r}; it has: {', '.join(list(row)[3:])}")
        if "-" not in (row[model], row[other]) and row["area"].startswith(wanted or ""):
            scores = float(row[model]), float(row[other])
            found.append(Comparison(row["area"], row["benchmark"], row["metric"], *scores))
    return found


def tally(comparisons: Iterable[Comparison], *, tie_points: float) -> dict[str, int]:
    """Return how many benchmarks were won, tied and lost.

    Args: comparisons: of one pair of models. tie_points: gap up to which scores count as the same.
    """
    outcomes = [one.outcome(tie_points=tie_points) for one in comparisons]
    return {outcome: outcomes.count(outcome) for outcome in ("won", "tied", "lost")}
