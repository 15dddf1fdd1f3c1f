"""Claims about FLOP and the ideal, scaled and real GPU hours that follow from them: notebook 01."""

from collections.abc import Callable

from repro.calc import training
from repro.calc.rounding import to_place
from repro.claims.assumptions import PEAKS
from repro.claims.audit import AuditFunction, Finding, audit_of
from repro.claims.register import load_register
from repro.claims.verdict import RIGHT_SIZE, Case
from repro.claims.words import percent, scientific, short
from repro.errors import InputError
from repro.facts import Ledger

NOTEBOOK = "01_flops_to_gpu_hours"
# How a rate is named in a sentence.
PEAK_WORDS = {
    "bf16_dense": "dense BF16",
    "bf16_sparse": "2:4-sparse BF16",
    "fp8_dense": "dense FP8",
    "fp8_sparse": "2:4-sparse FP8",
}


def audits(claim_id: str) -> Callable[[AuditFunction], AuditFunction]:
    """Register a function as the audit of a claim that notebook 01 argues."""
    return audit_of(claim_id, notebook=NOTEBOOK)


def peak_flop_per_s(facts: Ledger, gpu: str, peak: str) -> float:
    """Return a GPU's peak rate by name, in FLOP/s; raises InputError where the GPU has no such rate."""
    if peak not in peaks_of(gpu):
        raise InputError(f"{gpu} has no {peak} rate; it has: {', '.join(peaks_of(gpu))}")
    return facts[f"{gpu}.{peak}_flop_per_s"]


def peaks_of(gpu: str) -> list[str]:
    """Return the names of a GPU's peak rates, the fastest first."""
    return [peak for peak in reversed(PEAKS) if gpu != "a100_sxm" or peak.startswith("bf16")]


def last_place(claim_id: str, figure: str) -> float:
    """Return what one unit of the last digit is worth in which a claim prints a figure."""
    return load_register().claim(claim_id).figure(figure).place


def document_flop(exact_flop: float) -> float:
    """Return V3's total FLOP as the article carries it on, rounded as A32 prints it."""
    return to_place(exact_flop, last_place("A32", "flop"))


def run_flop(active_parameters: float, tokens: float, flop_per_parameter_per_token: float) -> float:
    """Return a model's training FLOP by the rule of thumb, not rounded."""
    return training.train_flop(active_parameters, tokens, flop_per_parameter_per_token=flop_per_parameter_per_token)


@audits("A31")
def flop_per_token(facts: Ledger, *, active_parameters: float, flop_per_parameter_per_token: float) -> Finding:
    """Six FLOP for each active parameter."""
    flop = training.train_flop_per_token(active_parameters, flop_per_parameter_per_token=flop_per_parameter_per_token)
    case = Case("the rule of thumb", flop, {"active_parameters": active_parameters, "flop_per_token": flop})
    return Finding(
        "FLOP per token",
        (case,),
        f"{short(flop_per_parameter_per_token)} × {short(active_parameters)} = {short(flop)} FLOP per token. "
        "The rule counts the matrix products of the weights; attention over the context comes on top.",
    )


@audits("A32")
def total_flop(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float
) -> Finding:
    """FLOP per token times tokens."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    return Finding(
        "FLOP",
        (Case("the rule of thumb", flop, {"flop": flop}),),
        f"{short(flop_per_parameter_per_token)} × {short(active_parameters)} × {short(tokens)} tokens = "
        f"{short(flop)} FLOP; the article carries on with {short(document_flop(flop))}.",
    )


@audits("A33")
def peak_rate(facts: Ledger, *, gpu: str) -> Finding:
    """The printed rate against each peak rate of the GPU, named by precision and sparsity."""
    peaks = peaks_of(gpu)
    cases = tuple(
        Case(f"the {PEAK_WORDS[peak]} peak", rate, {"rate": rate})
        for peak in peaks
        for rate in [peak_flop_per_s(facts, gpu, peak)]
    )
    listed = ", ".join(f"{PEAK_WORDS[peak]} {short(case.value)}" for peak, case in zip(peaks, cases, strict=True))
    return Finding(
        "FLOP/s",
        cases,
        f"Peaks of {gpu} in FLOP/s: {listed}. Training multiplies dense matrices, which cannot use the sparse "
        f"rate; the best dense FP8 product published for an H800 reaches "
        f"{short(facts['h800_sxm.fp8_measured_flop_per_s'])}.",
    )


@audits("A34")
def ideal_seconds(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    gpu: str, peak: str,
) -> Finding:  # fmt: skip
    """Total FLOP over the peak rate, from the article's own rounded inputs."""
    exact_flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    exact_rate = peak_flop_per_s(facts, gpu, peak)
    rate = to_place(exact_rate, last_place("A33", "rate"))
    seconds = training.ideal_gpu_seconds(document_flop(exact_flop), rate)
    exact = training.ideal_gpu_seconds(exact_flop, exact_rate)
    return Finding(
        "GPU seconds",
        (Case("the figures carried on as printed", seconds, {"seconds": seconds}),),
        f"{short(document_flop(exact_flop))} FLOP / {short(rate)} FLOP/s = {scientific(seconds)} s; without rounding "
        f"on the way {scientific(exact)} s. The rate is the {PEAK_WORDS[peak]} peak of {gpu}.",
    )


@audits("A35")
def ideal_hours(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    gpu: str, peak: str,
) -> Finding:  # fmt: skip
    """The seconds of the line before, as hours; and the hours at each other peak rate."""
    exact_flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    rate = to_place(peak_flop_per_s(facts, gpu, peak), last_place("A33", "rate"))
    seconds = to_place(training.ideal_gpu_seconds(document_flop(exact_flop), rate), last_place("A34", "seconds"))
    gpu_hours = training.hours(seconds)
    printed = load_register().claim("A35").figure("gpu_hours").value
    others = ", ".join(
        f"{PEAK_WORDS[name]} {short(training.gpu_hours_at(exact_flop, rate_, utilisation=1), 3)}"
        for name in peaks_of(gpu)
        for rate_ in [peak_flop_per_s(facts, gpu, name)]
    )
    return Finding(
        "GPU hours",
        (Case("3,600 seconds an hour", gpu_hours, {"gpu_hours": gpu_hours}),),
        f"{scientific(seconds)} s / 3600 = {short(gpu_hours, 3)} GPU hours, printed {short(printed)}: the printed "
        f"hours are {short(printed / gpu_hours, 3)} times the printed seconds. Ideal hours at each peak: {others}.",
        digits=3,
    )


@audits("A36")
def ideal_is_a_lower_bound(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    gpu: str, pre_training_gpu_hours: float,
) -> Finding:  # fmt: skip
    """The ideal hours at every peak rate, against the hours that pre-training took."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    peaks = peaks_of(gpu)
    cases = []
    for peak in peaks:
        rate = peak_flop_per_s(facts, gpu, peak)
        ideal = training.gpu_hours_at(flop, rate, utilisation=1)
        cases.append(Case(f"the {PEAK_WORDS[peak]} peak", ideal, true=ideal < pre_training_gpu_hours))
    shares = ", ".join(f"{percent(case.value / pre_training_gpu_hours)} at {case.assumption}" for case in cases)
    return Finding(
        "GPU hours",
        tuple(cases),
        f"Pre-training took {short(pre_training_gpu_hours)} GPU hours. The ideal hours are {shares}. "
        "What the rule of thumb leaves out would raise the ideal hours, not the real ones.",
        digits=3,
    )


@audits("A37")
def llama_as_reported(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, reference_gpu_hours: float
) -> Finding:
    """Parameters, tokens and hours of Llama 3.1 405B, by the model card and by the paper."""
    paper_tokens = facts["llama_3_1_405b.tokens_in_paper"]

    def case(assumption: str, tokens: float) -> Case:
        figures = {
            "parameters": reference_parameters,
            "tokens": tokens,
            "gpu_hours": reference_gpu_hours,
        }
        return Case(assumption, reference_gpu_hours, figures)

    return Finding(
        "GPU hours",
        (
            case(f"the model card's {short(reference_tokens)} tokens", reference_tokens),
            case(f"the paper's {short(paper_tokens)} tokens", paper_tokens),
        ),
        f"The model card gives {short(reference_gpu_hours)} H100 hours and about {short(reference_tokens)} tokens; "
        f"the paper gives {short(paper_tokens)}.",
    )


@audits("A38")
def llama_flop(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, flop_per_parameter_per_token: float
) -> Finding:  # fmt: skip
    """The same arithmetic for the model compared with."""
    flop = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    return Finding(
        "FLOP",
        (Case("the rule of thumb", flop, {"flop": flop}),),
        f"{short(flop_per_parameter_per_token)} × {short(reference_parameters)} × {short(reference_tokens)} = "
        f"{short(flop)} FLOP. The paper, on {short(facts['llama_3_1_405b.tokens_in_paper'])} tokens, states "
        f"{short(facts['llama_3_1_405b.train_flop_in_paper'])}.",
    )


@audits("A39")
def scaled_hours(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
) -> Finding:  # fmt: skip
    """Llama's hours times the ratio of FLOP, from the article's rounded figures and from unrounded ones."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    reference = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    rounded_reference = to_place(reference, last_place("A38", "flop"))
    step = training.scaled_gpu_hours(reference_gpu_hours, document_flop(flop), rounded_reference)
    exact = training.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    return Finding(
        "GPU hours",
        (
            Case("the figures carried on as printed", step, {"gpu_hours": step}),
            Case("nothing rounded on the way", exact, {"gpu_hours": exact}),
        ),
        f"{short(reference_gpu_hours)} h × {short(document_flop(flop))} / {short(rounded_reference)} = "
        f"{short(step)} GPU hours; without rounding on the way {short(exact)}. "
        "Equal FLOP/s per GPU in both runs is assumed, as the article says.",
    )


@audits("A47")
def summary_of_the_estimate(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
) -> Finding:  # fmt: skip
    """The estimate as the summary restates it."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    reference = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    gpu_hours = training.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    claim = load_register().claim("A47").figure("gpu_hours")
    return Finding(
        "GPU hours",
        (Case("the estimate of section 2", gpu_hours, {"gpu_hours": gpu_hours}),),
        f"Printed {claim.text}, recomputed {short(gpu_hours, 3)}: a factor {short(gpu_hours / claim.value, 2)}. "
        f"Section 2 of the same article prints {load_register().claim('A39').figure('gpu_hours').text}.",
        digits=3,
    )


@audits("A48")
def estimate_supports_the_report(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
    gpu: str, utilisation_peak: str, utilisation: float,
    total_gpu_hours: float, price_usd_per_gpu_hour: float,
) -> Finding:  # fmt: skip
    """Three estimates of the cost against the reported one, each with what it assumes of efficiency."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    reference = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    same_rate = training.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    bf16, fp8 = (peak_flop_per_s(facts, gpu, name) for name in ("bf16_dense", "fp8_dense"))
    rate = peak_flop_per_s(facts, gpu, utilisation_peak)
    estimates = {
        "both runs keeping up the same FLOP/s per GPU": same_rate,
        "both keeping up the same share of the peak of the precision they multiply in": same_rate * bf16 / fp8,
        f"V3 keeping up {percent(utilisation)} of the {PEAK_WORDS[utilisation_peak]} peak": (
            training.gpu_hours_at(flop, rate, utilisation=utilisation)
        ),
    }
    cases = tuple(
        Case(
            assumption,
            training.rental_usd(gpu_hours, price_usd_per_gpu_hour),
            true=abs(gpu_hours - total_gpu_hours) <= RIGHT_SIZE * total_gpu_hours,
        )
        for assumption, gpu_hours in estimates.items()
    )
    listed = ", ".join(f"{short(gpu_hours, 3)}" for gpu_hours in estimates.values())
    llama, v3 = (
        training.mfu(work, taken, bf16) for work, taken in ((reference, reference_gpu_hours), (flop, total_gpu_hours))
    )
    return Finding(
        "USD",
        cases,
        f"These assumptions give {listed} GPU hours against {short(total_gpu_hours)} reported; support means within "
        f"{percent(RIGHT_SIZE)}. Per GPU hour both runs did the same work, {percent(llama)} (Llama) and "
        f"{percent(v3)} (V3) of the dense BF16 peak: the estimate returns the reported hours exactly when these two "
        "shares are equal, and says nothing of the price.",
        digits=3,
    )
