"""The register of claims, one audit function per claim, and the rule that gives the verdict."""

import repro.claims.audits  # noqa: F401, registers every audit
from repro.claims.audit import AuditResult, Finding, count_verdicts, result_to_json, run_all, run_audit, under
from repro.claims.register import Claim, Printed, load_register
from repro.claims.verdict import Case, Verdict, judge

__all__ = [
    "AuditResult", "Case", "Claim", "Finding", "Printed", "Verdict", "count_verdicts", "judge", "load_register",
    "result_to_json", "run_all", "run_audit", "under",
]  # fmt: skip
