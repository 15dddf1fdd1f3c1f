"""What a parameter takes, and what it says of what it does not take."""

import math

import pytest

from repro.errors import InputError, nearest_name, unknown_name
from repro.inputs import UserInput, in_domain

PRICE = UserInput("price", 2.0, "USD", "> 0")
SHARE = UserInput("share", 0.4, "", "in (0, 1]")
GPUS = UserInput("gpus", 2048, "GPUs", "in [1, 1e9]")
PEAK = UserInput("peak", "fp8_dense", "rate", "bf16_dense | fp8_dense")
CAUSAL = UserInput("causal", True)


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (PRICE, "3", 3.0),
        (PRICE, "1e6", 1e6),
        (PRICE, " 2.5 ", 2.5),
        (SHARE, "1", 1.0),
        (GPUS, "1024", 1024),
        (GPUS, "1e3", 1000),
        (PEAK, "bf16_dense", "bf16_dense"),
        (CAUSAL, "false", False),
    ],
)
def test_good_texts_are_read_as_the_type_of_the_default(parameter, text, value):
    read = parameter.parse(text)
    assert read == value
    assert type(read) is type(parameter.default)


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (PRICE, "0"),
        (PRICE, "-1"),
        (PRICE, "nan"),
        (PRICE, "inf"),
        (PRICE, "abc"),
        (PRICE, ""),
        (SHARE, "0"),
        (SHARE, "1.0001"),
        (GPUS, "2.5"),
        (GPUS, "0"),
        (GPUS, "1e400"),
        (PEAK, "fp8"),
        (CAUSAL, "maybe"),
    ],
)
def test_bad_texts_are_refused_in_one_line_that_names_parameter_and_value(parameter, text):
    with pytest.raises(InputError) as refused:
        parameter.parse(text)
    message = str(refused.value)
    assert message.startswith(f"{parameter.name} = {text}: must be ")
    assert "\n" not in message


@pytest.mark.parametrize("value", [True, "2", None, [2.0], math.nan])
def test_values_of_another_type_are_refused(value):
    with pytest.raises(InputError):
        PRICE.check(value)


@pytest.mark.parametrize(
    ("value", "domain", "inside"),
    [(0, "> 0", False), (0, ">= 0", True), (0, "in [0, 1)", True), (1, "in [0, 1)", False), ("b", "a | b", True)],
)
def test_domains(value, domain, inside):
    assert in_domain(value, domain) is inside


def test_a_domain_that_cannot_be_read_is_the_authors_mistake():
    with pytest.raises(ValueError, match="is none of"):
        in_domain(1.0, "positive")


def test_the_nearest_name():
    names = ["price_usd_per_gpu_hour", "tokens", "gpus"]
    assert nearest_name("token", names) == "tokens"
    assert nearest_name("price", names) == "price_usd_per_gpu_hour"
    assert nearest_name("zzz", names) is None
    assert str(unknown_name("claim", "zzz", names)).endswith("there are: price_usd_per_gpu_hour, tokens, gpus")
