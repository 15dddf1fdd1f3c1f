"""The study of memorising: do facts that a layer can store go with its total parameters, or with its active ones?

Idea: a fact is a random key, a vector, with a random value, one of 8. Nothing in the facts can be guessed, so that a
student knows of them what its parameters hold. Its bits: N facts times what it saves of the 3 bits of a value,
log2(8) minus its cross-entropy in bits. With more and more facts the bits reach a ceiling, the student's capacity.
Design: a mixture of which a key passes an eighth of the width, beside dense layers with its active and its total
parameters; gates of several kinds, trained, frozen, or replaced by a hash of the key, or by chance.
Each fact is seen once per step, in float64, until the loss stands still. All have the same four learning rates to
choose from, chosen on a seed that the study does not use.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from repro.arrays import Array, IntArray
from repro.errors import InputError
from repro.experiments.power import Plan
from repro.experiments.record import Study
from repro.experiments.watch import Trace, follow
from repro.models.architecture import MixtureOfExperts
from repro.nano.balance import idle_fraction, max_violation, update_biases
from repro.nano.gate import Gate, Routing
from repro.nano.model import Loss
from repro.nano.moe import moe, moe_backward
from repro.nano.ops import Params, cross_entropy, mlp, mlp_backward
from repro.nano.training.loop import TrainingDiverged, TrainStep
from repro.nano.training.optimizer import AdamW, Recipe
from repro.validate import check_integer

D_MODEL = 8  # width of a key, and number of values: the layer's output is read as logits
BITS = float(np.log2(D_MODEL))  # of a value
WIDTH, SHARE = 64, 8  # of all experts together, and the part of it that a key passes: one in SHARE
GATE_SCALE = 0.1  # standard deviation of the gate's weights at the start
BIAS_SPEED = 0.01  # of V3's biases, which even out the load in the first half of training and then stand still
FORCED = 10.0  # a bias above every score, so that it decides
WINDOWS = 20  # of a trace

Router = Literal["trained", "frozen", "hash", "random"]
GATES = {
    "softmax": Gate("softmax", norm_topk_prob=False),
    "softmax, normalised": Gate("softmax"),
    "sigmoid": Gate("sigmoid", norm_topk_prob=False),
    "sigmoid, normalised": Gate("sigmoid"),
}


@dataclass(frozen=True)
class Student:
    """One layer: dense, or experts with a router."""

    width: int  #: of the dense layer, or of one expert
    n_routed_experts: int = 0  #: 0 for a dense layer
    top_k: int = 0
    scoring: str = "softmax"  #: a key of GATES
    router: Router = "trained"  #: "hash" gives each fact experts by chance for good, "random" anew in each step
    peak_lr: float = 0.1

    @property
    def experts(self) -> MixtureOfExperts:
        """Numbers and widths of the experts."""
        return MixtureOfExperts(self.n_routed_experts, 0, self.top_k, self.width, correction_bias=True)

    @property
    def gate(self) -> Gate:
        """How experts are weighed; scores that are not normalised are scaled so that weights first sum to about 1."""
        gate = GATES[self.scoring]
        if gate.norm_topk_prob:
            return gate
        start = 1.0 if gate.scoring_func == "softmax" else self.n_routed_experts / 2  # the sum of all scores at 0
        return Gate(gate.scoring_func, norm_topk_prob=False,
                    routed_scaling_factor=self.n_routed_experts / (self.top_k * start))  # fmt: skip

    @property
    def gate_parameters(self) -> int:
        """Parameters that choose experts: none where chance does."""
        return self.n_routed_experts * D_MODEL if self.router in ("trained", "frozen") else 0

    @property
    def total_parameters(self) -> int:
        """All parameters: three matrices for each unit of width, and the gate."""
        return 3 * D_MODEL * self.width * max(self.n_routed_experts, 1) + self.gate_parameters

    @property
    def active_parameters(self) -> int:
        """Parameters that one key is multiplied by; a forward pass takes twice as many FLOP."""
        return 3 * D_MODEL * self.width * max(self.top_k, 1) + self.gate_parameters


def mixture(n_routed_experts: int, **options: Any) -> Student:
    """Return the mixture that cuts WIDTH into so many experts, of which a key passes one in SHARE."""
    if n_routed_experts % SHARE or WIDTH % n_routed_experts:
        raise InputError(f"n_routed_experts = {n_routed_experts}: must be a multiple of {SHARE} that divides {WIDTH}")
    return Student(WIDTH // n_routed_experts, n_routed_experts, n_routed_experts // SHARE, **options)


def dense(parameters: int, **options: Any) -> Student:
    """Return the dense layer whose parameters come nearest to a number."""
    return Student(round(parameters / (3 * D_MODEL)), **options)


MIXTURE = mixture(16)
# Learning rates: of 0.01, 0.03, 0.1 and 0.3 the one that stores most on seed 1000, at 256 facts for the first, 1,536.
STUDENTS = {
    "dense, active": dense(MIXTURE.active_parameters),
    "dense, total": dense(MIXTURE.total_parameters, peak_lr=0.03),
    "softmax gate": MIXTURE,
    "V3's gate": mixture(16, scoring="sigmoid, normalised"),
    "softmax, normalised": mixture(16, scoring="softmax, normalised"),
    "sigmoid": mixture(16, scoring="sigmoid"),
    "frozen gate": mixture(16, scoring="sigmoid, normalised", router="frozen", peak_lr=0.3),
    "hash of the key": mixture(16, scoring="sigmoid, normalised", router="hash", peak_lr=0.03),
    "chance, each time": mixture(16, scoring="sigmoid, normalised", router="random", peak_lr=0.03),
    "1 of 8": mixture(8),
    "4 of 32": mixture(32),
    "8 of 64": mixture(64),
}


class Facts(NamedTuple):
    """N facts."""

    keys: Array  #: [N, D_MODEL]
    values: IntArray  #: [N], from 0 to D_MODEL - 1


def draw_facts(n_facts: int, seed: int) -> Facts:
    """Return random facts; those of a smaller number are the first of a larger one."""
    check_integer("n_facts", n_facts)
    keys, values = (np.random.default_rng([seed, part]) for part in (0, 1))
    return Facts(keys.standard_normal((n_facts, D_MODEL)), values.integers(D_MODEL, size=n_facts))


@dataclass
class Layer:
    """A student with its parameters, and who chooses its experts."""

    student: Student
    params: Params  #: of `mlp` or of `moe`, changed in place by training
    rng: np.random.Generator = field(repr=False)  #: for choices by chance

    def forward(self, keys: Array) -> tuple[Array, Any]:
        """Return logits, [N, D_MODEL] -> [N, D_MODEL], and what the backward pass needs."""
        if not self.student.n_routed_experts:
            return mlp(keys, self.params)
        if self.student.router == "random":
            self.force_choice(len(keys))
        return moe(keys, self.params, self.student.experts, self.student.gate)

    def force_choice(self, n_facts: int) -> None:
        """Draw top_k experts for each fact, by a bias per fact and expert, [N, E], which exceeds any score."""
        order = self.rng.random((n_facts, self.student.n_routed_experts)).argsort(axis=1).argsort(axis=1)  # [N, E]
        self.params["gate"]["e_score_correction_bias"] = FORCED * (order < self.student.top_k)

    def backward(self, d_logits: Array, saved: Any) -> Params:
        """Return the gradients of the parameters that are trained."""
        if not self.student.n_routed_experts:
            return mlp_backward(d_logits, self.params, saved)[1]
        _, gradients = moe_backward(d_logits, self.params, self.student.gate, saved)
        if self.student.router != "trained":
            del gradients["gate"]
        return gradients


def init_layer(student: Student, n_facts: int, seed: int) -> Layer:
    """Return an untrained layer, in float64; `n_facts` is how many keys a hash gives experts to."""
    rng = np.random.default_rng([seed, 2])
    width, experts = student.width, student.n_routed_experts
    count = (experts,) * bool(experts)  # of the leading axis, which a dense layer has not
    weights = {
        "gate_up_proj": rng.standard_normal((*count, 2 * width, D_MODEL)) / np.sqrt(D_MODEL),
        "down_proj": rng.standard_normal((*count, D_MODEL, width)) / np.sqrt(width),
    }
    if not experts:
        return Layer(student, weights, rng)
    scale = GATE_SCALE if student.gate_parameters else 0.0
    gate = {"weight": scale * rng.standard_normal((experts, D_MODEL)), "e_score_correction_bias": np.zeros(experts)}
    layer = Layer(student, {"gate": gate, "experts": weights}, rng)
    if student.router == "hash":
        layer.force_choice(n_facts)
    return layer


def train(layer: Layer, facts: Facts, steps: int) -> Iterator[TrainStep]:
    """Train a layer in place, one step over all facts whenever the caller asks for the next report.

    Raises:
        TrainingDiverged: if the loss is NaN or infinite; parameters are then those before the step.
    """
    recipe = Recipe(steps, peak_lr=layer.student.peak_lr, warmup_steps=min(20, steps), final_lr_share=0.01,
                    weight_decay=0.0)  # fmt: skip
    optimizer = AdamW(recipe)
    for number in range(steps):
        logits, saved = layer.forward(facts.keys)  # [N, D_MODEL]
        loss, d_logits = cross_entropy(logits, facts.values)
        if not np.isfinite(loss):
            raise TrainingDiverged(number, f"loss {loss}")
        optimizer.step(layer.params, layer.backward(d_logits, saved))
        loads = (saved.routing.load,) if layer.student.n_routed_experts else ()
        if layer.student.router in ("trained", "frozen") and loads and number < steps / 2:
            update_biases({"layers": [{"mlp": layer.params}], "mtp": []}, loads, BIAS_SPEED)
        yield TrainStep(number, Loss(loss, loads=loads), float("nan"))


def known(layer: Layer, facts: Facts) -> dict[str, float]:
    """Return what a layer knows of facts: bits, of N · BITS; facts whose value it finds; and how even its load is."""
    logits, saved = layer.forward(facts.keys)  # [N, D_MODEL]
    loss, _ = cross_entropy(logits, facts.values)
    results = {
        "bits": len(facts.keys) * max(BITS - loss / np.log(2), 0.0),
        "facts": int(np.sum(logits.argmax(axis=1) == facts.values)),
    }
    if layer.student.n_routed_experts:
        routing: Routing = saved.routing
        results |= {"max_violation": float(max_violation(routing.load)), "idle": float(idle_fraction(routing.load))}
    return results


@dataclass(frozen=True)
class MemorisingRun:
    """One training run."""

    student: str  #: a key of STUDENTS
    n_facts: int
    seed: int = 0  #: of facts and weights
    steps: int = 800  #: and so how often each fact is seen


def measure(run: MemorisingRun, trace: Trace) -> dict[str, float]:
    """Train, then ask for every fact."""
    if run.student not in STUDENTS:
        raise InputError(f"student = {run.student!r}: must be one of: {', '.join(STUDENTS)}")
    trace.every = max(run.steps // WINDOWS, 1)
    facts = draw_facts(run.n_facts, run.seed)
    layer = init_layer(STUDENTS[run.student], run.n_facts, run.seed)
    follow(train(layer, facts, run.steps), trace)
    return known(layer, facts)


# Numbers of facts. 1,280 was added after a first look at the results: the hash stores most between its neighbours.
SMALL, LARGE, FULL = (128, 256, 512, 1024), (256, 512, 1024, 1280, 1536), (1024, 1280, 1536)
N_FACTS = {"dense, active": SMALL, "chance, each time": SMALL} | dict.fromkeys(
    ("dense, total", "softmax gate", "V3's gate", "hash of the key"), LARGE
)
SEEDS = range(6)


def facts_of(student: str) -> tuple[int, ...]:
    """Return the numbers of facts that a student is tried on."""
    return N_FACTS.get(student, FULL)


RUNS = tuple(
    MemorisingRun(student, n_facts, seed) for seed in SEEDS for student in STUDENTS for n_facts in facts_of(student)
) + tuple(
    MemorisingRun(student, FULL[-1], seed, steps=1600)
    for seed in SEEDS[:2]
    for student in ("dense, total", "softmax gate", "V3's gate")
)


class Pair(NamedTuple):
    """Two students that are compared by capacity: the first minus the second, seed by seed."""

    student: str
    baseline: str


COMPARISONS = (
    Pair("softmax gate", "dense, active"),
    Pair("softmax gate", "dense, total"),
    Pair("V3's gate", "dense, active"),
    Pair("V3's gate", "dense, total"),
    Pair("frozen gate", "V3's gate"),
    Pair("hash of the key", "softmax gate"),
    Pair("chance, each time", "dense, active"),
    Pair("1 of 8", "softmax gate"),
    Pair("4 of 32", "softmax gate"),
    Pair("8 of 64", "softmax gate"),
)
# Fixed before the study ran. On seeds 1000 to 1002 differences spread by 40 to 130 bits, and the plan takes 100. With
# 130 its power would be 55%. A tenth of what the dense layer of all parameters stores, or a little less, is what would
# change the text.
PLAN = Plan("bits", "bits", smallest_effect=250, pilot_sd=100, seeds=len(SEEDS), comparisons=len(COMPARISONS))
STUDY = Study("memorising", RUNS, measure, plans=(PLAN,) * len(COMPARISONS))
