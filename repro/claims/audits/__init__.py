"""One audit function per claim, grouped by topic; importing this package registers them all."""

from repro.claims.audits import (  # noqa: F401
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
)  # fmt: skip
