"""Claims about GPUs, clusters, schedules and links."""

from collections.abc import Mapping

from repro.calc import run_cost
from repro.calc.interconnect import expert_traffic_bytes
from repro.calc.pipeline_bubbles import bubble_1f1b, bubble_dualpipe, bubble_zb1p
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.register import load_register
from repro.claims.scenarios import architecture
from repro.claims.verdict import RIGHT_SIZE, Case, readings
from repro.facts import Ledger

WAYS = ("dispatch", "combine")  # to the experts and back


@audit("A06", notebook="06_hardware_and_serving", unit="GPUs")
def two_thousand_gpus(facts: Ledger, *, gpus: int) -> Answer:
    """Cite the cluster as reported."""
    per_node = facts["deepseek_v3.gpus_per_node"]
    return Answer(
        readings("gpus", {"the cluster that the report names": gpus}),
        f"V3's report names {facts['deepseek_v3.gpus']:,} H800 GPUs",
        f"{format_si(gpus)} H800 GPUs, {format_si(gpus / per_node)} machines of {format_si(per_node)}; as a share of "
        f"the {format_si(facts['deepseek_group.hopper_gpus'])} that a third party estimates for the group, "
        f"{format_percent(gpus / facts['deepseek_group.hopper_gpus'])}.",
    )


def idle_by_formula(ranks: int, backward: float, weight: float, overlapped: float) -> dict[str, float]:
    """Return the idle time of a rank by schedule, in forward passes, from durations over a forward pass's.

    Source: DeepSeek-V3 report (arXiv 2412.19437), table 2. The formulas know no order of events, and turn negative
    where a part outlasts the whole; that counts as no idle time.
    """
    by_schedule = {
        "DualPipe": bubble_dualpipe(ranks, backward, weight, overlapped),
        "1F1B": bubble_1f1b(ranks, 1.0, backward),
        "ZB1P": bubble_zb1p(ranks, 1.0, backward, weight),
    }
    return {name: max(passes, 0) for name, passes in by_schedule.items()}


@audit("A23", notebook="15_pipeline_schedules", unit="forward passes of idle time")
def fewer_bubbles(
    facts: Ledger, *, pipeline_ranks: int, backward_over_forward: float, weight_over_forward: float,
    overlapped_over_forward: float,
) -> Answer:  # fmt: skip
    """Work out idle times by table 2 of the report, and cite the idle share that was measured."""
    hidden, step_s = facts["trace.hidden_transfer_share"], facts["deepseek_v3.step_s"]
    forward, gradient, weight, pair = (facts[f"trace.{phase}_ms"] for phase in ("forward", "input", "weight", "pair"))
    in_trace = ((gradient + weight) / forward, weight / forward, pair / forward)
    assumed = (backward_over_forward, weight_over_forward, overlapped_over_forward)
    idle = idle_by_formula(pipeline_ranks, *assumed)
    idle_in_trace = idle_by_formula(pipeline_ranks, *in_trace)

    def case(against: str, durations: str, bubbles: Mapping[str, float]) -> Case:
        fewer = bubbles["DualPipe"] < bubbles[against]
        reading = (
            f"against {against}'s {format_si(bubbles[against], 3)}, with {durations}; communication hidden in the trace"
        )
        return Case(reading, bubbles["DualPipe"], is_true=fewer and hidden > 0.5)

    listed = ", ".join(f"{format_si(passes)} with {name}" for name, passes in idle.items())
    traced = ", ".join(f"{format_si(passes, 3)} with {name}" for name, passes in idle_in_trace.items())
    measured = facts["deepseek_v3.step_bubble_s"] / step_s
    return Answer(
        (
            case("1F1B", "the trace's durations", idle_in_trace),
            case("ZB1P", "the trace's durations", idle_in_trace),
            case("1F1B", "the durations assumed", idle),
            case("ZB1P", "the durations assumed", idle),
        ),
        f"DualPipe: {format_percent(hidden, 2)} of transfers hidden; idle time "
        f"{format_si(idle_in_trace['DualPipe'], 2)} passes, 1F1B's {format_si(idle_in_trace['1F1B'], 2)}",
        f"By the formulas of the report's table 2, each of {pipeline_ranks} ranks idles for so many forward passes: "
        f"{traced}, with the durations of DeepSeek's trace; {listed}, with the durations assumed, a pair at "
        f"{format_si(overlapped_over_forward)}. For this each rank keeps the parameters twice. In the trace "
        f"{format_percent(hidden, 3)} of the time of dispatch and combine overlaps with computation; transfers "
        f"between stages are not in it. DeepSeek measured idle time of {format_percent(measured)} of a step.",
        "1F1B is the usual schedule, and the trace is of V3's training",
    )


@audit("A24", notebook="16_all_to_all_and_the_run", unit="% of the card's bandwidth", digits=2)
def full_bandwidth(facts: Ledger) -> Answer:
    """Divide the bandwidth that the kernels reach by the network card's: in a trace of training, and in a test."""
    card = facts["h800_sxm.infiniband_bytes_per_s"]
    nodes_of_64 = facts["deepseek_v3.expert_ranks"] / facts["deepseek_v3.gpus_per_node"]
    # All of these rates count the copies to a token's own node, which are 1 of n on even choice and cross no network.
    in_trace = {way: facts[f"trace.{way}_bytes_per_s"] / card * (1 - 1 / nodes_of_64) for way in WAYS}
    kernels = {"first": "h800_sxm.{}", "april": "deepep_v1.{}_64", "second": "deepep_v2.{}_8x4"}
    in_test = {
        name: min(facts[f"{key}_bytes_per_s".format(way)] / card for way in WAYS) for name, key in kernels.items()
    }
    n_nodes = {"first": nodes_of_64, "april": nodes_of_64, "second": 4}
    between_nodes = {name: share * (1 - 1 / n_nodes[name]) for name, share in in_test.items()}
    shares = {
        "dispatch and combine in DeepSeek's trace of training": min(in_trace.values()),
        "the kernels as first published, tested alone over 64 GPUs": between_nodes["first"],
        "the same test as DeepSeek prints it, counting copies inside a node": in_test["first"],
        "the kernels of April 2025, tested alone": between_nodes["april"],
        "their second version, tested alone over 32 GPUs": between_nodes["second"],
    }
    told = facts["h800_sxm.all_to_all_in_training_bytes_per_s"] / card
    measured = [facts[f"insights.all_to_all_{end}_bytes_per_s"] / 1e9 for end in ("low", "high")]
    d_model, nodes = architecture(facts, "deepseek_v3").d_model, facts["deepseek_v3.nodes_per_token"]
    sent = expert_traffic_bytes(d_model, nodes, dispatch_bytes_per_element=1, combine_bytes_per_element=2)
    held, all_of_them = facts["trace.transfer_multiprocessors"], facts["h800_sxm.multiprocessors"]
    cases = (Case(name, 100 * share, is_true=share >= 1 - RIGHT_SIZE) for name, share in shares.items())
    return Answer(
        (*cases, Case("the training run itself, of which a later paper gives a lower bound alone", None)),
        f"{format_percent(min(in_trace.values()), 2)} to {format_percent(max(in_trace.values()), 2)} of the network "
        f"in training, {format_percent(between_nodes['second'], 2)} in later tests",
        f"In the trace, beside computation, dispatch moves {format_percent(in_trace['dispatch'], 2)} and combine "
        f"{format_percent(in_trace['combine'], 2)} of {format_si(card / 1e9)} GB/s between nodes, at the median. "
        f"Computation hides {format_percent(facts['trace.hidden_transfer_share'], 3)} of their time, so training "
        "loses little to this. Tests of the kernels alone print more, since they count copies to a token's own node, "
        f"which no network carries: the bars of a later paper run from {format_si(measured[0], 3)} to "
        f"{format_si(measured[1], 3)} GB/s, and the highest is more than the card can carry. That paper says the run "
        f"used more than {format_percent(told)} and nearly saturated the card. We take full to mean within "
        f"{format_percent(RIGHT_SIZE)}. Dispatch to at most {format_si(nodes)} nodes in FP8 and combine in BF16 move "
        f"{format_si(sent / 1e3, 3)} KB per token and layer; transfers occupy {format_si(held)} of the GPU's "
        f"{format_si(all_of_them)} multiprocessors.",
        "the article lists it among the optimisations of training",
    )


@audit("B11", notebook="06_hardware_and_serving", unit="% of what V2's report counts")
def mainly_h800(facts: Ledger) -> Answer:
    """Check how much of V2's reported training is counted in H800 hours."""
    keys = ("deepseek_v2.gpu_hours_per_trillion_tokens", "deepseek_v2.gpus_per_node")
    share = sum(facts.unit(key).startswith("H800") for key in keys) / len(keys)
    return Answer(
        (Case("the GPU hours and the cluster that V2's report names", 100 * share, is_true=share > 0.5),),
        "V2's report counts its training in H800 hours",
        f"The report counts {format_si(facts[keys[0]])} H800 hours per trillion tokens, and puts all its experiments "
        f"on a cluster of H800, {format_si(facts[keys[1]])} to a node.",
    )


@audit("B12", notebook="06_hardware_and_serving", unit="% of the H100's rate", digits=2)
def h100_compute_slower_link(facts: Ledger) -> Answer:
    """Divide the H800's rates by the H100's."""
    rates = {
        "dense BF16": "bf16_dense_flop_per_s",
        "dense FP8": "fp8_dense_flop_per_s",
        "FP64": "fp64_flop_per_s",
        "NVLink": "nvlink_bytes_per_s",
    }
    ratios = {name: facts[f"h800_sxm.{key}"] / facts[f"h100_sxm.{key}"] for name, key in rates.items()}
    listed = ", ".join(f"{name} {format_percent(ratio)}" for name, ratio in ratios.items())

    def case(scope: str, *formats: str) -> Case:
        least = min(ratios[name] for name in formats)
        return Case(scope, 100 * least, is_true=least == 1 and ratios["NVLink"] < 1)

    return Answer(
        (
            case("in the formats that training multiplies in", "dense BF16", "dense FP8"),
            case("in every format, FP64 too", "dense BF16", "dense FP8", "FP64"),
        ),
        f"H800: {format_percent(ratios['dense BF16'], 2)} of the H100's BF16 rate, "
        f"{format_percent(ratios['NVLink'], 2)} of its NVLink",
        f"H800 over H100, both SXM: {listed}. FP64, which the rules cut too, is for simulation. The maker's sheet for "
        "the H800 was not read: its link and its BF16 rate are from DeepSeek's own papers and code, its FP8 rate is "
        "recalled, its FP64 rate is second hand.",
        "the page is about training, which uses no FP64",
    )


@audit("B13", notebook="06_hardware_and_serving", unit="GPUs")
def fifty_thousand(facts: Ledger) -> Answer:
    """Cite a third party's estimate; DeepSeek has published no total."""
    estimate, of_wang = facts["deepseek_group.hopper_gpus"], facts["deepseek_group.h100_gpus_by_wang"]
    in_papers = facts["fire_flyer_2.gpus"] + facts["deepseek_v3.gpus"]
    capital = [facts[f"deepseek_group.servers_usd{copy}"] / estimate for copy in ("_in_other_copies", "")]
    usd_per_gpu = " or ".join(f"${format_si(usd)}" for usd in capital)
    return Answer(
        (
            Case("what DeepSeek has", None),
            *readings("gpus", {"a third party's estimate of Hopper GPUs that the group can use": estimate}),
        ),
        f"{estimate:,} is one outsider's estimate; DeepSeek's papers name {in_papers:,}",
        f"SemiAnalysis estimates access to around {format_si(estimate)} Hopper GPUs, H800, H100 and H20 together, in "
        f"the parent group; Alexandr Wang spoke of {format_si(of_wang)} H100 without evidence. DeepSeek's papers name "
        f"{format_si(in_papers)}, A100 and H800, and no total. The same estimate's servers come to {usd_per_gpu} for "
        "each GPU, by copies of the article that differ.",
        "the page states it as a fact about DeepSeek",
    )


@audit("B14", notebook="06_hardware_and_serving", unit="GPUs")
def thousands_of_gpus(facts: Ledger, *, gpus: int, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float) -> Answer:
    """Check the cluster of V3; V2's size is not published."""
    hours = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    printed = load_register().claim("B14").figure("gpus")
    sizes = int(printed.value), int(printed.high or printed.value)
    days = {size: run_cost.wall_days(hours, size) for size in sizes}
    listed = " or ".join(f"{format_si(span, 2)} days on {format_si(size)}" for size, span in days.items())
    return Answer(
        (Case("V2 and V3", None), *readings("gpus", {"V3 alone": gpus})),
        f"V3 ran on {facts['deepseek_v3.gpus']:,} GPUs; V2's number is not public",
        f"V3's report names {format_si(facts['deepseek_v3.gpus'])} GPUs. V2's names no number; its "
        f"{format_si(hours, 3)} GPU hours would take {listed}.",
        "the page speaks of both models",
    )


@audit("B15", notebook="06_hardware_and_serving", unit="GPUs")
def five_thousand_a100(facts: Ledger) -> Answer:
    """Compare two sources for Fire-Flyer 2 with what its reported hours imply."""
    implied = facts["fire_flyer_2.gpu_hours_2022"] / facts["fire_flyer_2.use_2022"] / (365 * run_cost.HOURS_PER_DAY)
    paper, then = facts["fire_flyer_2.gpus"], facts["fire_flyer_2.gpus_2022"]
    enough = implied <= then
    return Answer(
        (
            *readings("gpus", {"its makers' paper of 2024": paper}),
            Case(
                "Wikipedia for 2022, checked against the GPU hours that it gives", then, {"gpus": then}, is_true=enough
            ),
        ),
        f"Its builders count {paper:,} A100s; the source for {then:,} {'agrees with' if enough else 'contradicts'} "
        "itself",
        f"The paper gives {format_si(paper)} A100, Wikipedia {format_si(then)} during 2022. The GPU hours that "
        f"the same page gives for 2022 need {format_si(implied, 2)} GPUs on average: more than {format_si(then)}, "
        f"fewer than {format_si(paper)}.",
        "the claim names no year, and those who built the cluster know its size",
    )


@audit("B18", notebook="06_hardware_and_serving", unit="of the two GPUs named")
def h800_and_a100(facts: Ledger) -> Answer:
    """Count on which of the two GPUs V2's experiments ran, and which of them its makers had."""
    named, keys = ("H800", "A100"), ("deepseek_v3.gpus", "fire_flyer_2.gpus")
    of_v2 = [facts.unit("deepseek_v2.gpus_per_node").startswith(name) for name in named]
    of_the_group = [any(facts.unit(key).startswith(name) for key in keys) for name in named]
    used = " and ".join(name for name, runs in zip(named, of_v2, strict=True) if runs)
    return Answer(
        (
            Case("V2's experiments, by its report", sum(of_v2), is_true=all(of_v2)),
            Case("what its makers had", sum(of_the_group), is_true=all(of_the_group)),
        ),
        f"By V2's own report, all its experiments ran on {used}",
        f"V2's report puts all its experiments on H800. The group also had {format_si(facts['fire_flyer_2.gpus'])} "
        "A100, by another paper of its own.",
        "the table is of V2's details",
    )
