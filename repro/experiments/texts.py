"""What all studies share: the size of batches, the seeds, and held-out texts that no run trains on."""

from collections.abc import Iterator

from repro.arrays import IntArray
from repro.nano import batches

BATCH, LENGTH = 8, 65  # sequences, and tokens of each: 64 to read, 64 to predict
SEEDS = range(5)
HELD_OUT_BATCHES = 64


def training_texts(seed: int) -> Iterator[IntArray]:
    """Yield the batches [BATCH, LENGTH] that a run of this seed trains on, without end."""
    return batches(BATCH, LENGTH, seed=seed)


def held_out_texts(seed: int, n_batches: int = HELD_OUT_BATCHES) -> list[IntArray]:
    """Return batches [BATCH, LENGTH] of a seed that no run has, domains in turn."""
    texts = training_texts(seed)
    return [next(texts) for _ in range(n_batches)]
