"""`repro pipeline`: step time, idle time and memory of a schedule, simulated and by formula; a chart."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from math import isclose
from types import ModuleType
from typing import Any

from repro import sim
from repro.claims.formatting import format_percent
from repro.cli.options import add_inputs, add_json, by_option, check_installed, parse_inputs
from repro.cli.printing import format_number, print_field, print_json, print_table
from repro.errors import InputError, unknown_name
from repro.inputs import UserInput
from repro.sim import Durations, PublishedFormula, Schedule, StepTime, Timeline

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
        UserInput("transfer", 0.0, TIME, "in [0, 1e12]", "time to send a tensor to the next rank"),
    )
)
STAGE_TIME = UserInput("--stage-times", 1.0, "ratio", "in [1e-6, 1e6]")
OPTIMIZER = by_option([UserInput("optimizer", 0.0, TIME, "in [0, 1e12]", "time after the last gradient of a step")])
TRANSFERS = {
    "overlap_transfers": "a rank computes nothing until what it sends has arrived",
    "pairs_hide_transfers": "what a pair sends has arrived when it ends, unless a transfer takes longer than the pair",
}
METAVARS = {
    "optimizer": "T",
    "forward": "F",
    "backward": "B",
    "weight": "W",
    "overlapped": "FB",
    "transfer": "T",
    "chunks": "N",
}


@dataclass(frozen=True)
class Setting:
    """What schedules run with, its times in the user's unit."""

    durations: dict[str, Fraction]  #: of a stage of length 1
    stage_times: list[Any]  #: length of each stage, none if all have length 1
    transfers: dict[str, Any]  #: of the choices of `simulate` those that are not its defaults
    optimizer: Any


@dataclass(frozen=True)
class Step:
    """A simulated schedule; its times are whole numbers of a unit that divides every duration: exact at any size."""

    setting: Setting
    ticks: int  #: small units in one of the user's
    result: Timeline
    published: PublishedFormula  #: of stages of length 1
    exact: list[float] | None  #: idle time of each rank in closed form, None if transfers take time or stages differ

    def in_user_unit(self, ticks: float) -> float:
        """Return a time in the user's unit, as a whole number if it is one."""
        return _plainest(Fraction(ticks) / self.ticks)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("schedule", metavar="SCHEDULE", help=f"{', '.join(sim.SCHEDULES)}; in any case")
    parser.add_argument("--ranks", metavar="P", required=True, help="ranks of the pipeline; even for DualPipe")
    enter = "micro-batches of a step, for DualPipe from both ends together; DualPipe and DualPipeV need 2 P or more"
    parser.add_argument("--micro-batches", metavar="M", required=True, help=enter)
    add_inputs(parser, TIMES | {"chunks": SIZES["chunks"]}, METAVARS)
    parser.add_argument("--no-overlap-transfers", action="store_true", help=TRANSFERS["overlap_transfers"])
    parser.add_argument("--pairs-hide-transfers", action="store_true", help=TRANSFERS["pairs_hide_transfers"])
    lengths = "how many times as long as given here each stage takes, from the first (default: once)"
    parser.add_argument("--stage-times", metavar="X,X,...", help=lengths)
    parser.add_argument("--against", metavar="NAMES", help="schedules to compare a step with, such as 1F1B,ZB1P")
    add_inputs(parser, OPTIMIZER, METAVARS)
    parser.add_argument("--figure", metavar="FILE", help="draw the tasks in time, as SVG or PNG by the file's ending")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Print what a pipeline schedule takes: step time, idle time, activations, parameters; draw it if asked to."""
    name = _schedule_name(args.schedule)
    sizes: dict[str, Any] = {key: i.parse(text) for key, i in SIZES.items() if (text := getattr(args, key)) is not None}
    setting = _setting(args)
    others = [] if args.against is None else [_schedule_name(other.strip()) for other in args.against.split(",")]
    chart = None if args.figure is None else _drawing()
    target = chart and chart.check_target(args.figure)
    order = sim.schedule(name, **sizes)
    if chart:
        chart.check_tasks(order)
    step = _simulated(order, setting)
    data = _data(step)
    if others or setting.optimizer:
        data["steps"] = _steps([step, *(_simulated(_alike(other, order), setting) for other in others)])
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


def _setting(args: argparse.Namespace) -> Setting:
    texts = [] if args.stage_times is None else args.stage_times.split(",")
    transfers = {"overlap_transfers": False} if args.no_overlap_transfers else {}
    transfers |= {"pairs_hide_transfers": True} if args.pairs_hide_transfers else {}
    optimizer = Fraction(str(parse_inputs(args, OPTIMIZER)["optimizer"]))
    return Setting(_durations(args), [Fraction(str(STAGE_TIME.parse(t.strip()))) for t in texts], transfers, optimizer)


def _simulated(order: Schedule, setting: Setting) -> Step:
    times = setting.stage_times
    if times and len(times) != order.stages:
        raise InputError(f"--stage-times: {len(times)} given: must be one for each of the {order.stages} stages")
    named: dict[str, Any] = {**setting.durations}
    once = Durations(**named)
    (whole, *by_stage), ticks = sim.in_ticks([once, *sim.scale_stages(once, times)])
    result = sim.simulate(order, by_stage or whole, **setting.transfers)
    exact = None if by_stage or whole.transfer else sim.exact_bubble(order, whole)
    return Step(setting, ticks, result, sim.published_formula(order, whole), exact)


def _alike(name: str, order: Schedule) -> Schedule:
    """Return another schedule of the same ranks, stages and micro-batches."""
    other = sim.schedule(name, ranks=order.ranks, micro_batches=order.micro_batches)
    for each in (order, other):
        if each.stages != each.ranks:
            raise InputError(f"--against: {each.name} has {each.stages} stages: must have one per rank, {each.ranks}")
    return other


def _steps(simulated: Sequence[Step]) -> dict[str, dict[str, float]]:
    """Return a step's time by schedule, and how many times as long as the first one's it is."""
    first, *_ = found = [StepTime(step.result, step.setting.optimizer * step.ticks) for step in simulated]
    return {
        step.result.schedule.name: {
            "step": step.in_user_unit(each.step),
            "bubble": step.in_user_unit(each.bubble),
            "idle_share": float(each.idle_share),
            "times_the_first": float(round(first.speedup_over(each), 4)),
        }
        for step, each in zip(simulated, found, strict=True)
    }


def _timeline_in_user_unit(step: Step) -> Timeline:
    r, ticks = step.result, step.ticks
    starts, ends = ([[time / ticks for time in rank] for rank in times] for times in (r.starts, r.ends))
    return replace(r, makespan=r.makespan / ticks, starts=starts, ends=ends)


def _plainest(value: Fraction) -> float:
    return int(value) if value.denominator == 1 else float(value)


def _data(step: Step) -> dict[str, Any]:
    order, setting = step.result.schedule, step.setting
    times = {"stage_times": [_plainest(time) for time in setting.stage_times]} if setting.stage_times else {}
    return {
        "schedule": order.name,
        "ranks": order.ranks,
        "micro_batches": order.micro_batches,
        "durations": {name: _plainest(value) for name, value in setting.durations.items()},
        **times,
        **setting.transfers,
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
    for_input = format_number(_plainest(step.setting.durations["backward"] - step.setting.durations["weight"]))
    parts = f"{times['backward']} (for input {for_input}, for weights {times['weight']})"
    print(f"{_title(step)}\n")
    print_field("durations", f"forward {times['forward']}, backward {parts}")
    print_field("", f"overlapped {times['overlapped']}, transfer {times['transfer']}")
    if (chunks := order.stages // order.ranks) > 1:
        fraction = f"give a 1/{chunks} of its durations"
        print_field("", f"of a stage, {chunks} to a rank: to compare with one to a rank, {fraction}")
    if step.setting.stage_times:
        print_field("", f"of stages, as many times as long: {', '.join(map(format_number, data['stage_times']))}")
    for choice in step.setting.transfers:
        print_field("", TRANSFERS[choice])
    print_field("makespan", format_number(data["makespan"]))
    print()
    shares = [format_percent(idle / step.result.makespan) for idle in step.result.bubble]
    rows = zip(data["bubble"], shares, data["activations"], data["parameters"], strict=True)
    head = ("rank", "bubble", "share", "activations", "parameters")
    print_table(head, [(str(rank), *map(format_number, row)) for rank, row in enumerate(rows)])
    print()
    for place, (name, published) in enumerate(data["formula"].items()):
        left_out = _left_out(step) if name == "bubble" else ""
        print_field("" if place else "published", f"{name} {_compared(published, data, name, left_out=left_out)}")
    if step.exact is None:
        differ = "stages may differ" if step.setting.stage_times else "transfers take time"
        print_field("closed form", f"none where {differ}")
    else:
        exact = [step.in_user_unit(ticks) for ticks in step.exact]
        print_field("closed form", f"bubble {_span(exact)}, {_against(exact == data['bubble'], data['bubble'])}")
    print()
    if steps := data.get("steps"):
        shown = (
            (s["step"], s["bubble"], format_percent(s["idle_share"]), s["times_the_first"]) for s in steps.values()
        )
        table = [(name, *map(format_number, each)) for name, each in zip(steps, shown, strict=True)]
        print_table(("schedule", "step", "mean bubble", "share", f"times {order.name}'s"), table)
        print()
    print_field("bubble", "idle time of a rank within the makespan")
    print_field("activations", "most micro-batches held at once, each counted for every stage of the rank")
    often = {1.0: "once", 2.0: "twice"}.get(order.model_copies, f"{format_number(order.model_copies)} times")
    print_field("parameters", f"stages held by a rank; all ranks together hold the model {often}")


def _left_out(step: Step) -> str:
    """Return what the published bubbles leave out of a step."""
    transfers = ", transfers left out" if step.setting.durations["transfer"] else ""
    return transfers + (", stages taken as equal" if step.setting.stage_times else "")


def _compared(published: float, data: dict[str, Any], name: str, *, left_out: str) -> str:
    """Return a published figure beside what was simulated on each rank."""
    by_rank, scale = data[name], data["makespan"] if name == "bubble" else 1
    same = [isclose(simulated, published, rel_tol=1e-9, abs_tol=1e-9 * scale) for simulated in by_rank]
    figure = format_number(published) + left_out
    if all(same) or not any(same) or max(by_rank) != by_rank[same.index(True)]:
        return f"{figure}, {_against(all(same), by_rank)}"
    return f"{figure}, as simulated where it is most; {_span(by_rank)}"


def _against(same: bool, by_rank: Sequence[float]) -> str:
    return "as simulated" if same else f"but simulated {_span(by_rank)}"


def _span(by_rank: Sequence[float]) -> str:
    least, most = format_number(min(by_rank)), format_number(max(by_rank))
    return f"{least} on every rank" if min(by_rank) == max(by_rank) else f"{least} to {most} by rank"
