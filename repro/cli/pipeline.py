"""`repro pipeline`: step time, idle time and memory of a schedule, simulated and by formula; a chart."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from math import isclose, lcm
from types import ModuleType
from typing import Any

from repro import sim
from repro.claims.formatting import format_percent
from repro.cli.options import add_inputs, add_json, by_option, check_installed, parse_inputs
from repro.cli.printing import format_number, print_field, print_json, print_table
from repro.errors import InputError, unknown_name
from repro.inputs import UserInput
from repro.sim import Durations, PublishedFormula, Schedule, Timeline

TIME, SOME = "any one unit of time", "in [1e-12, 1e12]"
SHORTEST = 1e-12  # of a transfer that is not 0
OVERLAPPED = "a forward and a full backward run together (default: F + B, nothing saved)"
SIZES = by_option(
    (
        UserInput("ranks", 1, "ranks", "in [1, 1e6]"),
        UserInput("micro-batches", 1, "micro-batches of a step", "in [1, 1e6]"),
        UserInput("chunks", 2, "stages of one rank", "in [2, 1e6]", "stages of an interleaved rank, 1/N of its layers"),
    )
)
TIMES = by_option(
    (
        UserInput("forward", 1.0, TIME, SOME, "time of one micro-batch's forward pass on one stage, in any unit"),
        UserInput("backward", 2.0, TIME, SOME, "time of the whole backward pass, for the input and for the weights"),
        UserInput("weight", 1.0, TIME, SOME, "time of its part for the weights; its part for the input takes B - W"),
        UserInput("overlapped", 0.0, TIME, SOME, OVERLAPPED),
        UserInput(
            "transfer",
            0.0,
            TIME,
            "in [0, 1e12]",
            "time to send a tensor to the next rank; both ranks can compute meanwhile",
        ),
    )
)
METAVARS = {"forward": "F", "backward": "B", "weight": "W", "overlapped": "FB", "transfer": "T", "chunks": "N"}


@dataclass(frozen=True)
class Step:
    """A simulated schedule; its times are whole numbers of a unit that divides every duration: exact at any size."""

    durations: dict[str, Fraction]  #: in the user's unit
    ticks: int  #: small units in one of the user's
    result: Timeline
    published: PublishedFormula
    exact: list[float] | None  #: idle time of each rank in closed form, None if transfers take time

    def in_user_unit(self, ticks: float) -> float:
        """Return a time in the user's unit, as a whole number if it is one."""
        return _plainest(Fraction(ticks) / self.ticks)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("schedule", metavar="SCHEDULE", help=f"{', '.join(sim.SCHEDULES)}; in any case")
    parser.add_argument("--ranks", metavar="P", required=True, help="ranks of the pipeline; even for DualPipe")
    parser.add_argument(
        "--micro-batches",
        metavar="M",
        required=True,
        help="micro-batches of a step, for DualPipe from both ends together; DualPipe and DualPipeV need 2 P or more",
    )
    add_inputs(parser, TIMES | {"chunks": SIZES["chunks"]}, METAVARS)
    parser.add_argument("--figure", metavar="FILE", help="draw the tasks in time, as SVG or PNG by the file's ending")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Print what a pipeline schedule takes: step time, idle time, activations, parameters; draw it if asked to."""
    name = _schedule_name(args.schedule)
    sizes: dict[str, Any] = {key: i.parse(text) for key, i in SIZES.items() if (text := getattr(args, key)) is not None}
    durations = _durations(args)
    chart = None if args.figure is None else _drawing()
    target = chart and chart.check_target(args.figure)
    order = sim.schedule(name, **sizes)
    if chart:
        chart.check_tasks(order)
    step = _simulated(order, durations)
    data = _data(step)
    if chart:
        chart.write_gantt(
            _timeline_in_user_unit(step), target, f"{_title(step)}: makespan {format_number(data['makespan'])}"
        )
    if args.json:
        return print_json(data)
    _print(step, data)
    if chart:
        print_field("figure", f"wrote {args.figure}")
    return None


def _drawing() -> ModuleType:
    """Return the module that draws, loaded only where something is to be drawn."""
    check_installed("repro pipeline", ("matplotlib", "numpy"))
    os.environ["MPLBACKEND"] = "agg"  # whatever a user has set for windows, this draws files
    from repro.lab import gantt

    return gantt


def _schedule_name(text: str) -> str:
    known = {name.lower(): name for name in sim.SCHEDULES}
    if text.lower() not in known:
        raise unknown_name("schedule", text, sim.SCHEDULES)
    return known[text.lower()]


def _durations(args: argparse.Namespace) -> dict[str, Fraction]:
    """Return the durations as the decimals that were written, or raise InputError if they contradict each other."""
    values = parse_inputs(args, TIMES)
    if 0 < values["transfer"] < SHORTEST:
        raise InputError(f"--transfer = {args.transfer}: must be 0, or at least {SHORTEST:g} [{TIME}]")
    exact = {name: Fraction(str(value)) for name, value in values.items()}
    if args.overlapped is None:
        exact["overlapped"] = exact["forward"] + exact["backward"]
    try:
        Durations(**{name: _plainest(value) for name, value in exact.items()})
    except InputError as error:  # begins with the name
        raise InputError(f"--{error}") from None
    return exact


def _simulated(order: Schedule, durations: dict[str, Fraction]) -> Step:
    unit = lcm(*(value.denominator for value in durations.values()))
    whole = Durations(**{name: int(value * unit) for name, value in durations.items()})
    exact = None if durations["transfer"] else sim.exact_bubble(order, whole)
    return Step(durations, unit, sim.simulate(order, whole), sim.published_formula(order, whole), exact)


def _timeline_in_user_unit(step: Step) -> Timeline:
    r, ticks = step.result, step.ticks
    starts, ends = ([[time / ticks for time in rank] for rank in times] for times in (r.starts, r.ends))
    return replace(r, makespan=r.makespan / ticks, starts=starts, ends=ends)


def _plainest(value: Fraction) -> float:
    return int(value) if value.denominator == 1 else float(value)


def _data(step: Step) -> dict[str, Any]:
    order = step.result.schedule
    return {
        "schedule": order.name,
        "ranks": order.ranks,
        "micro_batches": order.micro_batches,
        "durations": {name: _plainest(value) for name, value in step.durations.items()},
        "makespan": step.in_user_unit(step.result.makespan),
        "bubble": [step.in_user_unit(ticks) for ticks in step.result.bubble],
        "activations": step.result.activations,
        "parameters": order.stages_held,
        "formula": {**asdict(step.published), "bubble": step.in_user_unit(step.published.bubble)},
    }


def _title(step: Step) -> str:
    order = step.result.schedule
    ranks, micro_batches = "s" * (order.ranks != 1), "es" * (order.micro_batches != 1)
    return f"{order.name}, {order.ranks:,} rank{ranks}, {order.micro_batches:,} micro-batch{micro_batches}"


def _print(step: Step, data: dict[str, Any]) -> None:
    times, order = {name: format_number(time) for name, time in data["durations"].items()}, step.result.schedule
    for_input = format_number(_plainest(step.durations["backward"] - step.durations["weight"]))
    parts = f"{times['backward']} (for input {for_input}, for weights {times['weight']})"
    print(f"{_title(step)}\n")
    print_field("durations", f"forward {times['forward']}, backward {parts}")
    print_field("", f"overlapped {times['overlapped']}, transfer {times['transfer']}")
    if (chunks := order.stages // order.ranks) > 1:
        print_field(
            "", f"of a stage, {chunks} to a rank: to compare with one to a rank, give a 1/{chunks} of its durations"
        )
    print_field("makespan", format_number(data["makespan"]))
    print()
    shares = [format_percent(idle / step.result.makespan) for idle in step.result.bubble]
    rows = zip(data["bubble"], shares, data["activations"], data["parameters"], strict=True)
    head = ("rank", "bubble", "share", "activations", "parameters")
    print_table(head, [(str(rank), *map(format_number, row)) for rank, row in enumerate(rows)])
    print()
    for place, (name, published) in enumerate(data["formula"].items()):
        transfers = name == "bubble" and bool(data["durations"]["transfer"])
        print_field("" if place else "published", f"{name} {_compared(published, data, name, transfers=transfers)}")
    if step.exact is None:
        print_field("closed form", "none where transfers take time")
    else:
        exact = [step.in_user_unit(ticks) for ticks in step.exact]
        print_field("closed form", f"bubble {_span(exact)}, {_against(exact == data['bubble'], data['bubble'])}")
    print()
    print_field("bubble", "idle time of a rank within the makespan")
    print_field("activations", "most micro-batches held at once, each counted for every stage of the rank")
    often = {1.0: "once", 2.0: "twice"}.get(order.model_copies, f"{format_number(order.model_copies)} times")
    print_field("parameters", f"stages held by a rank; all ranks together hold the model {often}")


def _compared(published: float, data: dict[str, Any], name: str, *, transfers: bool) -> str:
    """Return a published figure beside what was simulated on each rank."""
    by_rank, scale = data[name], data["makespan"] if name == "bubble" else 1
    same = [isclose(simulated, published, rel_tol=1e-9, abs_tol=1e-9 * scale) for simulated in by_rank]
    figure = format_number(published) + (", transfers left out" if transfers else "")
    if all(same) or not any(same) or max(by_rank) != by_rank[same.index(True)]:
        return f"{figure}, {_against(all(same), by_rank)}"
    return f"{figure}, as simulated where it is most; {_span(by_rank)}"


def _against(same: bool, by_rank: Sequence[float]) -> str:
    return "as simulated" if same else f"but simulated {_span(by_rank)}"


def _span(by_rank: Sequence[float]) -> str:
    least, most = format_number(min(by_rank)), format_number(max(by_rank))
    return f"{least} on every rank" if min(by_rank) == max(by_rank) else f"{least} to {most} by rank"
