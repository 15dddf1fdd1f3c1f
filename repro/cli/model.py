"""`repro model`: any model from its published configuration."""

import argparse
import json
from pathlib import Path
from typing import Any

from repro.calc.report import describe_model, train_cost_table
from repro.claims.assumptions import PEAKS, assumption
from repro.claims.formatting import format_percent, format_si, format_usd
from repro.cli.options import add_inputs, add_json, by_option, parse_inputs
from repro.cli.printing import clean, print_field, print_json, print_table
from repro.errors import InputError
from repro.facts import Facts, load
from repro.inputs import UserInput
from repro.models.hf_config import architecture_from_hf, model_type, read_config

GPUS = ("h100_sxm", "h100_pcie", "h800_sxm", "a100_sxm")
# Ways of counting FLOP that make up a run's, each with its name for people.
WAYS = {
    "six_n_d": "6ND, N with embedding and head",
    "causal": "counted, causal attention",
    "full": "counted, full attention",
    "causal_with_mtp": "counted, causal, MTP modules too",
    "full_with_mtp": "counted, full, MTP modules too",
}


def inputs(facts: Facts) -> dict[str, UserInput]:
    """Return the options that take a value, by name, with their defaults, domains and help."""

    def like(name: str) -> tuple[Any, str, str]:
        known = assumption(name).user_input(facts)
        return known.default, known.unit, known.domain

    gpus, peaks, bits = " | ".join(GPUS), " | ".join(PEAKS), "bits per element of the cache"
    own_tokens = "training tokens (default: the model's own, where published)"
    utilisation = like("utilisation")[0], "share of --peak", "in (0, 1]"
    options = (
        UserInput("tokens", *like("tokens"), own_tokens),
        UserInput("gpu", "h100_sxm", "GPU", gpus, f"whose peak rate is taken: {gpus}"),
        UserInput("peak", "bf16_dense", "rate", peaks, f"the peak rate that --utilisation refers to: {peaks}"),
        UserInput("utilisation", *utilisation, "share of that peak, as Llama 3.1 405B reports"),
        UserInput("price", *like("price_usd_per_gpu_hour"), "USD per GPU hour, as the V3 report assumes"),
        UserInput("sequence-length", *like("sequence_length"), "tokens of a training sequence, for attention"),
        UserInput("cache-bits", 16.0, bits, "in (0, 64]", bits),
    )
    return by_option(options)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="NAME|config.json", help="a built-in model, such as deepseek_v3, or a file")
    add_inputs(parser, inputs(load()))
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Print what a configuration says of a model: parameters, cache, FLOPs, bytes of weights, GPU hours, dollars."""
    facts = load()
    values = parse_inputs(args, inputs(facts))
    name, config, source, tokens = _find(facts, args.model)
    if args.tokens is None:
        values["tokens"] = tokens
    try:
        data = {"model": name, "model_type": model_type(config), "source": source, **_data(facts, config, values)}
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    try:
        json.dumps(data, allow_nan=False)
    except ValueError:
        chosen = ", ".join(f"--{option.replace('_', '-')} {value}" for option, value in values.items())
        raise InputError(f"{name}: these options together lead out of the range of numbers: {chosen}") from None
    return print_json(data) if args.json else _print(data)


def _find(facts: Facts, name: str) -> tuple[str, dict[str, Any], str, float | None]:
    """Return title, configuration, source and training tokens of a file, or of a built-in model."""
    if path := _path(facts, name):
        return name, read_config(path), name, None
    entry = facts.model(name)
    tokens = float(facts[entry.tokens].value) if entry.tokens else None
    return entry.title, entry.content, f"{facts.references[entry.source].citation}, {entry.locator}", tokens


def _path(facts: Facts, name: str) -> Path | None:
    """Return the file or folder that is meant, None for a built-in model.

    A built-in key, such as deepseek_v3, wins over a folder of that name; any other name that exists is a path.
    """
    if not name.strip() or "\0" in name or f"config.{name}" in facts.published:
        return None
    path = Path(name).expanduser() if name.startswith("~/") else Path(name)
    if name.lower().endswith(".json") or name.startswith((".", "/", "~")):
        return path
    try:
        return path if path.exists() else None
    except OSError:
        return None


def _data(facts: Facts, config: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    arch = architecture_from_hf(config)
    data = describe_model(arch, sequence_length=values["sequence_length"], cache_bits=values["cache_bits"])
    flop = data["train_flop_per_token"]
    data["training"] = _training(facts, {way: flop[way] for way in WAYS if way in flop}, values)
    flop["sequence_length"] = values["sequence_length"]
    return data


def _training(facts: Facts, flop_per_token: dict[str, float], values: dict[str, Any]) -> dict[str, Any]:
    """Return what is assumed of a run, and its GPU hours and dollars if the tokens are known."""
    gpu, peak = values["gpu"], values["peak"]
    key = f"{gpu}.{peak}_flop_per_s"
    if key not in facts:
        raise InputError(f"--peak {peak}: {gpu} multiplies in no FP8; choose bf16_dense or bf16_sparse")
    tokens, rate = {"tokens": values["tokens"]}, {"peak_flop_per_s": float(facts[key].value)}
    rate |= {"utilisation": values["utilisation"], "price_usd_per_gpu_hour": values["price"]}
    costs = {} if values["tokens"] is None else train_cost_table(flop_per_token, **tokens, **rate)
    return {**tokens, "gpu": gpu, "peak": peak, **rate, **costs}


def _print(data: dict[str, Any]) -> None:
    count, cache, flop = data["parameters"], data["kv_cache"], data["train_flop_per_token"]
    print(f"{clean(data['model'])} ({data['model_type']})\n")
    print_field("source", data["source"])
    print_field("parameters", f"{count['total']:,} in all")
    print_field("", f"{count['active']:,} active, embedding and head counted")
    print_field("", f"{count['active_without_embedding']:,} active, head counted")
    print_field("", f"{count['active_without_embedding_and_head']:,} active, neither counted")
    if count["mtp"]:
        print_field("", f"{count['mtp']:,} more in modules for multi-token prediction")
    print()
    _print_parts(count["parts"])
    if count["mtp_parts"]:
        print()
        _print_parts([{**row, "name": f"MTP {row['name']}"} for row in count["mtp_parts"]])
    print()
    size = f"{cache['bytes_per_token']:,.0f} bytes at {format_si(cache['bits_per_element'])} bits"
    print_field("kv cache", f"{cache['elements_per_token']:,} elements per token; {size}")
    weights = (f"{name.upper()} {format_si(size / 1e9)} GB" for name, size in data["weights_bytes"].items())
    print_field("weights", ", ".join(weights))
    print_field("FLOP per token", f"training, sequences of {flop['sequence_length']:,}")
    for way, words in {"two_n_d": "2ND, forward alone", **WAYS}.items():
        if way in flop:
            print_field("", f"{format_si(flop[way] / 1e9)} GFLOP: {words}")
    _print_training(data["training"])


def _print_parts(rows: list[dict[str, Any]]) -> None:
    names = [row["name"] for row in rows]
    total, active = ([f"{row[key]:,}" for row in rows] for key in ("total", "active"))
    share, active_share = ([format_percent(row[key]) for row in rows] for key in ("share", "active_share"))
    head = ("part", "parameters", "share", "active per token", "share of active")
    print_table(head, list(zip(names, total, share, active, active_share, strict=True)))


def _print_training(run: dict[str, Any]) -> None:
    if run["tokens"] is None:
        print_field("training", "give --tokens for GPU hours and dollars")
        return
    rate = f"{format_si(run['peak_flop_per_s'] / 1e12)} TFLOP/s"
    share = f"{format_percent(run['utilisation'])} of its {run['peak']} peak of {rate}"
    price = f"${format_si(run['price_usd_per_gpu_hour'])} per GPU hour"
    print_field("training", f"{format_si(run['tokens'])} tokens on {run['gpu']} at {share}, {price}")
    for way, hours in run["gpu_hours"].items():
        print_field("", f"{format_si(hours)} GPU hours, {format_usd(run['usd'][way])}: {WAYS[way]}")
