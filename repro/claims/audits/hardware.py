"""Claims about GPUs, clusters, schedules and links: notebook 06."""

from collections.abc import Callable

from repro.calc import pipeline, training
from repro.claims.audit import AuditFunction, Finding, audit_of
from repro.claims.models import shape
from repro.claims.register import load_register
from repro.claims.verdict import RIGHT_SIZE, Case, readings
from repro.claims.words import percent, short
from repro.facts import Ledger

NOTEBOOK = "06_hardware_and_serving"


def audits(claim_id: str) -> Callable[[AuditFunction], AuditFunction]:
    """Register a function as the audit of a claim that notebook 06 argues."""
    return audit_of(claim_id, notebook=NOTEBOOK)


@audits("A06")
def two_thousand_gpus(facts: Ledger, *, gpus: int) -> Finding:
    """The cluster as reported."""
    per_node = facts["inference_day.gpus_per_node"]
    return Finding(
        "GPUs",
        readings("gpus", {"the cluster that the report names": gpus}),
        f"{short(gpus)} H800 GPUs, {short(gpus / per_node)} machines of {short(per_node)}; as a share of the "
        f"{short(facts['deepseek_group.hopper_gpus'])} that a third party estimates for the group, "
        f"{percent(gpus / facts['deepseek_group.hopper_gpus'])}.",
    )


@audits("A23")
def fewer_bubbles(
    facts: Ledger, *, pipeline_ranks: int, backward_over_forward: float, weight_over_forward: float,
    overlapped_over_forward: float,
) -> Finding:  # fmt: skip
    """Idle time by table 2 of the report, and the idle share that was measured."""
    forward, backward, weight = 1.0, backward_over_forward, weight_over_forward
    bubbles = {
        "1F1B": pipeline.bubble_1f1b(pipeline_ranks, forward, backward),
        "ZB1P": pipeline.bubble_zb1p(pipeline_ranks, forward, backward, weight),
    }
    own = pipeline.bubble_dualpipe(pipeline_ranks, backward, weight, overlapped_over_forward)
    measured = facts["deepseek_v3.step_bubble_s"] / facts["deepseek_v3.step_s"]
    return Finding(
        "forward passes of idle time",
        tuple(
            Case(f"idle time against {name}'s {short(idle)}", own, true=own < idle) for name, idle in bubbles.items()
        ),
        f"By the formulas of table 2, at {pipeline_ranks} ranks, a rank idles {short(own)} forward passes with "
        "DualPipe, "
        + ", ".join(f"{short(idle)} with {name}" for name, idle in bubbles.items())
        + f", if a forward and a backward run together take {short(overlapped_over_forward)}; for this each rank keeps "
        f"the parameters twice. Measured in training, idle time was {percent(measured)} of a step. How much of the "
        "communication is hidden is not published.",
    )


@audits("A24")
def full_bandwidth(facts: Ledger) -> Finding:
    """Bandwidth between nodes that the published kernels reach over what the card has, and the bytes they carry."""
    card = facts["h800_sxm.infiniband_bytes_per_s"]
    shares = {what: facts[f"h800_sxm.{what}_bytes_per_s"] / card for what in ("dispatch", "combine")}
    v3 = shape(facts, "deepseek_v3")
    nodes = facts["deepseek_v3.nodes_per_token"]
    sent = pipeline.expert_traffic_bytes(v3.d_model, nodes, dispatch_bytes_per_element=1, combine_bytes_per_element=2)
    reach = pipeline.experts_per_node(facts["h800_sxm.nvlink_usable_bytes_per_s"], card)
    held, all_of_them = (facts[f"h800_sxm.multiprocessors{part}"] for part in ("_for_communication", ""))
    return Finding(
        "share of InfiniBand bandwidth",
        (
            Case("kernels as first published", min(shares.values()), true=min(shares.values()) >= 1 - RIGHT_SIZE),
            Case("kernels as they ran in training", None),
        ),
        " and ".join(f"{what} reach {percent(share)}".replace("reach", "reaches") for what, share in shares.items())
        + f" of {short(card / 1e9)} GB/s; full is read as within {percent(RIGHT_SIZE)}. To {short(nodes)} nodes in "
        f"FP8 and back in BF16 a token sends {short(sent / 1e3, 3)} KB per layer; {short(reach)} experts of a node "
        f"are reached over NVLink in the time of one transfer. {short(held)} of {short(all_of_them)} multiprocessors "
        "are taken for it.",
        digits=2,
    )


@audits("B11")
def mainly_h800(facts: Ledger) -> Finding:
    """How much of V2's reported training is counted in H800 hours."""
    key = "deepseek_v2.gpu_hours_per_trillion_tokens"
    share = float(facts.unit(key).startswith("H800"))
    return Finding(
        "of the reported hours",
        (Case("GPU hours that V2's report counts", share, true=share > 0.5),),
        f"The report counts all its {short(facts[key])} hours per trillion tokens on H800.",
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
        + ", ".join(f"{what} {percent(ratio)}" for what, ratio in ratios.items())
        + ". FP64, which the rules cut too, is for simulation. The maker's sheet for the H800 was not read: its link "
        "is from a paper of DeepSeek's, its tensor rates are recalled, its FP64 rate is resellers'.",
        digits=2,
    )


@audits("B13")
def fifty_thousand(facts: Ledger) -> Finding:
    """The estimate of a third party; DeepSeek has published no total."""
    estimate, of_wang = facts["deepseek_group.hopper_gpus"], facts["deepseek_group.h100_gpus_by_wang"]
    own = facts["fire_flyer_2.gpus"] + facts["deepseek_v3.gpus"]
    capital = facts["deepseek_group.servers_usd"]
    return Finding(
        "GPUs",
        (
            *readings("gpus", {"a third party's estimate of Hopper GPUs, contested": estimate}),
            Case("DeepSeek's own word", None),
        ),
        f"SemiAnalysis estimates {short(estimate)} Hopper GPUs, H800, H100 and H20 together, in the parent group; "
        f"Alexandr Wang spoke of {short(of_wang)} H100 without evidence. DeepSeek's papers name {short(own)}, A100 and "
        f"H800. The same estimate's servers, ${short(capital)}, come to ${short(capital / estimate)} for each GPU.",
    )


@audits("B14")
def two_to_ten_thousand(
    facts: Ledger, *, gpus: int, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float
) -> Finding:
    """The cluster of V3; V2's size is not published."""
    hours = training.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    printed = load_register().claim("B14").figure("gpus")
    days = {size: training.wall_days(hours, size) for size in (printed.value, printed.high)}
    return Finding(
        "GPUs",
        (*readings("gpus", {"V3": gpus}), Case("V2", None)),
        f"V3's report names {short(gpus)} GPUs. V2's names none; its {short(hours, 3)} GPU hours would take "
        + " or ".join(f"{short(span, 2)} days on {short(size)}" for size, span in days.items())
        + ".",
    )


@audits("B15")
def five_thousand_a100(facts: Ledger) -> Finding:
    """Two sources for Fire-Flyer 2, and what its reported hours imply."""
    implied = facts["fire_flyer_2.gpu_hours_2022"] / facts["fire_flyer_2.use_2022"] / (365 * training.HOURS_PER_DAY)
    paper, then = facts["fire_flyer_2.gpus"], facts["fire_flyer_2.gpus_2022"]
    return Finding(
        "GPUs",
        readings("gpus", {"an encyclopedia, for 2022": then, "its makers' paper of 2024": paper}),
        f"The paper gives {short(paper)} A100, an encyclopedia {short(then)} during 2022. The GPU hours that the same "
        f"article gives for 2022 need {short(implied, 2)} GPUs on average, more than the one and fewer than the other.",
    )


@audits("B18")
def h800_and_a100(facts: Ledger) -> Finding:
    """Which GPUs V2's reported hours name."""
    unit = facts.unit("deepseek_v2.gpu_hours_per_trillion_tokens")
    own_a100 = facts["fire_flyer_2.gpus"]
    return Finding(
        "of the reported hours",
        (
            Case("H800", float("H800" in unit), true="H800" in unit),
            Case("A100, for work before or beside these hours", None),
        ),
        f"V2's report speaks of a cluster of H800 alone. The group also has {short(own_a100)} A100, by another paper; "
        "what they did for V2, if anything, is not published.",
    )
