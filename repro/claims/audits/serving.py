"""Claims about running the models: speed, memory, price."""

from math import ceil

from repro.calc import memory, param_count, serving
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_si
from repro.claims.scenarios import architecture
from repro.claims.verdict import Case
from repro.facts import Ledger

GB = 1e9
# Models with a list price in May or June 2024, open ones at one host's: large ones, and small ones.
LARGE = (
    "v2", "gpt_4", "gpt_4_turbo", "gpt_4o", "gpt_3_5_turbo", "gemini_1_5_pro", "claude_3_opus", "claude_3_sonnet",
    "claude_3_haiku", "mistral_large", "mixtral_8x22b", "mixtral_8x7b", "llama_3_70b", "abab_6_5", "abab_6_5s",
    "ernie_4", "glm_4", "moonshot_v1", "qwen_1_5_72b",
)  # fmt: skip
SMALL = ("llama_3_8b", "gemma_7b")


@audit("A14", notebook="06_hardware_and_serving", unit="times the memory", digits=3)
def consumer_hardware(facts: Ledger, *, weight_bits: float) -> Answer:
    """Divide V3's weights by the memory of a consumer card, a desktop and a workstation; size one expert."""
    v3 = architecture(facts, "deepseek_v3")
    total, four_bits = param_count.total_parameters(v3), facts["consumer_server.weight_bits"]
    stored, small = (memory.weights_bytes(total, bits_per_parameter=bits) for bits in (weight_bits, four_bits))
    bits = f"{format_si(four_bits)}-bit weights"
    machines = {
        "one consumer card, weights of the bits assumed": stored / facts["rtx_5090.memory_bytes"],
        f"one consumer card, {bits}": small / facts["rtx_5090.memory_bytes"],
        f"a desktop's memory, {bits}": small / facts["desktop_ddr5.memory_bytes"],
        f"a workstation of 512 GB, {bits}": small / facts["mac_studio_m3_ultra.memory_bytes"],
    }
    expert = param_count.expert_parameters(v3)
    active = param_count.active_parameters(v3, embedding_counted=False)
    touched = serving.touched_bytes_per_token(active, bits_per_parameter=four_bits)
    cases = (Case(name, share, is_true=share <= 1, wording_ok=expert >= total) for name, share in machines.items())
    at_four = ceil(small / facts["rtx_5090.memory_bytes"])
    one_expert = expert * weight_bits / memory.BITS_PER_BYTE / facts["rtx_5090.memory_bytes"]
    return Answer(
        (*cases, Case("one expert alone on a consumer card", one_expert, is_true=True, wording_ok=expert >= total)),
        f"At {format_si(four_bits)} bits V3 needs {at_four} consumer cards; experts aren't small models",
        f"All weights, {format_si(stored / GB, 3)} GB at {format_si(weight_bits)} bits or {format_si(small / GB, 3)} "
        f"GB at {format_si(four_bits)}, must be resident, since any token may choose any expert; a token touches "
        f"{format_si(touched / GB, 3)} GB of the latter, and {format_si(facts['mac_studio_m3_ultra.tokens_per_s'])} "
        f"tokens a second are reported of the workstation. An expert, {format_si(expert)} of {format_si(total)} "
        "parameters, is a part of one model and no model.",
        "consumer-grade hardware is what people have at home",
    )


@audit("B09", notebook="06_hardware_and_serving", unit="(rank by price)", digits=2)
def one_of_the_cheapest(facts: Ledger, *, price_usd_per_gpu_hour: float) -> Answer:
    """Rank V2's list price among its contemporaries', and work out its cost per token at the reported throughput."""
    lists = {"large models": LARGE, "large and small models": (*LARGE, *SMALL)}
    places = {name: max(place_of_v2(facts, names, way) for way in ("input", "output")) for name, names in lists.items()}
    listed = " and ".join(f"place {place} of {len(lists[name])} among {name}" for name, place in places.items())
    node_usd = price_usd_per_gpu_hour * facts["inference_day.gpus_per_node"]
    cost = serving.usd_per_million_tokens(node_usd, 3600 * facts["deepseek_v2.output_tokens_per_node_s"])
    cases = [
        Case(f"list prices of input and output among {name}", place, is_true=4 * place <= len(lists[name]))
        for name, place in places.items()
    ]
    own = facts["price.v2_input_cny"]
    cheaper = sum(facts[f"price.{name}_input_cny"] < own for name in ("doubao_pro", "qwen_long"))
    free = int(facts["price.free_models_2024"])
    later, of_all = places["large and small models"] + cheaper + free, len(lists["large and small models"]) + 2 + free
    reading = f"list prices two weeks later, after others had cut theirs or gone free, of {of_all}"
    cases.append(Case(reading, later, is_true=4 * later <= of_all))
    place, of = places["large models"], len(LARGE)
    return Answer(
        (*cases, Case("cost of running it, against the others' costs", None)),
        f"At launch V2's list price was number {place} of {of} large models",
        f"At ${format_si(facts['price.v2_input'])} and ${format_si(facts['price.v2_output'])} per million tokens V2 "
        f"takes {listed} whose list prices in May or June 2024 were found. One of the cheapest is read as the cheapest "
        f"quarter. At ${format_si(price_usd_per_gpu_hour)} per GPU hour and its reported peak of output a million "
        f"tokens cost ${format_si(cost, 2)}, at {format_si(facts['deepseek_v2.throughput_ratio'])} times DeepSeek "
        "67B's throughput; what others pay is not public.",
        "what a model costs to run is, for its users, the list price",
    )


def place_of_v2(facts: Ledger, names: tuple[str, ...], way: str) -> int:
    """Return V2's place among models by list price, 1 for the cheapest; way: "input" or "output"."""
    price = facts[f"price.v2_{way}"]
    return 1 + sum(facts[f"price.{name}_{way}"] < price for name in names)
