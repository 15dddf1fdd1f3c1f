"""A mistyped fact does not pass: the script that looks for facts that nobody guards finds none, and finds a new one."""

import sys
from pathlib import Path

import pytest

from repro.facts import Fact, Facts, load

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import unguarded_facts as script

KEY = "deepseek_v3.new"


def with_fact(value, key=KEY):
    known = load()
    fact = Fact(key=key, value=value, unit="GPUs", source="v3_report", locator="section 0", provenance="reported")
    return Facts({**known, key: fact}, known.references, known.published)


def test_every_fact_is_guarded():
    assert script.unguarded(load()) == []


def test_a_fact_that_nobody_guards_is_found():
    assert script.unguarded(with_fact(7)) == [KEY]


@pytest.mark.parametrize(
    ("value", "sign", "wrong"), [(2048, 1, 2068), (8, 1, 9), (8, -1, 7), (2.0, 1, 2.02), (0.5, -1, 0.495)]
)
def test_a_mistyped_value_is_off_by_one_per_cent_or_by_one(value, sign, wrong):
    facts = script.mistyped(with_fact(value), KEY, sign)
    assert facts[KEY].value == pytest.approx(wrong, rel=1e-12)
    assert [key for key in facts if facts[key] != with_fact(value)[key]] == [KEY]


@pytest.mark.parametrize(
    ("guard", "noticed", "not_noticed"),
    [
        (script.noticed_by_audits, "price.h800_v3_report", "mtp.vllm_speedup_1_per_s"),
        (script.noticed_by_tests, "mtp.vllm_speedup_1_per_s", "deepseek_v3.expert_ranks"),
        (script.noticed_by_notebooks, "deepseek_v3.expert_ranks", "forty_five_times.ratio"),
    ],
)
def test_each_guard_notices_what_it_sees(guard, noticed, not_noticed):
    keys = set(guard(load(), 1, False))
    assert noticed in keys
    assert not_noticed not in keys


TESTS = """
import pytest
from repro.facts import load

FACTS = load()

@pytest.mark.parametrize("one", [1, 2])
@pytest.mark.parametrize(("two", "three"), [(3, 4), (5, 6)])
def test_a(one, two, three):
    assert one < two < three
    assert FACTS["deepseek_v3.new"].value == 7
"""


def test_a_test_file_is_run_with_the_facts_given_and_all_its_parameters():
    code = compile(TESTS, "tests", "exec")
    assert script.passes(code, with_fact(7))
    assert not script.passes(code, with_fact(8))
    assert not script.passes(compile(TESTS.replace("(5, 6)", "(6, 5)"), "tests", "exec"), with_fact(7))
    reads = script.ReadFacts(with_fact(7))
    script.passes(code, reads)
    assert reads.read == {KEY}


def test_a_walk_through_all_keys_reads_nothing_and_a_group_its_own():
    reads = script.ReadFacts(load())
    assert len(list(reads)) == len(load())
    reads.under("bytes.v3")
    assert reads.read == {f"bytes.v3.{part}" for part in ("weights", "gradients", "master_weights", "moments")}
