"""The audit on one screen: the claims that most people have heard of, each with its verdict and what is true."""

from collections.abc import Iterable

from repro.claims.audit import AuditResult, count_verdicts

# What was asked most about V3 and V2: the sum, whose hours, 45 times, 37B, the cache, 8 bits, a laptop, two tokens.
KEY_CLAIMS = ("A08", "B06", "A10", "A15", "B08", "A19", "A14", "A13")


def key_results(results: Iterable[AuditResult]) -> list[AuditResult]:
    """Return the results of the key claims, in the order of KEY_CLAIMS."""
    by_id = {result.claim.id: result for result in results}
    return [by_id[claim_id] for claim_id in KEY_CLAIMS]


def tally(results: Iterable[AuditResult]) -> str:
    """Return how many claims have which verdict, in words."""
    known = list(results)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(known).items())
    return f"{len(known)} claims: {counts}"
