"""Claims about running the models: speed, memory, price: notebook 06."""

from repro.calc import kv_cache, memory, parameters, serving
from repro.calc.compute import multiplied_parameters
from repro.claims.audit import Finding
from repro.claims.audits.hardware import audits
from repro.claims.models import shape
from repro.claims.verdict import Case, readings
from repro.claims.words import percent, short
from repro.facts import Ledger

GB = 1e9
# Models with a list price in May 2024, the month of V2.
PRICED = (
    "v2", "gpt_4_turbo", "gpt_3_5_turbo", "gemini_1_5_pro", "claude_3_opus", "claude_3_sonnet", "claude_3_haiku",
    "mixtral_8x22b", "mixtral_8x7b", "llama_3_70b",
)  # fmt: skip


@audits("A13")
def doubled_speed(facts: Ledger, *, acceptance: float) -> Finding:
    """The reported speed-up, and the bound from acceptance and from the cost of a draft."""
    v3 = shape(facts, "deepseek_v3")
    main = multiplied_parameters(v3, mtp_counted=False)
    draft = multiplied_parameters(v3, mtp_counted=True) / main - 1
    bound = serving.speculative_tokens_per_step(acceptance)
    computed = serving.speculative_speedup(acceptance, draft_cost=draft)
    return Finding(
        "ratio",
        (
            *readings(
                "speedup",
                {
                    "tokens per second, as reported": facts["mtp.speedup"],
                    f"from an acceptance of {percent(acceptance)}, drafts free": bound,
                    f"from the same, a draft at its share of the parameters, {percent(draft)}": computed,
                },
            ),
            Case("throughput of a server full of users", None),
        ),
        f"One drafted token accepted {percent(acceptance)} of the time gives {short(bound, 3)} tokens a step, "
        f"{short(computed, 3)} with the draft's work counted; the report states {short(facts['mtp.speedup'])}. To "
        f"double exactly, an acceptance of {percent(1 + 2 * draft)} would be needed. The printed word is read to one "
        "digit.",
        digits=3,
    )


@audits("A14")
def consumer_hardware(facts: Ledger, *, weight_bits: float) -> Finding:
    """Bytes of V3's weights over the memory of consumer cards and of small machines."""
    v3 = shape(facts, "deepseek_v3")
    total = parameters.total_parameters(v3)
    stored = memory.weights_bytes(total, bits_per_parameter=weight_bits)
    four_bits = facts["consumer_server.weight_bits"]
    small = memory.weights_bytes(total, bits_per_parameter=four_bits)
    machines = {
        f"one consumer card, {short(weight_bits)}-bit weights": stored / facts["rtx_5090.memory_bytes"],
        f"one consumer card, {short(four_bits)}-bit weights": small / facts["rtx_5090.memory_bytes"],
        f"a desktop's memory, {short(four_bits)}-bit weights": small / facts["desktop_ddr5.memory_bytes"],
        f"a workstation of 512 GB, {short(four_bits)}-bit weights": small / facts["mac_studio_m3_ultra.memory_bytes"],
        f"a server of 1 TB with a consumer card, {short(four_bits)}-bit weights": (
            small / facts["xeon_8_channel.memory_bytes"]
        ),
    }
    touched = serving.touched_bytes_per_token(
        parameters.active_parameters(v3, embedding_counted=False), bits_per_parameter=four_bits
    )
    speed = facts["consumer_server.tokens_per_s_by_its_software"]
    bound = serving.bandwidth_bound_tokens_per_s(touched, facts["xeon_8_channel.memory_bytes_per_s"])
    return Finding(
        "of the memory",
        tuple(Case(what, share, true=share <= 1) for what, share in machines.items()),
        f"All {short(stored / GB, 3)} GB of weights, or {short(small / GB, 3)} GB at {short(four_bits)} bits, must be "
        f"resident, since any token may choose any expert; a token touches {short(touched / GB, 3)} GB of the latter. "
        f"That a server's memory gives {short(bound, 3)} tokens a second at most, and {short(speed)} were measured. "
        "The experts are parts of one model, not models.",
        digits=3,
    )


@audits("B09")
def one_of_the_cheapest(facts: Ledger, *, price_usd_per_gpu_hour: float) -> Finding:
    """V2's list price among those of its month, and its cost per token at the reported throughput."""
    places, cheaper = {}, {}
    for way in ("input", "output"):
        prices = {name: facts[f"price.{name}_{way}"] for name in PRICED}
        cheaper[way] = sum(price < prices["v2"] for price in prices.values())
        places[f"list price of {way}, place among {len(PRICED)} models of May 2024"] = cheaper[way] + 1
    node_usd = price_usd_per_gpu_hour * facts["inference_day.gpus_per_node"]
    cost = serving.usd_per_million_tokens(node_usd, 3600 * facts["deepseek_v2.output_tokens_per_node_s"])
    cached = {name: kv_cache.elements_per_token(shape(facts, name)) for name in ("deepseek_v2", "deepseek_67b")}
    return Finding(
        "place",
        (
            *(Case(what, place, true=4 * place <= len(PRICED)) for what, place in places.items()),
            Case("cost of running it, against the others' costs", None),
        ),
        f"At ${short(facts['price.v2_input'])} and ${short(facts['price.v2_output'])} per million tokens, "
        f"{cheaper['input']} of the others listed were cheaper for input and {cheaper['output']} for output; one of "
        f"the cheapest is read as the cheapest quarter. At ${short(price_usd_per_gpu_hour)} per GPU hour and its "
        f"reported peak of output a million tokens cost ${short(cost, 2)}. Its cache keeps "
        f"{short(cached['deepseek_v2'])} elements per token against {short(cached['deepseek_67b'])}, so more users "
        "share a machine; what others pay is not public.",
        digits=2,
    )
