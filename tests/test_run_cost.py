"""Every formula of repro.calc.run_cost against a value worked by hand."""

import pytest

from repro.calc import run_cost


def test_six_flop_per_parameter_and_token():
    # 6 x 37e9 = 222e9
    assert run_cost.train_flop_per_token(37e9, flop_per_parameter_per_token=6) == 222e9


def test_flop_of_a_run():
    # 222e9 x 14.8e12 = 3285.6e21
    assert run_cost.train_flop(37e9, 14.8e12, flop_per_parameter_per_token=6) == pytest.approx(3.2856e24, rel=1e-15)


def test_ideal_seconds():
    # 3.3e24 / 3.958e15 = 8.3375e8: the printed 8.33e8 is cut off, not rounded
    assert run_cost.ideal_gpu_seconds(3.3e24, 3.958e15) == pytest.approx(8.3375e8, rel=1e-4)


def test_hours_at_a_utilisation():
    # 3.6e18 FLOP at half of 1e15 FLOP/s: 7200 s = 2 h
    assert run_cost.gpu_hours_at(3.6e18, 1e15, utilisation=0.5) == 2


def test_rate_kept_up():
    # 7.2e18 FLOP in 2 GPU hours = 7200 s: 1e15 FLOP/s
    assert run_cost.flop_per_gpu_second(7.2e18, 2) == 1e15


def test_mfu_is_the_rate_over_the_peak():
    # 1e15 of 4e15 FLOP/s
    assert run_cost.mfu(7.2e18, 2, 4e15) == 0.25


def test_mfu_of_both_models_against_the_dense_bf16_peak():
    # V3: 3.2856e24 / (2.788e6 x 3600) = 327.4e12, over 989.4e12 = 0.3309
    # Llama 3.1 405B: 3.645e25 / (30.84e6 x 3600) = 328.3e12, over 989.4e12 = 0.3318
    assert run_cost.mfu(3.2856e24, 2.788e6, 989.4e12) == pytest.approx(0.3309, abs=5e-5)
    assert run_cost.mfu(3.645e25, 30.84e6, 989.4e12) == pytest.approx(0.3318, abs=5e-5)


def test_hours_and_mfu_undo_each_other():
    hours = run_cost.gpu_hours_at(3.2856e24, 989.4e12, utilisation=0.41)
    assert run_cost.mfu(3.2856e24, hours, 989.4e12) == pytest.approx(0.41, rel=1e-14)


def test_scaled_hours():
    # 30.84e6 x 3.2856e24 / 3.645e25 = 30.84e6 x 0.0901399 = 2,779,915
    assert run_cost.scaled_gpu_hours(30.84e6, 3.2856e24, 3.645e25) == pytest.approx(2_779_915, abs=0.5)


def test_hours_from_a_rate_and_back():
    # 180,000 x 14.8 = 2,664,000
    assert run_cost.gpu_hours_from_rate(180_000, 14.8e12) == 2_664_000
    assert run_cost.rate_from_gpu_hours(2_664_000, 14.8e12) == 180_000


def test_days_on_a_cluster():
    # 2,664,000 / 2048 = 1300.78 h = 54.2 days
    assert run_cost.wall_days(2_664_000, 2048) == pytest.approx(54.199, abs=5e-4)


def test_rent():
    assert run_cost.rental_usd(2_788_000, 2) == 5_576_000


@pytest.mark.parametrize(
    "call",
    [
        lambda: run_cost.ideal_gpu_seconds(1, 0),
        lambda: run_cost.mfu(1, 0, 1),
        lambda: run_cost.scaled_gpu_hours(1, 1, 0),
        lambda: run_cost.rate_from_gpu_hours(1, 0),
        lambda: run_cost.wall_days(1, 0),
    ],
)
def test_a_zero_below_the_line_is_an_error(call):
    with pytest.raises(ZeroDivisionError):
        call()
