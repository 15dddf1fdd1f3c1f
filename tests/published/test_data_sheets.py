"""Rates and memory of cards and machines, typed again from data sheets or worked out from channels and clocks.

NVIDIA's white paper on the H100, version 1.04, tables 1 and 2, and its product page; chips in the dataset of Epoch AI
(rows "NVIDIA A100 SXM4 80 GB", "NVIDIA H100 SXM5 80GB", "NVIDIA GeForce RTX 4090"); transcriptions of NVIDIA's data
sheet on the A100; FlashMLA's deep dives; the tutorial of KTransformers and its issue 314; Tom's Hardware on EPYC 9004;
TechPowerUp on the M3 Ultra. All read on 27 November 2026.
"""

import pytest

from repro.facts import load

FACTS = load()
DDR5 = 8  # bytes a channel moves at a time


@pytest.mark.parametrize(
    ("key", "printed"),
    [
        ("a100_sxm.bf16_dense_flop_per_s", 312e12),
        ("a100_sxm.bf16_sparse_flop_per_s", 624e12),
        ("a100_sxm.fp64_flop_per_s", 9.7e12),
        ("a100_sxm.memory_bytes", 80e9),
        ("a100_sxm.memory_bytes_per_s", 2039e9),
        ("a100_sxm.nvlink_bytes_per_s", 600e9),
        ("h100_sxm.bf16_dense_flop_per_s", 989.4e12),
        ("h100_sxm.bf16_sparse_flop_per_s", 1978.9e12),
        ("h100_sxm.fp8_dense_flop_per_s", 1978.9e12),
        ("h100_sxm.fp8_sparse_flop_per_s", 3957.8e12),
        ("h100_sxm.fp64_flop_per_s", 34e12),
        ("h100_sxm.nvlink_bytes_per_s", 900e9),
        ("h100_sxm.memory_bytes", 80e9),
        ("h100_sxm.memory_bytes_per_s", 3.35e12),
        ("h100_pcie.bf16_dense_flop_per_s", 756e12),
        ("h100_pcie.bf16_sparse_flop_per_s", 1513e12),
        ("h100_pcie.fp8_dense_flop_per_s", 1513e12),
        ("h100_pcie.fp8_sparse_flop_per_s", 3026e12),
        ("h800_sxm.memory_bytes_per_s", 3.35e12),
        ("h800_sxm.bf16_practical_flop_per_s", 865e12),
        ("rtx_4090.memory_bytes", 24e9),
        ("rtx_4090.memory_bytes_per_s", 1008e9),
        ("mac_studio_m3_ultra.memory_bytes", 512e9),
        ("mac_studio_m3_ultra.memory_bytes_per_s", 819e9),
    ],
)
def test_as_printed(key, printed):
    assert FACTS[key].value == printed


@pytest.mark.parametrize("rate", ["bf16_dense", "bf16_sparse", "fp8_dense", "fp8_sparse"])
def test_the_h800_multiplies_as_fast_as_the_h100(rate):
    assert FACTS[f"h800_sxm.{rate}_flop_per_s"].value == FACTS[f"h100_sxm.{rate}_flop_per_s"].value


@pytest.mark.parametrize(
    ("machine", "bytes_per_s", "printed"),
    [
        ("desktop_ddr5", 2 * DDR5 * 5600e6, 89.6e9),
        ("xeon_8_channel", 2 * 8 * DDR5 * 4800e6, 614.4e9),  # two sockets
        ("epyc_12_channel", 12 * DDR5 * 4800e6, 460.8e9),
        ("rtx_5090", 512 / 8 * 28e9, 1.792e12),  # GDDR7 of 28 Gbit/s a pin over 512 pins
    ],
)
def test_bandwidth_is_channels_times_bytes_times_transfers(machine, bytes_per_s, printed):
    assert bytes_per_s == printed == FACTS[f"{machine}.memory_bytes_per_s"].value


@pytest.mark.parametrize(
    ("machine", "modules", "gigabytes"),
    [("desktop_ddr5", 4, 48), ("xeon_8_channel", 1, 1000), ("epyc_12_channel", 12, 64)],
)
def test_memory_is_modules_times_their_size(machine, modules, gigabytes):
    assert FACTS[f"{machine}.memory_bytes"].value == modules * gigabytes * 1e9


def test_the_h800s_bf16_rate_is_4096_flop_a_clock_on_each_sm():
    # FlashMLA, deep dive of September 2025: 989 TFLOP/s / 1830 MHz / 132 SMs
    rate = FACTS["h800_sxm.bf16_dense_flop_per_s"].value
    assert rate == pytest.approx(4096 * 1830e6 * FACTS["h800_sxm.multiprocessors"].value, rel=1e-4)


def test_the_h800s_fp8_peak_is_recalled_and_above_what_was_measured():
    # DeepGEMM: up to 1550 TFLOP/s
    assert FACTS["h800_sxm.fp8_dense_flop_per_s"].provenance == "recalled"
    assert FACTS["h800_sxm.fp8_measured_flop_per_s"].value == 1550e12 < FACTS["h800_sxm.fp8_dense_flop_per_s"].value
