"""Claims about FP8, memory in training and the accuracy it keeps: notebook 05."""

from collections.abc import Mapping
from functools import partial

from repro.calc import memory
from repro.claims.audit import Finding, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.scenarios import architecture
from repro.claims.verdict import Case
from repro.facts import Ledger

NOTEBOOK = "05_precision_and_memory"
GB = 1e9
audits = partial(audit, notebook=NOTEBOOK)


def state_bytes(facts: Ledger, scheme: str) -> float:
    """Return the bytes that training keeps per parameter under a scheme: fp32, bf16_mixed or v3."""
    return sum(facts.under(f"bytes.{scheme}").values())


def kept(facts: Ledger, *, bits: float, attention_output_bits: float, recomputed: bool) -> memory.ActivationBytes:
    """Return what a token leaves in a layer of V3, stored in so many bits, with or without computing parts again."""
    scale = memory.FP32_BYTES / facts["fp8.block"] if bits == facts["fp8.bits"] else 0
    return memory.activation_bytes(
        architecture(facts, "deepseek_v3"),
        bytes_per_element=bits / memory.BITS_PER_BYTE + scale,
        attention_output_bytes=attention_output_bits / memory.BITS_PER_BYTE,
        recomputed=recomputed,
    )


def kept_by_scheme(facts: Ledger) -> dict[str, memory.ActivationBytes]:
    """Return what a token leaves in a layer of V3 by its own scheme, and in BF16 with and without computing again."""
    fp8, half, attention = facts["fp8.bits"], facts["half_precision.bits"], facts["fp8.attention_output_bits"]
    return {
        "V3's scheme": kept(facts, bits=fp8, attention_output_bits=attention, recomputed=True),
        "BF16, the same computed again": kept(facts, bits=half, attention_output_bits=half, recomputed=True),
        "BF16, nothing computed again": kept(facts, bits=half, attention_output_bits=half, recomputed=False),
    }


def v3_layout(facts: Ledger, gpus: int, tokens_per_micro_batch: int) -> memory.ParallelLayout:
    """Return how V3's training is spread over GPUs, by its report; on fewer GPUs, over as many as there are."""
    ranks = min(int(facts["deepseek_v3.pipeline_ranks"]), gpus // 2 * 2) or 1  # two to a pair of stages
    return memory.ParallelLayout(
        gpus=gpus,
        pipeline_ranks=ranks,
        expert_ranks=min(int(facts["deepseek_v3.expert_ranks"]), gpus // ranks),
        tokens_per_micro_batch=tokens_per_micro_batch,
    )


def fullest_gpu(facts: Ledger, gpus: int, tokens_per_micro_batch: int, way: str) -> tuple[int, Mapping[str, float]]:
    """Return the rank of the fullest GPU of V3's training and its bytes by part, with activations kept in some way.

    Args: way: a key of kept_by_scheme; "V3's scheme" goes with its bytes per parameter, the others with BF16's.
    """
    layout = v3_layout(facts, gpus, tokens_per_micro_batch)
    scheme = facts.under("bytes.v3" if way == "V3's scheme" else "bytes.bf16_mixed")
    return memory.peak_memory_gpu(architecture(facts, "deepseek_v3"), layout, scheme, kept_by_scheme(facts)[way])


@audits("A11")
def eight_bits_for_thirty_two(facts: Ledger) -> Finding:
    """Bits of a number in three scopes: operands against FP32, operands against usual practice, the whole state."""
    fp8, half, single = facts["fp8.bits"], facts["half_precision.bits"], facts["single_precision.bits"]
    own, usual, all_fp32 = (8 * state_bytes(facts, scheme) for scheme in ("v3", "bf16_mixed", "fp32"))

    def case(scope: str, bits: float, reference: float) -> Case:
        return Case(scope, bits, {"bits": bits, "reference_bits": reference}, true=bits < reference)

    return Finding(
        "bits",
        (
            case("operands of the matrix products, against FP32", fp8, single),
            case("operands of the matrix products, against the 16 bits usual before", fp8, half),
            case("all that training keeps per parameter, against FP32", own, all_fp32),
        ),
        f"Operands shrink from {format_si(half)} bits, which large runs used before, to {format_si(fp8)}. Master weights and "
        f"gradients stay in {format_si(single)} bits and the moments of the optimiser in {format_si(half)}: "
        f"{format_si(own / 8)} bytes per parameter, against {format_si(usual / 8)} in BF16 mixed precision and "
        f"{format_si(all_fp32 / 8)} all in FP32, {format_percent(1 - own / all_fp32)} less.",
    )


@audits("A18")
def less_memory_and_faster(facts: Ledger, *, gpu: str) -> Finding:
    """FP8 over BF16, all else equal: bytes of state and of activations, time of a product and of the run."""
    ways = kept_by_scheme(facts)
    own = state_bytes(facts, "v3")
    wider = own - facts["bytes.v3.weights"] + facts["bytes.bf16_mixed.weights"]
    ratios = {
        "bytes per parameter in training": own / wider,
        "bytes of activations per token": ways["V3's scheme"].experts / ways["BF16, the same computed again"].experts,
        "time of a matrix product at peak rates": (
            facts[f"{gpu}.bf16_dense_flop_per_s"] / facts[f"{gpu}.fp8_dense_flop_per_s"]
        ),
        "time of a matrix product on an H800, FP8 as measured against BF16 at its peak": (
            facts["h800_sxm.bf16_dense_flop_per_s"] / facts["h800_sxm.fp8_measured_flop_per_s"]
        ),
    }
    highest = max(ratios.values())
    return Finding(
        "ratio",
        (
            Case("memory, and the time of a matrix product", highest, true=highest < 1),
            Case("memory, and the time of the whole run against the same run in BF16", None),
        ),
        "FP8 over BF16, all else equal: "
        + ", ".join(f"{what} {format_percent(ratio)}" for what, ratio in ratios.items())
        + f"; the value is the highest. V3's whole scheme, with moments in BF16, keeps {format_si(own)} bytes per "
        f"parameter against {format_si(state_bytes(facts, 'bf16_mixed'))}. What gets faster is matrix products of linear "
        "layers and dispatch between nodes; DeepSeek has published no run of V3 in BF16 to compare.",
        digits=3,
    )


@audits("A19")
def up_to_half(facts: Ledger) -> Finding:
    """The largest cut of any part, against either format, and the cut of all that training keeps."""
    fp8, half, single = (facts[f"{name}.bits"] for name in ("fp8", "half_precision", "single_precision"))
    scaled = fp8 + memory.BITS_PER_BYTE * memory.FP32_BYTES / facts["fp8.block"]
    own, usual = state_bytes(facts, "v3"), state_bytes(facts, "bf16_mixed")
    cuts = {
        "the largest cut of any part, weights, against 16 bits": 1 - fp8 / half,
        "the largest cut of any part, weights, against 32 bits": 1 - fp8 / single,
        "all that training keeps per parameter, against BF16 mixed precision": 1 - own / usual,
    }
    return Finding(
        "% less",
        tuple(Case(what, 100 * cut, {"reduction": 100 * cut}) for what, cut in cuts.items()),
        f"Weights in the products shrink by {format_percent(1 - fp8 / half)} against 16 bits and {format_percent(1 - fp8 / single)} "
        f"against 32; a stored activation with its share of a scale by {format_percent(1 - scaled / half)} and "
        f"{format_percent(1 - scaled / single)}. All that training keeps per parameter shrinks from {format_si(usual)} to "
        f"{format_si(own)} bytes, {format_percent(1 - own / usual)}, most of it by moments in BF16.",
        digits=3,
    )


@audits("A20")
def accuracy_kept(facts: Ledger) -> Finding:
    """The reported gap of loss against BF16 beside a gap that the same report counts; V3 itself has no twin."""
    bound, mean = facts["fp8.loss_error"], facts["fp8.mean_loss_error"]
    losses = [facts[f"balancing.v3_1b_{way}_loss"] for way in ("sequence_wise", "loss_free")]
    counted = losses[0] / losses[1] - 1
    additions = facts["fp8.promotion_interval"] / facts["fp8.products_per_instruction"]
    return Finding(
        "relative loss error",
        (
            Case("the loss of the worse of two smaller models, on average", mean, true=mean < counted),
            Case("V3 itself against a copy trained in BF16", None),
        ),
        f"The report puts the gap below {format_percent(bound)} on models of 16B and 230B parameters; read off its figure 10 "
        f"it is {format_percent(mean)} on average at 16B and about nothing at 230B. It counts {format_percent(counted)} as a gain "
        "when it compares ways of balancing. V3 has no BF16 twin. Sums are promoted to FP32 after at most "
        f"{format_si(additions)} additions of limited precision.",
        digits=2,
    )


@audits("A25")
def without_tensor_parallelism(facts: Ledger, *, gpus: int, tokens_per_micro_batch: int) -> Finding:
    """Whether V3 fits its GPUs without tensor parallelism, with the report's savings and without them."""
    room = facts["h800_sxm.memory_bytes"]
    rank, held = fullest_gpu(facts, gpus, tokens_per_micro_batch, "V3's scheme")
    _, plain = fullest_gpu(facts, gpus, tokens_per_micro_batch, "BF16, nothing computed again")
    with_savings, without = sum(held.values()), sum(plain.values())
    listed = ", ".join(f"{what} {format_si(size / GB, 3)}" for what, size in held.items() if size)
    return Finding(
        "GB on the fullest GPU",
        (
            Case(
                f"the report's layout, micro-batches of {format_si(tokens_per_micro_batch)} tokens",
                with_savings / GB,
                true=with_savings <= room < without,
            ),
        ),
        f"An estimate for the fullest GPU, on pipeline rank {rank}: {listed}; {format_si(with_savings / GB, 3)} of "
        f"{format_si(room / GB)} GB, and {format_si(without / GB, 3)} GB in BF16 with nothing computed again. Layers are "
        "taken as spread evenly; buffers for communication are left out. A later paper adds that tensor parallelism "
        "would have been slow over the H800's reduced links.",
        digits=3,
    )
