"""Claims about GPUs, clusters, schedules and links: notebook 06."""

from functools import partial

from repro.calc import interconnect, pipeline_bubbles, run_cost
from repro.claims.audit import Finding, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.register import load_register
from repro.claims.scenarios import architecture
from repro.claims.verdict import RIGHT_SIZE, Case, readings
from repro.facts import Ledger

NOTEBOOK = "06_hardware_and_serving"
audits = partial(audit, notebook=NOTEBOOK)


@audits("A06")
def two_thousand_gpus(facts: Ledger, *, gpus: int) -> Finding:
    """The cluster as reported."""
    per_node = facts["deepseek_v3.gpus_per_node"]
    return Finding(
        "GPUs",
        readings("gpus", {"the cluster that the report names": gpus}),
        f"{format_si(gpus)} H800 GPUs, {format_si(gpus / per_node)} machines of {format_si(per_node)}; as a share of the "
        f"{format_si(facts['deepseek_group.hopper_gpus'])} that a third party estimates for the group, "
        f"{format_percent(gpus / facts['deepseek_group.hopper_gpus'])}.",
    )


@audits("A23")
def fewer_bubbles(
    facts: Ledger, *, pipeline_ranks: int, backward_over_forward: float, weight_over_forward: float,
    overlapped_over_forward: float,
) -> Finding:  # fmt: skip
    """Idle time by table 2 of the report, and the idle share that was measured."""
    forward, backward, weight = 1.0, backward_over_forward, weight_over_forward
    bubbles = {
        "1F1B": pipeline_bubbles.bubble_1f1b(pipeline_ranks, forward, backward),
        "ZB1P": pipeline_bubbles.bubble_zb1p(pipeline_ranks, forward, backward, weight),
    }
    own = pipeline_bubbles.bubble_dualpipe(pipeline_ranks, backward, weight, overlapped_over_forward)
    # The formulas know no order of events, and turn negative where a part outlasts the whole.
    own, bubbles = max(own, 0), {name: max(idle, 0) for name, idle in bubbles.items()}
    measured = facts["deepseek_v3.step_bubble_s"] / facts["deepseek_v3.step_s"]
    return Finding(
        "forward passes of idle time",
        tuple(
            Case(f"idle time against {name}'s {format_si(idle)}", own, true=own < idle)
            for name, idle in bubbles.items()
        ),
        f"By the formulas of table 2, at {pipeline_ranks} ranks, a rank idles {format_si(own)} forward passes with "
        "DualPipe, "
        + ", ".join(f"{format_si(idle)} with {name}" for name, idle in bubbles.items())
        + f", if a forward and a backward run together take {format_si(overlapped_over_forward)}; for this each rank keeps "
        f"the parameters twice. Measured in training, idle time was {format_percent(measured)} of a step. That the "
        "communication is hidden behind computation is the report's word (section 3.2.1) and the schedule's purpose; "
        "how much of it, a formula does not show.",
    )


@audits("A24")
def full_bandwidth(facts: Ledger) -> Finding:
    """Bandwidth between nodes that the published kernels reach over what the card has, and the bytes they carry."""
    card = facts["h800_sxm.infiniband_bytes_per_s"]
    published = {what: facts[f"h800_sxm.{what}_bytes_per_s"] / card for what in ("dispatch", "combine")}
    fewer = {gpus: facts[f"h800_sxm.dispatch_{gpus}_bytes_per_s"] / card for gpus in (16, 32)}
    in_training = facts["h800_sxm.all_to_all_in_training_bytes_per_s"] / card
    reached = min(published.values())
    own_node = facts["deepseek_v3.gpus_per_node"] / facts["deepseek_v3.expert_ranks"]
    wired = reached * (1 - own_node)
    v3 = architecture(facts, "deepseek_v3")
    nodes = facts["deepseek_v3.nodes_per_token"]
    sent = interconnect.expert_traffic_bytes(
        v3.d_model, nodes, dispatch_bytes_per_element=1, combine_bytes_per_element=2
    )
    reach = facts["h800_sxm.nvlink_usable_bytes_per_s"] / card
    held, all_of_them = (facts[f"h800_sxm.multiprocessors{part}"] for part in ("_for_communication", ""))
    return Finding(
        "share of InfiniBand bandwidth",
        (
            Case(
                "the kernels as first published, over 64 GPUs as in training", reached, true=reached >= 1 - RIGHT_SIZE
            ),
            Case(
                "the same without the copies to a token's own node, which no link between nodes carries",
                wired,
                true=wired >= 1 - RIGHT_SIZE,
            ),
            Case("the kernels in the training run, of which a lower bound alone is published", None),
        ),
        f"Over 64 GPUs dispatch reaches {format_percent(published['dispatch'])} and combine {format_percent(published['combine'])} "
        f"of {format_si(card / 1e9)} GB/s, over fewer GPUs dispatch "
        + " and ".join(f"{format_percent(share)} ({gpus})" for gpus, share in fewer.items())
        + f"; of training a later paper says more than {format_percent(in_training)}, and that it nearly saturates the card. "
        f"The test that these rates come from counts copies to a token's own node too, {format_percent(own_node)} of all on "
        "even choice. "
        f"Full is read as within {format_percent(RIGHT_SIZE)}. Dispatch to at most {format_si(nodes)} nodes in FP8 and combine "
        f"in BF16 move {format_si(sent / 1e3, 3)} KB per token and layer; {format_si(reach)} experts of a node are reached "
        f"over NVLink in the time of one transfer. {format_si(held)} of {format_si(all_of_them)} multiprocessors are taken "
        "for it.",
        digits=2,
    )


@audits("B11")
def mainly_h800(facts: Ledger) -> Finding:
    """How much of V2's reported training is counted in H800 hours."""
    keys = ("deepseek_v2.gpu_hours_per_trillion_tokens", "deepseek_v2.gpus_per_node")
    share = sum(facts.unit(key).startswith("H800") for key in keys) / len(keys)
    return Finding(
        "of what V2's report counts",
        (Case("the GPU hours and the cluster that V2's report names", share, true=share > 0.5),),
        f"The report counts {format_si(facts[keys[0]])} H800 hours per trillion tokens, and puts all its experiments on a "
        f"cluster of H800, {format_si(facts[keys[1]])} to a node.",
    )


@audits("B12")
def h100_compute_slower_link(facts: Ledger) -> Finding:
    """H800 over H100, rate by rate."""
    rates = {
        "dense BF16": "bf16_dense_flop_per_s",
        "dense FP8": "fp8_dense_flop_per_s",
        "FP64": "fp64_flop_per_s",
        "NVLink": "nvlink_bytes_per_s",
    }
    ratios = {what: facts[f"h800_sxm.{key}"] / facts[f"h100_sxm.{key}"] for what, key in rates.items()}
    slower = ratios["NVLink"] < 1

    def case(what: str, *names: str) -> Case:
        least = min(ratios[name] for name in names)
        return Case(what, least, true=least == 1 and slower)

    return Finding(
        "of the H100's rate",
        (
            case("in the formats that training multiplies in", "dense BF16", "dense FP8"),
            case("in every format, FP64 too", "dense BF16", "dense FP8", "FP64"),
        ),
        "H800 over H100, both SXM: "
        + ", ".join(f"{what} {format_percent(ratio)}" for what, ratio in ratios.items())
        + ". FP64, which the rules cut too, is for simulation. The maker's sheet for the H800 was not read: its link "
        "is from a paper of DeepSeek's, its tensor rates are recalled, its FP64 rate is resellers'.",
        digits=2,
    )


@audits("B13")
def fifty_thousand(facts: Ledger) -> Finding:
    """The estimate of a third party; DeepSeek has published no total."""
    estimate, of_wang = facts["deepseek_group.hopper_gpus"], facts["deepseek_group.h100_gpus_by_wang"]
    own = facts["fire_flyer_2.gpus"] + facts["deepseek_v3.gpus"]
    capital = [facts[f"deepseek_group.servers_usd{copy}"] / estimate for copy in ("_in_other_copies", "")]
    return Finding(
        "GPUs",
        (
            *readings("gpus", {"a third party's estimate of Hopper GPUs, contested": estimate}),
            Case("DeepSeek's own word", None),
        ),
        f"SemiAnalysis estimates {format_si(estimate)} Hopper GPUs, H800, H100 and H20 together, in the parent group; "
        f"Alexandr Wang spoke of {format_si(of_wang)} H100 without evidence. DeepSeek's papers name {format_si(own)}, A100 and "
        "H800. The same estimate's servers come to "
        + " or ".join(f"${format_si(each)}" for each in capital)
        + " for each GPU, by copies of the article that differ.",
    )


@audits("B14")
def two_to_ten_thousand(
    facts: Ledger, *, gpus: int, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float
) -> Finding:
    """The cluster of V3; V2's size is not published."""
    hours = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    printed = load_register().claim("B14").figure("gpus")
    days = {size: run_cost.wall_days(hours, size) for size in (printed.value, printed.high)}
    return Finding(
        "GPUs",
        (*readings("gpus", {"V3": gpus}), Case("V2", None)),
        f"V3's report names {format_si(facts['deepseek_v3.gpus'])} GPUs. V2's names no number; its {format_si(hours, 3)} GPU "
        "hours would take "
        + " or ".join(f"{format_si(span, 2)} days on {format_si(size)}" for size, span in days.items())
        + ".",
    )


@audits("B15")
def five_thousand_a100(facts: Ledger) -> Finding:
    """Two sources for Fire-Flyer 2, and what its reported hours imply."""
    implied = facts["fire_flyer_2.gpu_hours_2022"] / facts["fire_flyer_2.use_2022"] / (365 * run_cost.HOURS_PER_DAY)
    paper, then = facts["fire_flyer_2.gpus"], facts["fire_flyer_2.gpus_2022"]
    return Finding(
        "GPUs",
        readings("gpus", {"an encyclopedia, for 2022": then, "its makers' paper of 2024": paper}),
        f"The paper gives {format_si(paper)} A100, an encyclopedia {format_si(then)} during 2022. The GPU hours that the same "
        f"article gives for 2022 need {format_si(implied, 2)} GPUs on average, more than the one and fewer than the other.",
    )


@audits("B18")
def h800_and_a100(facts: Ledger) -> Finding:
    """How many of the two GPUs V2's experiments ran on, and how many its makers had."""
    named = ("H800", "A100")
    of_v2 = [facts.unit("deepseek_v2.gpus_per_node").startswith(name) for name in named]
    of_the_group = [
        any(facts.unit(key).startswith(name) for key in ("deepseek_v3.gpus", "fire_flyer_2.gpus")) for name in named
    ]
    return Finding(
        "of the two",
        (
            Case("V2's experiments, by its report", sum(of_v2), true=all(of_v2)),
            Case("what its makers had", sum(of_the_group), true=all(of_the_group)),
        ),
        "V2's report puts all its experiments on H800. The group also had "
        f"{format_si(facts['fire_flyer_2.gpus'])} A100, by another paper of its own.",
    )
