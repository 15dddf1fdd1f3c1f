"""What a reader may assume otherwise: every assumption of the audits, with its default from the facts."""

from dataclasses import dataclass

from repro.errors import unknown_name
from repro.facts import Facts
from repro.inputs import UserInput

# The fastest first.
PEAKS = ("fp8_sparse", "fp8_dense", "bf16_sparse", "bf16_dense")
GPUS = ("h100_sxm", "h100_pcie", "h800_sxm")
MODELS = ("deepseek_v3", "deepseek_v2", "llama_3_1_405b", "mixtral_8x7b")
# Counts that no reader sets to a fraction.
WHOLE = ("gpus", "sequence_length", "tokens_per_micro_batch", "pipeline_ranks")


@dataclass(frozen=True)
class Assumption:
    """An assumption: `fact` is the key that its default and unit come from, else `default` and `unit` are here."""

    name: str
    help: str
    domain: str
    fact: str = ""
    default: float | int | str = ""
    unit: str = ""

    def parameter(self, facts: Facts) -> UserInput:
        """Return it as a parameter with its default; counts that a reader may set to a fraction become floats."""
        if not self.fact:
            return UserInput(self.name, self.default, self.unit, self.domain, self.help)
        fact = facts[self.fact]
        default = fact.value if self.name in WHOLE else float(fact.value)
        return UserInput(self.name, default, self.unit or fact.unit, self.domain, self.help)


ASSUMPTIONS = {
    one.name: one
    for one in (
        Assumption("tokens", "pre-training tokens of V3", "in [1e6, 1e18]", "deepseek_v3.tokens"),
        Assumption(
            "active_parameters",
            "parameters of V3 that one token passes through",
            "in [1e3, 1e18]",
            "deepseek_v3.active_parameters",
        ),
        Assumption(
            "flop_per_parameter_per_token",
            "6 for forward and backward, 2 for forward alone",
            "in [0.1, 100]",
            "convention.flop_per_parameter_per_token",
        ),
        Assumption("gpu", "GPU whose peak rates are taken", " | ".join(GPUS), default="h100_sxm", unit="GPU"),
        Assumption(
            "peak",
            "peak rate that perfect efficiency means",
            " | ".join(PEAKS),
            default="fp8_sparse",
            unit="rate",
        ),
        Assumption(
            "utilisation_peak",
            "peak rate that utilisation is a share of",
            " | ".join(PEAKS),
            default="bf16_dense",
            unit="rate",
        ),
        Assumption(
            "utilisation",
            "share of utilisation_peak that a run keeps up, by default what Llama 3.1 405B reports in its run",
            "in (0, 1]",
            "llama_3_1_405b.utilisation_in_run",
            unit="share of utilisation_peak",
        ),
        Assumption(
            "reference_parameters",
            "parameters of the model compared with, Llama 3.1 405B",
            "in [1e3, 1e18]",
            "llama_3_1_405b.parameters",
        ),
        Assumption(
            "reference_tokens",
            "training tokens of the model compared with",
            "in [1e6, 1e18]",
            "llama_3_1_405b.tokens",
        ),
        Assumption(
            "reference_gpu_hours",
            "GPU hours of the model compared with",
            "in [1, 1e15]",
            "llama_3_1_405b.gpu_hours",
        ),
        Assumption(
            "gpu_hours_per_trillion_tokens",
            "pre-training rate of V3",
            "in [1, 1e15]",
            "deepseek_v3.gpu_hours_per_trillion_tokens",
        ),
        Assumption(
            "pre_training_gpu_hours",
            "V3's pre-training",
            "in [1, 1e15]",
            "deepseek_v3.pre_training_gpu_hours",
        ),
        Assumption(
            "context_extension_gpu_hours",
            "V3's extension of the context to 128K",
            "in [1, 1e15]",
            "deepseek_v3.context_extension_gpu_hours",
        ),
        Assumption(
            "post_training_gpu_hours",
            "V3's fine-tuning and reinforcement learning",
            "in [1, 1e15]",
            "deepseek_v3.post_training_gpu_hours",
        ),
        Assumption(
            "total_gpu_hours",
            "all three stages of V3",
            "in [1, 1e16]",
            "deepseek_v3.total_gpu_hours",
        ),
        Assumption("gpus", "GPUs of the cluster, all at work all the time", "in [1, 1e9]", "deepseek_v3.gpus"),
        Assumption(
            "price_usd_per_gpu_hour",
            "rent, by default the one that the V3 report assumes",
            "in (0, 1e6]",
            "price.h800_v3_report",
        ),
        Assumption(
            "list_price_usd_per_gpu_hour",
            "the other case: a public list price of an H100, late 2024",
            "in (0, 1e6]",
            "price.h100_capacity_block",
        ),
        Assumption(
            "sequence_length",
            "tokens of a training sequence, over which attention runs",
            "in [1, 1e9]",
            "deepseek_v3.sequence_length",
        ),
        Assumption(
            "cache_bits",
            "bits per cached element, as V2 is deployed",
            "in (0, 64]",
            "deepseek_v2.cache_bits",
        ),
        Assumption(
            "baseline_cache_bits",
            "bits per cached element of the model compared with",
            "in (0, 64]",
            "half_precision.bits",
            unit="bits per element",
        ),
        Assumption(
            "weight_bits",
            "bits per stored weight, as V3 is released",
            "in (0, 64]",
            "fp8.bits",
            unit="bits per parameter",
        ),
        Assumption(
            "tokens_per_micro_batch",
            "of one GPU in training",
            "in [1, 1e9]",
            "deepseek_v3.tokens_per_micro_batch",
        ),
        Assumption(
            "model",
            "built-in model that the notebook takes apart",
            " | ".join(MODELS),
            default="deepseek_v3",
            unit="model",
        ),
        Assumption("seed", "of the sampling", "in [0, 1e9]", default=1, unit="number"),
        Assumption(
            "power_of_two", "of the number of samples: 20 for a million", "in [1, 24]", default=17, unit="number"
        ),
        Assumption("pipeline_ranks", "stages of V3's pipeline", "in [2, 1e4]", "deepseek_v3.pipeline_ranks"),
        Assumption(
            "backward_over_forward",
            "duration of a whole backward pass over that of a forward pass",
            "in (0, 100]",
            default=2.0,
            unit="ratio",
        ),
        Assumption(
            "weight_over_forward",
            "duration of the backward pass for weights alone over that of a forward pass",
            "in (0, 100]",
            default=1.0,
            unit="ratio",
        ),
        Assumption(
            "overlapped_over_forward",
            "duration of a forward and a backward pass run together over that of a forward pass",
            "in (0, 100]",
            default=3.0,
            unit="ratio",
        ),
        Assumption("acceptance", "chance that the drafted token is kept", "in [0, 1]", "mtp.acceptance_low"),
        Assumption("tie_points", "gap up to which scores count as equal", "in [0, 100]", "convention.tie_points"),
        Assumption(
            "capital_usd_per_gpu",
            "price of a GPU with its share of the server",
            "in (0, 1e7]",
            "server.h100_usd_per_gpu",
        ),
        Assumption("lifetime_years", "over which a server is written off", "in [0.1, 100]", "server.lifetime_years"),
        Assumption("electricity_usd_per_kwh", "price of electricity", "in (0, 100]", "server.electricity_usd_per_kwh"),
        Assumption("pue", "power of the building over that of its machines", "in [1, 10]", "server.pue"),
        Assumption(
            "in_use",
            "share of all hours that an owned GPU works",
            "in [0.01, 1]",
            default=0.8,
            unit="share of hours",
        ),
        Assumption("v2_tokens", "pre-training tokens of V2", "in [1e6, 1e18]", "deepseek_v2.tokens"),
        Assumption(
            "v2_gpu_hours_per_trillion_tokens",
            "training rate of V2",
            "in [1, 1e15]",
            "deepseek_v2.gpu_hours_per_trillion_tokens",
        ),
    )
}


def assumption(name: str) -> Assumption:
    """Return an assumption by name; raises InputError with the nearest name where there is none."""
    if name not in ASSUMPTIONS:
        raise unknown_name("assumption", name, ASSUMPTIONS)
    return ASSUMPTIONS[name]
