"""What uses a fact is found by running the audits, and by reading notebooks and modules without running them."""

import json

import pytest

from repro.claims import load_register, run_audit
from repro.claims.trace import assumptions_from, claims_reading, modules_reading, notebook_cells_reading
from repro.errors import InputError
from repro.facts import load


def test_the_claims_are_those_whose_results_list_the_fact_among_their_sources():
    for key in ("price.o1_output", "convention.days_per_month", "config.deepseek_67b"):
        claims = claims_reading(key)
        assert claims
        for claim in load_register().claims:
            assert (key in run_audit(claim.id).sources) == (claim.id in claims)


def test_a_fact_that_no_audit_reads_and_one_that_does_not_exist():
    assert claims_reading("a100_sxm.fp64_flop_per_s") == []
    with pytest.raises(InputError, match=r"did you mean deepseek_v3.gpus\?"):
        claims_reading("deepseek_v3.gpu")


def notebook(tmp_path, *cells):
    sources = [{"cell_type": "markdown", "source": ["# facts['deepseek_v3.gpus']"]}]
    sources += [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    (tmp_path / "01_x.ipynb").write_text(json.dumps({"cells": sources}))
    return tmp_path


@pytest.mark.parametrize(
    ("code", "read", "not_read"),
    [
        ('facts["deepseek_v3.gpus"]', "deepseek_v3.gpus", "deepseek_v3.gpus_per_node"),
        ('name = "gpus"\nfacts[f"deepseek_v3.{name}"]', "deepseek_v3.gpus", "deepseek_v3.tokens"),
        ('phase = "deepseek_v3.extension_1"\nfacts[f"{phase}_length"]', "deepseek_v3.extension_1_length",
         "deepseek_v3.sequence_length"),
        ('name = "MaxVio"\nfacts[f"balancing.paper_{name.lower()}"]', "balancing.paper_maxvio", "balancing.paper_loss"),
        ('facts[f"draft_{n}.speed"]', "draft_3.speed", "draft_x.speed"),
        ('facts[f"{gpu}.{peak}_flop_per_s"]', "h100_pcie.fp8_dense_flop_per_s", "h100_pcie.fp64_flop_per_s"),
        ('facts.under("price")', "price.o1_output", "prices.o1_output"),
        ('[key for key in facts if key.startswith("price.")]', "price.o1_output", "prices.o1_output"),
        ('print("price.")', None, "price.o1_output"),
        ('word = "price.o1_output"[:3]\nprint(f"{word}")', "price.o1_output", "price.o1_input"),
        ('print(f"{a} of deepseek_v3.gpus")', None, "deepseek_v3.gpus"),
    ],
)  # fmt: skip
def test_what_a_cell_may_read(tmp_path, code, read, not_read):
    folder = notebook(tmp_path, "import repro", code)
    assert read is None or notebook_cells_reading(read, folder) == {"01_x": [2]}
    assert notebook_cells_reading(not_read, folder) == {}


def test_a_hole_is_filled_with_words_of_other_cells(tmp_path):
    folder = notebook(tmp_path, 'gpu: str = "tpu_v5"  # GPU; tpu_v5; of the run', 'facts[f"{gpu}.memory_bytes"]')
    assert notebook_cells_reading("tpu_v5.memory_bytes", folder) == {"01_x": [2]}
    assert notebook_cells_reading("tpu_v6.memory_bytes", folder) == {}


def test_a_string_that_is_nothing_but_a_hole_reads_no_key(tmp_path):
    folder = notebook(tmp_path, 'facts["deepseek_v3.gpus"]', 'print(f"{name}")')
    assert notebook_cells_reading("deepseek_v3.gpus", folder) == {"01_x": [1]}


def test_the_committed_notebooks():
    assert notebook_cells_reading("llama_3_1_405b.train_flop_in_paper").keys() >= {"01_flops_to_gpu_hours"}
    assert "13_multi_token_prediction" in notebook_cells_reading("mtp.vllm_acceptance_low")


def test_modules_and_assumptions():
    assert modules_reading("llama_3_1_405b.utilisation_low") == ["repro.uncertainty.ranges"]
    assert modules_reading("deepseek_v3.tokens_per_day") == []
    assert modules_reading("price.o1_output") == []  # audits alone, which are traced by running them
    assert assumptions_from("server.pue") == ["pue"]
    assert assumptions_from("server.network_overhead") == []


def test_every_fact_is_used_by_a_claim_a_notebook_a_module_or_a_default_or_conflicts_with_another():
    facts = load()
    read = {key for claim in load_register().claims for key in run_audit(claim.id).sources}
    tokens = {entry.tokens for entry in facts.published.values()}
    rest = [key for key in facts if key not in read | tokens and not facts[key].conflicts_with]
    used = (notebook_cells_reading, modules_reading, assumptions_from)
    assert [key for key in rest if not any(uses(key) for uses in used)] == []
