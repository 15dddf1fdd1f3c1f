"""The register of claims, one audit function per claim, and the rule that gives the verdict."""

from repro.claims.audit import Finding, Result, as_json, counts, run_all, run_audit, under
from repro.claims.audits import dollars, flops, hours
from repro.claims.register import Claim, Printed, load_register
from repro.claims.verdict import Case, Verdict, judge

__all__ = [
    "Case", "Claim", "Finding", "Printed", "Result", "Verdict",
    "as_json", "counts", "dollars", "flops", "hours", "judge", "load_register", "run_all", "run_audit", "under",
]  # fmt: skip
