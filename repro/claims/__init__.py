"""The register of claims, one audit function per claim, and the rule that gives the verdict."""

from repro.claims.audit import AuditResult, Finding, count_verdicts, result_to_json, run_all, run_audit, under
from repro.claims.audits import (
    benchmarks,
    context,
    dollars,
    flops,
    hardware,
    hours,
    kv_cache,
    mechanisms,
    parameters,
    precision,
    serving,
)
from repro.claims.register import Claim, Printed, load_register
from repro.claims.verdict import Case, Verdict, judge

__all__ = [
    "AuditResult",
    "Case",
    "Claim",
    "Finding",
    "Printed",
    "Verdict",
    "benchmarks",
    "context",
    "count_verdicts",
    "dollars",
    "flops",
    "hardware",
    "hours",
    "judge",
    "kv_cache",
    "load_register",
    "mechanisms",
    "parameters",
    "precision",
    "result_to_json",
    "run_all",
    "run_audit",
    "serving",
    "under",
]  # fmt: skip
