"""Benchmark scores set side by side: won, tied or lost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from repro.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """One benchmark with the scores of a model and of its rival, in points of the metric."""

    area: str
    benchmark: str
    metric: str
    score: float
    rival_score: float

    @property
    def margin(self) -> float:
        """Points by which the model is ahead, to the digit that tables print."""
        return round(self.score - self.rival_score, 3)

    def outcome(self, *, tie_points: float) -> str:
        """Return "won", "lost", or "tied" where the gap is at most so many points."""
        if abs(self.margin) <= tie_points:
            return "tied"
        return "won" if self.margin > 0 else "lost"


def compare(rows: Iterable[Mapping[str, str]], model: str, rival: str, areas: Iterable[str] = ()) -> list[Comparison]:
    """Return the benchmarks for which a table has both models' scores; refuses a model that the table lacks.

    Args:
        rows: with the columns area, benchmark, metric and one per model.
        model: column of the model.
        rival: column of the model that it is compared with.
        areas: beginnings of the names of those wanted; all where none is named.
    """
    wanted, comparisons = tuple(areas), []
    for row in rows:
        for name in (model, rival):
            if name not in row:
                raise InputError(f"the table has no model {name!r}; it has: {', '.join(list(row)[3:])}")
        if "-" not in (row[model], row[rival]) and row["area"].startswith(wanted or ""):
            scores = float(row[model]), float(row[rival])
            comparisons.append(Comparison(row["area"], row["benchmark"], row["metric"], *scores))
    return comparisons


def tally(comparisons: Iterable[Comparison], *, tie_points: float) -> dict[str, int]:
    """Return how many benchmarks were won, tied and lost."""
    outcomes = [comparison.outcome(tie_points=tie_points) for comparison in comparisons]
    return {outcome: outcomes.count(outcome) for outcome in ("won", "tied", "lost")}
