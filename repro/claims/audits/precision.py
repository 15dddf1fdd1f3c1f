"""Claims about FP8, memory in training and the accuracy it keeps."""

from repro.calc import memory
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.scenarios import activation_bytes_by_scheme, state_bytes, v3_peak_memory_gpu
from repro.claims.verdict import Case, readings
from repro.facts import Ledger

GB = 1e9


@audit("A11", notebook="05_precision_and_memory", unit="bits")
def eight_bits_for_thirty_two(facts: Ledger) -> Answer:
    """Compare bits in three scopes: operands with FP32, operands with usual practice, all that training keeps."""
    fp8, half, single = facts["fp8.bits"], facts["half_precision.bits"], facts["single_precision.bits"]
    v3, usual, all_fp32 = (8 * state_bytes(facts, scheme) for scheme in ("v3", "bf16_mixed", "fp32"))

    def case(scope: str, bits: float, reference: float) -> Case:
        return Case(scope, bits, {"bits": bits, "reference_bits": reference}, is_true=bits < reference)

    return Answer(
        (
            case("operands of the matrix products, against the 16 bits usual before", fp8, half),
            case("operands of the matrix products, against FP32", fp8, single),
            case("all that training keeps per parameter, against FP32", v3, all_fp32),
        ),
        f"FP8 replaces {format_si(half)}-bit numbers; V3's master weights stay at {format_si(single)} bits",
        f"Operands shrink from {format_si(half)} bits, which large runs used before, to {format_si(fp8)}. Master "
        f"weights and gradients stay in {format_si(single)} bits and the moments of the optimiser in "
        f"{format_si(half)}: {format_si(v3 / 8)} bytes per parameter, against {format_si(usual / 8)} in BF16 mixed "
        f"precision and {format_si(all_fp32 / 8)} all in FP32, {format_percent(1 - v3 / all_fp32)} less.",
        "“instead of” names what the 8 bits replace, and that was 16 bits",
    )


def product_time_in_trace(facts: Ledger) -> float:
    """Return the time of FP8 products and casts in DeepSeek's trace over the same FLOP in BF16, on as many SMs.

    The BF16 side is the best that DeepSeek calls practical, so the ratio is the worst case for FP8.
    """
    fp8_ms = facts["trace.fp8_product_ms"]
    computes_ms = sum(facts[f"trace.{phase}_ms"] for phase in ("forward", "input", "weight"))
    cast_ms = facts["trace.cast_share"] * computes_ms
    left = 1 - facts["trace.transfer_multiprocessors"] / facts["h800_sxm.multiprocessors"]
    bf16_ms = fp8_ms * facts["trace.fp8_product_flop_per_s"] / (facts["h800_sxm.bf16_practical_flop_per_s"] * left)
    return (fp8_ms + cast_ms) / bf16_ms


@audit("A18", notebook="05_precision_and_memory", unit="ratio", digits=3)
def less_memory_and_faster(facts: Ledger, *, gpu: str) -> Answer:
    """Divide FP8 by BF16, all else equal: bytes of state and activations, time of products and of whole runs."""
    fp8, bf16, _ = (activations.experts for activations in activation_bytes_by_scheme(facts).values())
    v3 = state_bytes(facts, "v3")
    wider = v3 - facts["bytes.v3.weights"] + facts["bytes.bf16_mixed.weights"]
    memory_ratio = max(v3 / wider, fp8 / bf16)
    peaks = [facts[f"{gpu}.{name}_flop_per_s"] for name in ("bf16_dense", "fp8_dense")]
    nvidia = {
        card: facts[f"nvidia_v3.{card}_bf16_tokens_per_gpu_s"] / facts[f"nvidia_v3.{card}_mxfp8_tokens_per_gpu_s"]
        for card in ("gb300", "gb200")
    }
    runs = {f"V3 on {card.upper()} by NVIDIA": ratio for card, ratio in nvidia.items()}
    runs["V3 on B200 by TorchTitan"] = (
        facts["torchtitan_v3.deepep_tokens_per_s"] / facts["torchtitan_v3.mxfp8_tokens_per_s"]
    )
    runs["Ling 2.0"] = 1 / (1 + facts["ling_2.mfu_gain"])
    in_trace = product_time_in_trace(facts)
    listed = ", ".join(f"{format_percent(1 / ratio - 1, 2)} ({name})" for name, ratio in runs.items())
    gains = [format_percent(1 / ratio - 1, 2) for ratio in (max(runs.values()), min(runs.values()))]

    def case(reading: str, time: float) -> Case:
        return Case(f"memory, and {reading}", time, is_true=max(memory_ratio, time) < 1)

    return Answer(
        (
            case("time of the whole run that gained least, of those that others timed both ways", max(runs.values())),
            case("time of a product at peak rates", peaks[0] / peaks[1]),
            case("time of products and casts in DeepSeek's trace, against the best for BF16", in_trace),
            Case("memory, and time of V3's own run against the same in BF16", None),
        ),
        f"FP8 sped up others' runs {gains[0]} to {gains[1]}; V3's gain is unpublished",
        f"With all else equal, FP8 keeps {format_percent(v3 / wider)} of BF16's bytes per parameter and "
        f"{format_percent(fp8 / bf16)} of its bytes of activations. Whole runs got faster by {listed}. In DeepSeek's "
        f"trace FP8 products run at {format_si(facts['trace.fp8_product_flop_per_s'] / 1e12, 3)} TFLOP/s, and casts "
        f"take {format_percent(facts['trace.cast_share'])} of the computing. Together they take "
        f"{format_percent(in_trace)} of the time that the same FLOP would take in BF16 at its practical best, on as "
        f"many multiprocessors. V3's whole scheme, with moments in BF16, keeps {format_si(v3)} bytes per parameter "
        f"against {format_si(state_bytes(facts, 'bf16_mixed'))}.",
        "the sentence says what the format does, and training is sped up when whole runs are",
    )


@audit("A19", notebook="05_precision_and_memory", unit="% less", digits=3)
def up_to_half(facts: Ledger) -> Answer:
    """Find the largest cut of any part, against either format, and the cut of all that training keeps."""
    fp8, half, single = (facts[f"{name}.bits"] for name in ("fp8", "half_precision", "single_precision"))
    scaled = fp8 + memory.BITS_PER_BYTE * memory.FP32_BYTES / facts["fp8.block"]
    v3, usual = state_bytes(facts, "v3"), state_bytes(facts, "bf16_mixed")
    state, alone = 1 - v3 / usual, 1 - v3 / (v3 - facts["bytes.v3.weights"] + facts["bytes.bf16_mixed.weights"])
    cuts = {
        "all that training keeps per parameter, against BF16 mixed precision": state,
        "the largest cut of any part, weights, against 16 bits": 1 - fp8 / half,
        "the largest cut of any part, weights, against 32 bits": 1 - fp8 / single,
    }
    return Answer(
        readings("reduction", {name: 100 * cut for name, cut in cuts.items()}),
        f"Numbers halve; training memory per parameter falls {format_percent(state, 2)}, by FP8 alone "
        f"{format_percent(alone, 2)}",
        f"Weights in the products shrink by {format_percent(1 - fp8 / half)} against 16 bits and "
        f"{format_percent(1 - fp8 / single)} against 32; a stored activation with its share of a scale by "
        f"{format_percent(1 - scaled / half)} and {format_percent(1 - scaled / single)}. All that training keeps per "
        f"parameter shrinks from {format_si(usual)} to {format_si(v3)} bytes, {format_percent(state)}, most of it by "
        f"moments in BF16; FP8 by itself saves {format_percent(alone)}.",
        "a memory footprint is all the memory that training takes",
    )


@audit("A20", notebook="05_precision_and_memory", unit="% higher loss", digits=2)
def accuracy_kept(facts: Ledger) -> Answer:
    """Compare the reported gap in loss with a gap that the same report counts as a gain; V3 was not repeated."""
    bound, mean = facts["fp8.loss_error"], facts["fp8.mean_loss_error"]
    sequence_wise, loss_free = (facts[f"balancing.v3_1b_{way}_loss"] for way in ("sequence_wise", "loss_free"))
    counted = sequence_wise / loss_free - 1
    additions = facts["fp8.promotion_interval"] / facts["fp8.products_per_instruction"]
    ling, of_ling, ling_tokens = (facts[f"ling_2.{name}"] for name in ("loss_error", "mean_loss_error", "tokens"))
    return Answer(
        (
            Case("the worse of two smaller models, on average", 100 * mean, is_true=mean < counted),
            Case("V3 itself against a copy trained in BF16", None),
        ),
        f"FP8 raised a smaller model's loss by {format_percent(mean, 2)}; V3 was not compared",
        f"The report puts the gap below {format_percent(bound)} on models of 16B and 230B parameters; read off its "
        f"figure 10 it is {format_percent(mean)} on average at 16B and about nothing at 230B. For scale: elsewhere the "
        f"report calls a difference of {format_percent(counted)} a gain. Ling 2.0, trained by such a recipe, "
        f"reports a gap within {format_percent(ling)}, {format_percent(of_ling)} on average, over "
        f"{format_si(ling_tokens)} tokens. V3 was never repeated in BF16. The tensor cores add with limited "
        f"precision; after at most {format_si(additions)} such additions V3 moves the sum to FP32.",
        "the sentence is about the strategies, and the report tried them on two models trained both ways",
    )


@audit("A25", notebook="05_precision_and_memory", unit="GB on the fullest GPU", digits=3)
def without_tensor_parallelism(facts: Ledger, *, gpus: int, tokens_per_micro_batch: int) -> Answer:
    """Estimate whether V3 fits its GPUs without tensor parallelism, with the report's savings and without."""
    room, on_the_sheet = facts["trace.memory_bytes"], facts["h800_sxm.memory_bytes"]
    rank, held = v3_peak_memory_gpu(facts, gpus, tokens_per_micro_batch, "V3's scheme")
    _, plain = v3_peak_memory_gpu(facts, gpus, tokens_per_micro_batch, "BF16, nothing computed again")
    saving, without = sum(held.values()), sum(plain.values())
    layout = f"the report's layout, micro-batches of {format_si(tokens_per_micro_batch)} tokens"
    listed = ", ".join(f"{name} {format_si(size / GB, 3)}" for name, size in held.items() if size)
    fits = "fits" if saving <= room else "does not fit"
    return Answer(
        (Case(layout, saving / GB, is_true=saving <= room < without), Case("what the GPUs held in the run", None)),
        f"We estimate that V3 {fits}: {format_si(saving / GB, 2)} of {format_si(room / GB, 2)} GB",
        f"An estimate for the fullest GPU, on pipeline rank {rank}, in GB: {listed}; in all "
        f"{format_si(saving / GB, 3)} of the {format_si(room / GB, 3)} GB that an H800 shows in DeepSeek's trace (its "
        f"sheet says {format_si(on_the_sheet / GB)}), and {format_si(without / GB, 3)} GB in BF16 with nothing "
        "computed again. Layers are taken as spread evenly; buffers for communication are left out. A later paper "
        "adds that tensor parallelism would have been slow over the H800's reduced links.",
        "the report describes this layout, and says that it spares tensor parallelism",
    )
