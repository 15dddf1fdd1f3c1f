"""A synthetic corpus: four made-up kinds of text, so that there is something for experts to specialise in.

None of it is natural language, and no loss on it compares with one on real text. Each domain has its own characters,
regularities that a small model learns in a few hundred steps, and parts that cannot be predicted.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from repro.arrays import IntArray
from repro.errors import InputError
from repro.validate import check_integer

VOCABULARY = 256  # tokens are bytes
WORDS = {
    "who": ("the fox", "a girl", "my friend", "the old man", "one bird", "the king"),
    "does": ("sees", "follows", "finds", "hears", "likes", "leaves"),
    "what": ("the river", "a house", "the moon", "some bread", "a song", "the road"),
    "when": ("today", "at night", "in may", "again", "alone", "once"),
}


def sums(rng: np.random.Generator) -> str:
    """Make an addition with its result, such as 37+45=82."""
    a, b = rng.integers(0, 100, 2)
    return f"{a}+{b}={a + b}\n"


def brackets(rng: np.random.Generator) -> str:
    """Make brackets of three kinds that close in the right order, such as ([]{})."""
    text, to_close = "", ""
    while len(text) < 4 or (to_close and len(text) < 24):
        if to_close and rng.random() < 0.5:
            text, to_close = text + to_close[-1], to_close[:-1]
        else:
            kind = int(rng.integers(3))
            text, to_close = text + "([{"[kind], to_close + ")]}"[kind]
    return text + to_close[::-1] + "\n"


def sentences(rng: np.random.Generator) -> str:
    """Make a sentence of four parts, such as the fox finds a song at night."""
    return " ".join(str(rng.choice(words)) for words in WORDS.values()) + ".\n"


def copies(rng: np.random.Generator) -> str:
    """Repeat a random word of capitals, such as QXKRV:QXKRV."""
    word = "".join(map(chr, rng.integers(ord("A"), ord("Z") + 1, rng.integers(4, 9))))
    return f"{word}:{word}\n"


DOMAINS = {make.__name__: make for make in (sums, brackets, sentences, copies)}


def sample_text(domain: str, length: int, rng: np.random.Generator) -> IntArray:
    """Draw `length` tokens of one domain."""
    _check_domain(domain)
    text = ""
    while len(text) < length:
        text += DOMAINS[domain](rng)
    return np.frombuffer(text[:length].encode("ascii"), np.uint8).astype(np.int64)


def _check_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise InputError(f"domain = {domain!r}: must be one of: {', '.join(DOMAINS)}")


def batches(batch: int, length: int, *, seed: int, domains: tuple[str, ...] = tuple(DOMAINS)) -> Iterator[IntArray]:
    """Return endless batches, [batch, length]; sequences take domains in turn.

    Args:
        batch: sequences.
        length: tokens per sequence, one more than a model reads.
        seed: of the texts.
        domains: keys of DOMAINS.
    """
    check_integer("batch", batch)
    check_integer("length", length)
    check_integer("seed", seed, least=0)
    if not domains:
        raise InputError(f"domains = {domains!r}: must name at least one of: {', '.join(DOMAINS)}")
    for domain in domains:
        _check_domain(domain)
    rng, in_turn = np.random.default_rng(seed), list(itertools.islice(itertools.cycle(domains), batch))
    return (np.stack([sample_text(domain, length, rng) for domain in in_turn]) for _ in itertools.repeat(None))


def decode_text(tokens: IntArray) -> str:
    """Return tokens, [T], as text."""
    return bytes(np.asarray(tokens, np.uint8)).decode("ascii", "replace")
