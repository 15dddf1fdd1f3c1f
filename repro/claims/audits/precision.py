"""Claims about FP8, memory in training and the accuracy it keeps: notebook 05."""

from collections.abc import Callable, Mapping

from repro.calc import memory
from repro.claims.audit import AuditFunction, Finding, audit_of
from repro.claims.models import shape
from repro.claims.verdict import Case
from repro.claims.words import percent, short
from repro.facts import Ledger

NOTEBOOK = "05_precision_and_memory"
GB = 1e9


def audits(claim_id: str) -> Callable[[AuditFunction], AuditFunction]:
    """Register a function as the audit of a claim that notebook 05 argues."""
    return audit_of(claim_id, notebook=NOTEBOOK)


def state_bytes(facts: Ledger, scheme: str) -> float:
    """Return the bytes that training keeps per parameter under a scheme: fp32, bf16_mixed or v3."""
    return memory.state_bytes_per_parameter(facts.under(f"bytes.{scheme}"))


def activation_bytes(facts: Ledger, *, fp8: bool) -> float:
    """Return the bytes that one token leaves in one layer of V3, by its own scheme or kept whole in BF16."""
    wide = facts["half_precision.bits"] / memory.BITS_PER_BYTE
    narrow = facts["fp8.bits"] / memory.BITS_PER_BYTE + memory.FP32_BYTES / facts["fp8.block"]
    return memory.activation_bytes_per_token_layer(
        shape(facts, "deepseek_v3"),
        bytes_per_element=narrow if fp8 else wide,
        attention_output_bytes=facts["fp8.attention_output_bits"] / memory.BITS_PER_BYTE if fp8 else wide,
        recomputed=fp8,
    )


def v3_layout(facts: Ledger, gpus: int, tokens_per_micro_batch: int) -> memory.Layout:
    """Return how V3's training is spread over GPUs, by its report; on fewer GPUs, over as many as there are."""
    ranks = min(int(facts["deepseek_v3.pipeline_ranks"]), gpus)
    return memory.Layout(
        gpus=gpus,
        pipeline_ranks=ranks,
        expert_ranks=min(int(facts["deepseek_v3.expert_ranks"]), gpus // ranks),
        tokens_per_micro_batch=tokens_per_micro_batch,
    )


def fullest_gpu(facts: Ledger, gpus: int, tokens_per_micro_batch: int, *, fp8: bool) -> Mapping[str, float]:
    """Return the bytes by part on the fullest GPU of V3's training, by its own scheme or in BF16 and nothing "
    "recomputed."""
    layout = v3_layout(facts, gpus, tokens_per_micro_batch)
    scheme = facts.under("bytes.v3" if fp8 else "bytes.bf16_mixed")
    return memory.gpu_bytes(shape(facts, "deepseek_v3"), layout, scheme, activation_bytes(facts, fp8=fp8))


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
        f"Operands shrink from {short(half)} bits, which large runs used before, to {short(fp8)}. Master weights and "
        f"gradients stay in {short(single)} bits and the moments of the optimiser in {short(half)}: "
        f"{short(own / 8)} bytes per parameter, against {short(usual / 8)} in BF16 mixed precision and "
        f"{short(all_fp32 / 8)} all in FP32, {percent(1 - own / all_fp32)} less.",
    )


@audits("A18")
def less_memory_and_faster(facts: Ledger, *, gpu: str) -> Finding:
    """FP8 over higher precision: bytes of state, bytes of activations, time of a matrix product, time of the run."""
    peak = facts[f"{gpu}.bf16_dense_flop_per_s"]
    ratios = {
        "bytes per parameter in training, against BF16 mixed precision": (
            state_bytes(facts, "v3") / state_bytes(facts, "bf16_mixed")
        ),
        "bytes of activations per token, against BF16 with nothing computed again": (
            activation_bytes(facts, fp8=True) / activation_bytes(facts, fp8=False)
        ),
        "time of a matrix product at peak rates": peak / facts[f"{gpu}.fp8_dense_flop_per_s"],
        "time of a matrix product, FP8 as measured against BF16 at its peak": (
            peak / facts["h800_sxm.fp8_measured_flop_per_s"]
        ),
    }
    return Finding(
        "ratio",
        (
            Case("memory, and the time of a matrix product", max(ratios.values()), true=max(ratios.values()) < 1),
            Case("memory, and the time of the whole run against the same run in BF16", None),
        ),
        "FP8 over higher precision: "
        + ", ".join(f"{percent(ratio)} ({what})" for what, ratio in ratios.items())
        + "; the value is the highest of these. Only matrix products of linear layers get faster; DeepSeek has "
        "published no run of V3 in BF16 to compare.",
        digits=3,
    )


@audits("A19")
def up_to_half(facts: Ledger) -> Finding:
    """What FP8 takes off the memory, by what is stored and against which format."""
    block = facts["fp8.block"]
    bits = {name: facts[f"{name}.bits"] for name in ("fp8", "half_precision", "single_precision")}
    with_scales = bits["fp8"] + 8 * memory.FP32_BYTES / block
    state = {scheme: state_bytes(facts, scheme) for scheme in ("v3", "bf16_mixed", "fp32")}
    cuts = {
        "an activation with its share of a scale, against 16 bits": 1 - with_scales / bits["half_precision"],
        "an activation with its share of a scale, against 32 bits": 1 - with_scales / bits["single_precision"],
        "all that training keeps per parameter, against BF16 mixed precision": 1 - state["v3"] / state["bf16_mixed"],
        "all that training keeps per parameter, against FP32": 1 - state["v3"] / state["fp32"],
    }
    return Finding(
        "% less",
        tuple(Case(what, 100 * cut, {"reduction": 100 * cut}) for what, cut in cuts.items()),
        "; ".join(f"{what}: {percent(cut)}" for what, cut in cuts.items())
        + f". One FP32 scale for {short(block)} elements adds {percent((with_scales - 8) / 8)}.",
        digits=3,
    )


@audits("A20")
def accuracy_kept(facts: Ledger) -> Finding:
    """The reported gap of loss against BF16, at two strictnesses, and the bound on accumulation with promotion."""
    gap = facts["fp8.loss_error"]
    losses = [facts[f"balancing.v3_1b_{way}_loss"] for way in ("sequence_wise", "loss_free")]
    told_apart = losses[0] / losses[1] - 1
    steps = facts["fp8.promotion_interval"] / facts["fp8.products_per_instruction"]
    bound = steps * 2 ** -(facts["fp8.accumulation_bits"] - 1)
    return Finding(
        "relative loss error",
        (
            Case("loss on two smaller models, to one per cent", gap, true=gap < 0.01),
            Case(f"loss to the {percent(told_apart)} that the same report counts as a gain elsewhere", None),
            Case("V3 itself against a copy trained in BF16", None),
        ),
        f"The report puts the gap below {percent(gap)} on models of 16B and 230B parameters, a bound wider than the "
        f"{percent(told_apart)} by which it tells two ways of balancing apart, so finer losses of accuracy stay open; "
        f"V3 has no BF16 twin. Promotion every {short(facts['fp8.promotion_interval'])} products lets at most "
        f"{short(steps)} truncations add up, {percent(bound, 2)} of the largest sum.",
        digits=2,
    )


@audits("A25")
def without_tensor_parallelism(facts: Ledger, *, gpus: int, tokens_per_micro_batch: int) -> Finding:
    """Whether V3 fits its GPUs without tensor parallelism, with the report's savings and without them."""
    room = facts["h800_sxm.memory_bytes"]
    saved, plain = (fullest_gpu(facts, gpus, tokens_per_micro_batch, fp8=fp8) for fp8 in (True, False))
    with_savings, without = sum(saved.values()), sum(plain.values())
    listed = ", ".join(f"{what} {short(size / GB, 3)}" for what, size in saved.items())
    batches = f"micro-batches of {short(tokens_per_micro_batch)} tokens"
    return Finding(
        "GB on the fullest GPU",
        (
            Case(f"{batches}", with_savings / GB, true=with_savings <= room < without),
            Case("the micro-batches of the run itself", None),
        ),
        f"Of {short(room / GB)} GB: {listed}; {short(with_savings / GB, 3)} GB in all, against "
        f"{short(without / GB, 3)} GB in BF16 with nothing computed again. Counted for {batches}, a size that is not "
        "published, on the GPU that has embedding and head; buffers for communication are left out.",
        digits=3,
    )
