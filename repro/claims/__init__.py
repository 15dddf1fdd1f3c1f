"""The register of claims, one audit function per claim, and the rule that gives the verdict."""

from repro.claims.audit import Finding, Result, as_json, run_all, run_audit
from repro.claims.audits import dollars, flops, hours
from repro.claims.register import Claim, Printed, load_register
from repro.claims.verdict import Case, Verdict, judge

__all__ = [
    "Case", "Claim", "Finding", "Printed", "Result", "Verdict",
    "as_json", "dollars", "flops", "hours", "judge", "load_register", "run_all", "run_audit",
]  # fmt: skip
