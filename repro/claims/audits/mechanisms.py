"""Claims about balancing and multi-token prediction, whose mechanisms run at toy size."""

from repro.calc import serving
from repro.calc.scores import compare, tally
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.scenarios import V3_DOMAINS, describe_losses, describe_tallies, draft_share, net_wins, percentages
from repro.claims.verdict import Case, readings
from repro.facts import Ledger


@audit("A13", notebook="13_multi_token_prediction", unit="ratio", digits=3)
def doubled_speed(facts: Ledger, *, acceptance: float) -> Answer:
    """Collect the reported speed-up, what acceptance and the cost of a draft allow, and what others measured."""
    draft, likelier = draft_share(facts), facts["mtp.acceptance_high"]
    bound = serving.speculative_tokens_per_step(acceptance)
    computed = serving.speculative_speedup(acceptance, draft_cost=draft)
    cluster = "throughput of a large cluster, where the baseline also lacks overlapped scheduling"
    least, most = (facts[f"mtp.amd_random_speedup_concurrency_{users}"] for users in (64, 1))
    speedups = {
        "tokens per second, as reported": facts["mtp.speedup"],
        f"tokens per pass if {format_percent(acceptance)} of drafts are accepted": bound,
        f"the same if {format_percent(likelier)} are": serving.speculative_tokens_per_step(likelier),
        f"if {format_percent(acceptance)} are, minus the draft's work, {format_percent(draft)}": computed,
        "throughput, at most, according to a later paper": facts["mtp.throughput_ratio"],
        "one user and one draft, as NVIDIA measured R1": facts["mtp.trtllm_speedup_draft_1"],
        "one user and three drafts, as NVIDIA measured R1": facts["mtp.trtllm_speedup_draft_3"],
        "32 sequences together, as SGLang measured": facts["mtp.sglang_speedup_batch_32"],
        cluster: facts["mtp.lmsys_large_throughput_ratio"],
    }
    measured = list(speedups.values())[5:]
    accepted = facts["mtp.deepseek_v3_2_tokens_per_pass"]
    return Answer(
        readings("speedup", speedups),
        f"{format_si(facts['mtp.speedup'])} times by the report; others measured {format_si(min(measured), 3)} to "
        f"{format_si(max(measured), 3)}",
        f"One drafted token accepted {format_percent(acceptance)} of the time gives {format_si(bound, 3)} tokens a "
        f"step, {format_si(computed, 3)} with the draft's work counted; the report states "
        f"{format_si(facts['mtp.speedup'])}. One draft a step can at most double, with every draft accepted and none "
        "costing anything; several drafts in a row, which the report does not use, did more for one user. Measured "
        f"gains shrink as more users share the machine. AMD measured {format_si(least)} for 64 users to "
        f"{format_si(most)} for one, but accepted drafts by a looser test, which changes the text; we leave these "
        f"out. For DeepSeek-V3.2, GLM-5's report counts {format_si(accepted)} tokens accepted a step, with several "
        "drafts.",
        "the report gives this figure for the speed of generation",
    )


@audit("A21", notebook="12_load_balancing", unit="comparisons, won minus lost")
def balancing_without_drawbacks(facts: Ledger, *, tie_points: float) -> Answer:
    """Compare loss-free balancing with auxiliary losses, in scores; say how even it is on one kind of text alone."""
    rows = facts.table("v3_table_5")
    pairs = {
        f"{size} model": percentages(compare(rows, f"{size} MoE Aux-Loss-Free", f"{size} MoE Aux-Loss-Based"))
        for size in ("Small", "Large")
    }
    least = min(net_wins(pair, tie_points) for pair in pairs.values())
    losses = ", ".join(name for pair in pairs.values() for name in describe_losses(pair, tie_points))
    models = [f"balancing.v3_{size}" for size in ("1b", "3b")]
    gaps = [facts[f"{model}_batch_wise_loss"] - facts[f"{model}_loss_free_loss"] for model in models]
    loss_based, loss_free = (
        [facts[f"balancing.v3_16b_{way}_{domain}_maxvio"] for domain in V3_DOMAINS]
        for way in ("loss_based", "loss_free")
    )
    weight = facts["balancing.v3_sequence_loss_weight"]
    before, after = (facts[f"balancing.paper_1b_{way}_maxvio"] for way in ("controlled", "loss_free"))
    won = sum(tally(pair, tie_points=tie_points)["won"] for pair in pairs.values())
    return Answer(
        (
            Case("most scores, against V2's auxiliary losses, at both sizes", least, is_true=least > 0),
            Case("every score, against the same", least, is_true=least > 0 and not losses),
        ),
        f"Loss-free balancing wins {won} of {sum(map(len, pairs.values()))} scores; V3 keeps a small loss",
        f"{describe_tallies(pairs, tie_points)}. Lost: {losses or 'none'}. The biases were published on "
        f"{facts.date('balancing.paper_1b_loss_free_maxvio')}, by DeepSeek; routing without such a loss is older, as "
        "by hash, which DeepSeek's own paper of January 2024 compares with. In separate runs at 1B and 3B a "
        f"batch-wise loss ends {format_si(max(map(abs, gaps)))} apart from it in validation loss. Over all texts the "
        f"method's own paper reports an imbalance of {format_si(after)} against {format_si(before)}. V3, and V4 in "
        f"{facts['deepseek_v4.year']:.0f}, keep a sequence-wise loss, in V3 of weight {format_si(weight)}. By design "
        "the method evens out all texts together and not each: on one kind of text alone, read off figure 10 of V3's "
        f"report, the imbalance is {', '.join(map(format_si, loss_free))} against "
        f"{', '.join(map(format_si, loss_based))} with the loss.",
        "performance improved if more scores rose than fell",
    )
