"""Units: each formula gets quantities with units and must return the dimension that its name says."""

import pint
import pytest

from repro.calc import pipeline_bubbles, run_cost, serving
from repro.calc.flops import attention_flop_per_token
from repro.models.architecture import Architecture, GatedFeedForward, GroupedQueryAttention

units = pint.UnitRegistry()
units.define("flop = [work]")
units.define("gpu = [device]")
units.define("parameter = [weight]")
units.define("token = [text]")
units.define("usd = [money]")
units.define("octet = [memory]")

FLOP = 3.3e24 * units.flop
GPU_HOURS = 2.788e6 * units.gpu * units.hour
RATE = 1e15 * units.flop / units.second / units.gpu
RULE = {"flop_per_parameter_per_token": 6 * units.flop / units.parameter / units.token}
TOKENS = 14.8e12 * units.token
ACTIVE = 37e9 * units.parameter
TOUCHED = 37e9 * units.octet / units.token
ATTENTION = GroupedQueryAttention(128, 8, 192 * units.parameter)
HEADS = Architecture(7168, 129280, n_dense_layers=61, n_moe_layers=0, attention=ATTENTION, dense=GatedFeedForward(1))


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        (run_cost.train_flop_per_token(ACTIVE, **RULE), "flop / token"),
        (run_cost.train_flop(ACTIVE, TOKENS, **RULE), "flop"),
        (attention_flop_per_token(HEADS, 4096, causal=True, mtp_counted=False, **RULE), "flop / token"),
        (run_cost.ideal_gpu_seconds(FLOP, RATE), "gpu * second"),
        (run_cost.gpu_hours_at(FLOP, RATE, utilisation=0.4), "gpu * second"),
        (run_cost.flop_per_gpu_second(FLOP, GPU_HOURS), "flop / gpu / second"),
        (run_cost.mfu(FLOP, GPU_HOURS, RATE), ""),
        (run_cost.scaled_gpu_hours(GPU_HOURS, FLOP, FLOP), "gpu * hour"),
        (run_cost.gpu_hours_from_rate(GPU_HOURS / TOKENS, TOKENS), "gpu * hour"),
        (run_cost.rate_from_gpu_hours(GPU_HOURS, TOKENS), "gpu * hour / token"),
        (run_cost.wall_days(GPU_HOURS, 2048 * units.gpu), "hour"),
        (run_cost.rental_usd(GPU_HOURS, 2 * units.usd / units.gpu / units.hour), "usd"),
        (serving.bandwidth_bound_tokens_per_s(TOUCHED, 1e12 * units.octet / units.second), "token / second"),
        (serving.usd_per_million_tokens(87072 * units.usd, TOKENS), "usd / token"),
        (pipeline_bubbles.bubble_1f1b(16, 1 * units.second, 2 * units.second), "second"),
        (pipeline_bubbles.bubble_zb1p(16, 1 * units.second, 2 * units.second, 1 * units.second), "second"),
        (pipeline_bubbles.bubble_dualpipe(16, 2 * units.second, 1 * units.second, 3 * units.second), "second"),
    ],
)
def test_dimension(quantity, unit):
    assert quantity.check(units.Unit(unit).dimensionality)
