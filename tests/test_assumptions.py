"""The file of assumptions: what a slip in it says, and what the names beside it are made of."""

import pytest

from repro.claims.assumptions import ASSUMPTIONS, GPUS, MODELS, PEAKS, assumption, load_assumptions
from repro.errors import InputError
from repro.facts import load

GOOD = """
[rent]
help = "of one GPU"
domain = "in (0, 100]"
default = 2.0
unit = "USD per GPU hour"

[gpus]
help = "at work"
domain = "in [1, 1e9]"
fact = "deepseek_v3.gpus"
whole = true
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "assumptions.toml"
    path.write_text(GOOD)
    return path


def test_a_good_file(path):
    rent, gpus = (entry.user_input(load()) for entry in load_assumptions(path).values())
    assert (rent.name, rent.default, rent.unit, rent.domain, rent.help) == (
        "rent", 2.0, "USD per GPU hour", "in (0, 100]", "of one GPU",
    )  # fmt: skip
    assert (gpus.default, gpus.type, gpus.unit) == (2048, "int", "H800 GPUs")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('help = "at work"\n', "", "gpus: has no help"),
        ('help = "at work"', 'wording = "at work"', "gpus: has no help"),
        (
            'help = "at work"',
            'help = "at work"\nwording = "so"',
            "gpus: wording = 'so': extra inputs are not permitted",
        ),
        ('help = "at work"', 'help = "at work"\nkey = "gpu"', "gpus: key = 'gpu': the table's own name is the key"),
        ("whole = true", 'whole = "yes"', "gpus: whole = 'yes': input should be a valid boolean"),
        ("default = 2.0\n", "", "rent: default: must be given, either here or by a fact, and not by both"),
        ("default = 2.0", 'default = 2.0\nfact = "price.h800_v3_report"', "rent: default: must be given"),
        ("default = 2.0", "default = 200.0", "rent: default = 200.0: must be in (0, 100]"),
        ("default = 2.0", "default = nan", "rent: default = nan: must be in (0, 100]"),
        ('unit = "USD per GPU hour"\n', "", "rent: has no unit"),
        ("in [1, 1e9]", "at least 1", "gpus: domain: domain 'at least 1' is none of"),
        ("[rent]", "rent = 2\n[price]", "rent: must be a table with its fields, not a bare 2"),
        ("[rent]", "[rent", "is not valid TOML"),
    ],
)
def test_a_slip_is_one_line_that_names_file_assumption_and_field(path, old, new, message):
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        load_assumptions(path)
    assert str(refused.value).startswith(f"assumptions.toml: {message}")
    assert "\n" not in str(refused.value)


def test_every_default_lies_in_its_domain_and_comes_from_a_fact_that_exists():
    for entry in ASSUMPTIONS.values():
        user_input = entry.user_input(load())
        assert user_input.check(user_input.default) == user_input.default
        assert user_input.unit
        assert user_input.help


def test_the_lists_of_names_are_the_choices():
    facts = load()
    assert (ASSUMPTIONS["peak"].domain, PEAKS[0], PEAKS[-1]) == (" | ".join(PEAKS), "fp8_sparse", "bf16_dense")
    assert ASSUMPTIONS["utilisation_peak"].choices == PEAKS
    assert all(facts[f"{gpu}.{peak}_flop_per_s"].value > 0 for gpu in GPUS for peak in PEAKS)
    assert all(facts.model(name) for name in MODELS)


def test_an_unknown_assumption_suggests_the_nearest():
    with pytest.raises(InputError, match="unknown assumption 'price'; did you mean price_usd_per_gpu_hour"):
        assumption("price")
