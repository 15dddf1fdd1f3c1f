"""The command line as a user calls it: in a process of its own, from another folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repro.claims import count_verdicts, load_register, run_all

ROOT = Path(__file__).parents[1]


def test_claims_as_a_table(repro):
    done = repro("claims")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    ids = [claim.id for claim in load_register().claims]
    assert [line.split()[0] for line in lines if line.split() and line.split()[0] in ids] == ids
    tally = ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(run_all()).items())
    assert lines[-1] == f"{len(ids)} claims: {tally}"


def test_claims_as_json(repro):
    claims = json.loads(repro("claims", "--json").stdout)
    assert [claim["id"] for claim in claims] == [claim.id for claim in load_register().claims]
    total = next(claim for claim in claims if claim["id"] == "A46")
    assert (total["verdict"], total["value"], total["unit"]) == ("holds", 5_576_000, "USD")
    assert [figure["text"] for figure in total["printed"]] == ["$2", "$5.576 million"]


def test_an_audit_in_words(repro):
    out = repro("audit", "b06").stdout
    assert out.startswith("B06: misleading\nV3 took 2.79 million GPU hours, V2's pre-training 1.4 million\n")
    assert "2.79M GPU hours: V3, all stages (holds)" in out
    assert "Read as V2's pre-training by its reported rate: the sentence says V2/V3, on a" in out
    assert "deepseek_v2.gpu_hours_per_trillion_tokens: v2_report, section 3.2.3 (reported)" in out


def test_a_single_reading_is_not_listed_and_several_are(repro):
    # A46 has one reading; B03 has three, of which two hold.
    assert "(holds)" not in repro("audit", "A46").stdout
    assert "(holds)" in (several := repro("audit", "B03").stdout)
    assert "(wrong)" in several


def test_a_source_that_was_read_in_a_copy_says_so(repro):
    out = " ".join(repro("audit", "B15").stdout.split())
    assert "section III: PCIe A100 (reported, read in: a copy of the paper's text)" in out
    sources = json.loads(repro("audit", "B15", "--json").stdout)["sources"]
    assert "a copy of the paper's text" in [source["via"] for source in sources]


def test_an_audit_under_another_assumption(repro):
    data = json.loads(repro("audit", "A46", "--set", "price_usd_per_gpu_hour=3", "--json").stdout)
    # the claim states its rent, so it is judged under that
    assert (data["verdict"], data["value"]) == ("holds", 5_576_000)
    assert "At $3 they would cost $8.364M." in data["explanation"]
    assert data["assumptions"]["price_usd_per_gpu_hour"] == {
        "value": 3.0,
        "unit": "USD per GPU hour",
        "set_by_user": True,
    }
    assert [source["key"] for source in data["sources"]] == ["deepseek_v3.total_gpu_hours", "price.h800_v3_report"]


def test_context_is_cited_and_not_judged(repro):
    out = repro("audit", "A04").stdout
    assert out.startswith("A04: context\n")
    assert "recomputed" not in out
    data = json.loads(repro("audit", "A04", "--json").stdout)
    assert (data["value"], data["verdict"], data["cases"]) == (None, "context", [])
    assert {source["source"] for source in data["sources"]} == {"reuters_nvidia"}


def test_a_published_file_is_among_the_sources(repro):
    sources = json.loads(repro("audit", "A15", "--json").stdout)["sources"]
    config = next(source for source in sources if source["key"] == "config.deepseek_v3")
    assert (config["value"], config["unit"], config["source"]) == (None, "file", "hf_deepseek_v3")


def test_facts(repro):
    assert "H800 GPUs" in repro("facts").stdout
    assert "arXiv:2412.19437" in repro("facts", "deepseek_v3.gpus").stdout
    group = json.loads(repro("facts", "price", "--json").stdout)
    assert {fact["key"].split(".")[0] for fact in group} == {"price"}
    assert all(fact["reference"]["title"] and fact["standing"] for fact in group)


def test_a_published_file_is_a_source_too(repro):
    assert "claims: " in repro("facts", "config.deepseek_v3").stdout
    (entry,) = json.loads(repro("facts", "config.deepseek_v3", "--json").stdout)
    assert (entry["file"], entry["reference"]["url"]) == (
        "deepseek_v3.json",
        "https://huggingface.co/deepseek-ai/DeepSeek-V3",
    )


def test_notebooks_with_their_parameters(repro):
    notebooks = json.loads(repro("notebooks", "--json").stdout)
    assert [notebook["name"] for notebook in notebooks] == sorted(
        path.stem for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    price = next(one for one in notebooks[2]["parameters"] if one["name"] == "price_usd_per_gpu_hour")
    assert price == {
        "name": "price_usd_per_gpu_hour",
        "type": "float",
        "default": 2.0,
        "unit": "USD per GPU hour",
        "domain": "in (0, 1e6]",
        "help": "rent, as the V3 report assumes it",
    }
    assert "price_usd_per_gpu_hour: float = 2" in repro("notebooks").stdout


def test_help_and_version_are_no_errors(repro):
    assert repro("--help").returncode == 0
    assert "name=value" in repro("run", "--help").stdout
    assert repro("--version").stdout.startswith("repro ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clams"], "unknown command 'clams'; did you mean claims?"),
        ([], "the following arguments are required: COMMAND (see repro --help)"),
        (["claims", "--jsn"], "unrecognized arguments: --jsn"),
        (["audit"], "the following arguments are required: ID"),
        (["audit", "A477"], "unknown claim 'A477'; did you mean A47?"),
        (["audit", "A46", "--set", "price=3"], "unknown assumption 'price'; did you mean price_usd_per_gpu_hour?"),
        (["audit", "A46", "--set", "tokens=3"], "A46 does not depend on tokens; it takes: total_gpu_hours"),
        (["audit", "A46", "--set", "price_usd_per_gpu_hour"], "--set price_usd_per_gpu_hour: must read name=value"),
        (["audit", "A46", "--set", "price_usd_per_gpu_hour=0"], "price_usd_per_gpu_hour = 0: must be a float in (0,"),
        (["audit", "A46", "--set", "price_usd_per_gpu_hour=abc"], "price_usd_per_gpu_hour = abc: must be a float"),
        (["audit", "A48", "--set", "utilisation=1.2"], "utilisation = 1.2: must be a float in (0, 1]"),
        (["audit", "A32", "--set", "tokens=nan"], "tokens = nan: must be a float in [1e6, 1e18] [tokens]"),
        (["audit", "A07", "--set", "gpus=0"], "gpus = 0: must be an int in [1, 1e9] [H800 GPUs]"),
        (
            ["audit", "A34", "--set", "peak=fp16"],
            "peak = fp16: must be fp8_sparse | fp8_dense | bf16_sparse | bf16_dense",
        ),
        (["audit", "A34", "--set", "gpu=b200"], "gpu = b200: must be h100_sxm | h100_pcie | h800_sxm"),
        (
            ["audit", "A09", "--set", "total_gpu_hours=1"],
            "A09 takes no assumptions, so 'total_gpu_hours' cannot be set",
        ),
        (["audit", "A46", "--set", "total_gpu_hours=1", "--set", "total_gpu_hours=2"], "--set total_gpu_hours=2: tot"),
        (["facts", "deepseek_v3.gpu"], "unknown fact 'deepseek_v3.gpu'; did you mean deepseek_v3.gpus?"),
        (["run", "99"], "unknown notebook '99'; there are: 00_scoreboard, 01_flops"),
        (["run", "01_flop_to_gpu_hours"], "did you mean 01_flops_to_gpu_hours?"),
        (["run", "02", "-p", "prise_usd_per_gpu_hour=3"], "did you mean price_usd_per_gpu_hour?"),
        (["run", "02", "-p", "price_usd_per_gpu_hour=-3"], "price_usd_per_gpu_hour = -3: must be a float in (0, 1e6]"),
        (["run", "02", "-p", "gpus=many"], "gpus = many: must be an int in [1, 1e9]"),
        (["run", "01", "-p", "utilisation=0"], "utilisation = 0: must be a float in (0, 1]"),
        (["run", "--in-place", "-p", "tokens=1e12"], "--in-place runs the committed notebooks as they are"),
        (["run", "02", "-o", ROOT / "notebooks"], "holds the committed notebooks; choose another folder"),
        (["check", "99"], "unknown notebook '99'"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(refuses, tmp_path, arguments, message):
    assert message in refuses(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_facts_file_is_named(tmp_path, refuses):
    shutil.copytree(ROOT / "repro", tmp_path / "repro")
    prices = tmp_path / "repro/facts/data/prices.toml"
    text = prices.read_text()
    prices.write_text(text.replace('source = "v3_report"\n', "", 1))
    assert refuses("claims", cwd=tmp_path) == "prices.toml: price.h800_v3_report: has no source"
    prices.write_text(text[:200])
    assert refuses("facts", cwd=tmp_path).startswith("prices.toml: ")
    prices.unlink()
    assert "unknown fact 'price.h800_v3_report'" in refuses("claims", cwd=tmp_path)


def test_a_reader_that_leaves_early_is_no_mistake():
    command = f"{sys.executable} -m repro claims --json | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[\n", "")


@pytest.mark.slow
def test_the_short_list_tells_verdict_claim_and_truth_of_the_best_known_claims(repro):
    lines = repro("claims", "--short").stdout.splitlines()
    assert lines[:2] == [
        "A08  mostly holds  V3's final training run cost about $5.5M",
        " " * 19 + "$5.576M at $2 an hour, $9.535M at a market price",
    ]
    assert lines[-1].startswith("67 claims: 20 holds, 16 mostly holds")
    assert len(lines) == 2 * 8 + 2
