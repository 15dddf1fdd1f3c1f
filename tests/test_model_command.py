"""`repro model` as a user calls it: counts of built-in models and of a file, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
from shapes import LLAMA_CONFIG as LLAMA

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a small model's config.json, with other fields where given."""

    def write(name="config.json", **fields):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(LLAMA | fields), encoding="utf-8")
        return path

    return write


@pytest.fixture
def described(repro):
    """Return a function that runs `repro model ARGUMENTS --json` and returns what it prints."""

    def call(*arguments):
        done = repro("model", *arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return call


def parts(data, key="parts"):
    return {part["name"]: part["total"] for part in data["parameters"][key]}


def test_deepseek_v3(described):
    data = described("deepseek_v3")
    assert (data["model"], data["model_type"]) == ("DeepSeek-V3", "deepseek_v3")
    assert data["source"] == "Hugging Face, deepseek-ai/DeepSeek-V3, config.json"
    count = data["parameters"]
    assert count["total"] == 671_026_419_200
    # without 58 layers x 248 idle experts x 3 x 7168x2048 = 633,474,121,728
    assert count["active"] == 37_552_297_472
    # a table has 129280 x 7168 = 926,679,040
    assert count["active_without_embedding"] == 36_625_618_432
    assert count["active_without_embedding_and_head"] == 35_698_939_392
    assert parts(data) == {
        "embedding": 926_679_040,
        "attention": 61 * 187_107_328,
        "dense feed-forward": 3 * 3 * 7168 * 18_432,
        "gate": 58 * 256 * 7169,
        "shared experts": 58 * 44_040_192,
        "routed experts": 58 * 256 * 44_040_192,
        "norms": 123 * 7168,
        "head": 926_679_040,
    }
    assert count["mtp"] == sum(parts(data, "mtp_parts").values()) == 11_610_068_224
    # 61 x (512 + 64), two bytes each: 70.272 kB in DeepSeek's hardware paper (arXiv 2505.09343), table 1
    assert data["kv_cache"]["elements_per_token"] == 35_136
    assert data["kv_cache"]["bytes_per_token"] == 70_272


def test_flop_of_deepseek_v3(described):
    flop = described("deepseek_v3")["train_flop_per_token"]
    # 2 and 6 x 37,552,297,472
    assert (flop["two_n_d"], flop["six_n_d"]) == (75_104_594_944, 225_313_784_832)
    # without embedding, 1,006,592 of norms and 14,848 biases of gates: 6 x 36,624,596,992 = 219,747,581,952;
    # attention 6 x 61 x 128 x (192 + 128) x 4096 = 61,404,610,560, causal 4097/8192 of it: 30,709,800,960
    assert (flop["of_full_attention"], flop["of_causal_attention"]) == (61_404_610_560, 30_709_800_960)
    assert (flop["full"], flop["causal"]) == (281_152_192_512, 250_457_382_912)
    # module: 102,760,448 + 187,105,280 + 1,835,008 + 9 x 44,040,192 + head 926,679,040 = 1,614,741,504 parameters,
    # and a 62nd layer of attention, 1,006,632,960, causal 503,439,360
    assert flop["full_with_mtp"] == 281_152_192_512 + 6 * 1_614_741_504 + 1_006_632_960
    assert flop["causal_with_mtp"] == 250_457_382_912 + 6 * 1_614_741_504 + 503_439_360
    assert flop["sequence_length"] == 4096


def test_llama_3_1_405b(described):
    data = described("llama_3_1_405b", "--sequence-length", "8192")
    # a layer: 2 x 16384x16384 + 2 x 16384x1024 + 3 x 16384x53248 + 2 x 16384 = 3,187,703,808; 126 of them, 16,384,
    # and two tables of 128256x16384 = 2,101,346,304
    count = data["parameters"]
    assert count["total"] == count["active"] == 405_853_388_800
    assert count["active_without_embedding"] == 403_752_042_496
    assert count["active_without_embedding_and_head"] == 401_650_696_192
    assert list(parts(data)) == ["embedding", "attention", "dense feed-forward", "norms", "head"]
    assert (count["mtp"], count["mtp_parts"]) == (0, [])
    # 126 x 2 x 8 x 128
    assert data["kv_cache"]["elements_per_token"] == 258_048
    assert data["kv_cache"]["bytes_per_token"] == 516_096
    # 6 x (403,752,042,496 - 253 norms of 16384) = 2,422,487,384,064; attention 6 x 126 x 128 x 256 x 8192 =
    # 202,937,204,736, causal 8193/16384 of it: 101,480,988,672
    flop = data["train_flop_per_token"]
    assert flop["six_n_d"] == 2_435_120_332_800
    assert flop["full"] == 2_625_424_588_800
    assert flop["causal"] == 2_523_968_372_736
    assert "full_with_mtp" not in flop
    assert data["weights_bytes"] == {
        "fp32": 4 * 405_853_388_800,
        "bf16": 2 * 405_853_388_800,
        "fp8": 405_853_388_800,
        "int4": 202_926_694_400,
    }


def test_hours_and_dollars_at_the_defaults(described):
    # V3: 225,313,784,832 x 14.8e12 tokens / (989.4e12 x 0.41) / 3600 = 2,283,448, at 2 dollars
    run = described("deepseek_v3")["training"]
    assert (run["tokens"], run["gpu"], run["peak"], run["utilisation"]) == (14.8e12, "h100_sxm", "bf16_dense", 0.41)
    assert run["gpu_hours"]["six_n_d"] == pytest.approx(2_283_448, abs=0.5)
    assert run["usd"]["six_n_d"] == pytest.approx(4_566_897, abs=0.5)
    assert set(run["gpu_hours"]) == set(run["usd"]) == {"six_n_d", "causal", "full", "causal_with_mtp", "full_with_mtp"}


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("DeepSeek-V3", "DeepSeek-V3"),
        ("deepseek-ai/DeepSeek-V3", "DeepSeek-V3"),
        ("deepseek v3", "DeepSeek-V3"),
        ("DEEPSEEK_V3", "DeepSeek-V3"),
        ("meta-llama/Llama-3.1-405B", "Llama 3.1 405B"),
        ("llama3.1 405b", "Llama 3.1 405B"),
        ("DeepSeek-V2-Lite", "DeepSeek-V2-Lite"),
        ("qwen2.5-72b", "Qwen2.5-72B"),
        ("Mixtral 8x7B", "Mixtral 8x7B"),
        ("deepseek_67b", "DeepSeek 67B"),
    ],
)
def test_a_name_however_spelt(described, name, title):
    assert described(name)["model"] == title


def test_a_small_model_from_a_file_worked_by_hand(described, config):
    data = described(
        config(),
        *("--tokens", "4.947e15", "--utilisation", "0.5", "--price", "3"),
        *("--sequence-length", "3", "--cache-bits", "6"),
    )
    assert (data["model"], data["model_type"]) == (str(config()), "llama")
    # attention 64 + 32 + 32 + 64, feed-forward 3 x 40, norms 16, in 2 layers; last norm 8; two tables of 80
    count = data["parameters"]
    assert parts(data) == {"embedding": 80, "attention": 384, "dense feed-forward": 240, "norms": 40, "head": 80}
    assert (count["total"], count["active"]) == (824, 824)
    assert (count["active_without_embedding"], count["active_without_embedding_and_head"]) == (744, 664)
    assert {part["name"]: round(part["share"] * 824) for part in count["parts"]} == parts(data)
    assert {part["name"]: round(part["active_share"] * 824) for part in count["parts"]} == parts(data)
    # 2 layers x a key and a value x 2 heads x 2
    assert data["kv_cache"] == {
        "elements_per_token": 16,
        "bits_per_element": 6,
        "bytes_per_token": 12,
        "bytes_per_token_by_format": {"fp32": 64, "bf16": 32, "fp8": 16, "int4": 8},
    }
    # products 6 x (384 + 240 + 80) = 4224; attention 6 x 2 layers x 4 heads x 4 x 3 tokens = 576, causal 2 of 3
    assert data["train_flop_per_token"] == {
        "two_n_d": 1648,
        "six_n_d": 4944,
        "causal": 4608,
        "full": 4800,
        "of_causal_attention": 384,
        "of_full_attention": 576,
        "sequence_length": 3,
    }
    assert data["weights_bytes"] == {"fp32": 3296, "bf16": 1648, "fp8": 824, "int4": 412}
    # 10 tokens per FLOP/s kept up: 4608 x 10 s = 12.8 h
    run = data["training"]
    assert run["gpu_hours"] == pytest.approx({"six_n_d": 49_440 / 3600, "causal": 12.8, "full": 48_000 / 3600})
    assert run["usd"] == pytest.approx({"six_n_d": 41.2, "causal": 38.4, "full": 40})


def test_a_folder_stands_for_the_config_json_in_it(described, config, tmp_path):
    config("model/config.json")
    assert described(tmp_path / "model")["parameters"]["total"] == 824
    assert described("model")["parameters"]["total"] == 824


def test_a_file_of_another_name(described, config):
    config("small.json")
    config("no-ending", tie_word_embeddings=True)
    assert described("small.json")["parameters"]["total"] == 824
    assert described("no-ending")["parameters"]["total"] == 744


def test_a_built_in_key_wins_over_a_folder_and_a_folder_over_other_spellings(described, config):
    config("deepseek_v3/config.json")
    config("DeepSeek-V3/config.json")
    assert described("deepseek_v3")["model"] == "DeepSeek-V3"
    assert described("DeepSeek-V3")["parameters"]["total"] == 824
    assert described("./deepseek_v3")["parameters"]["total"] == 824


def test_a_file_in_the_home_folder(repro, config, tmp_path):
    config("home/small.json")
    done = repro("model", "~/small.json", "--json", env={"HOME": str(tmp_path / "home")})
    assert json.loads(done.stdout)["parameters"]["total"] == 824


@pytest.mark.parametrize("arguments", [["qwen2_5_72b"], ["small.json"]])
def test_without_tokens_there_are_no_hours(repro, described, config, arguments):
    config("small.json")
    run = described(*arguments)["training"]
    assert run["tokens"] is None
    assert not {"gpu_hours", "usd"} & set(run)
    assert "give --tokens for GPU hours and dollars" in repro("model", *arguments).stdout
    assert described(*arguments, "--tokens", "1e12")["training"]["gpu_hours"]["six_n_d"] > 0


@pytest.mark.parametrize(
    ("arguments", "flop_per_s"),
    [
        (["--gpu", "h800_sxm", "--peak", "fp8_dense"], 1.9789e15),
        (["--gpu", "h100_sxm", "--peak", "fp8_sparse"], 3.9578e15),
        (["--gpu", "a100_sxm"], 312e12),
        (["--gpu", "h100_pcie"], 756e12),
    ],
)
def test_another_gpu_and_peak(described, arguments, flop_per_s):
    run = described("deepseek_v3", *arguments, "--tokens", "1e12", "--utilisation", "1")["training"]
    assert run["peak_flop_per_s"] == flop_per_s
    assert run["gpu_hours"]["six_n_d"] == pytest.approx(225_313_784_832e12 / flop_per_s / 3600, rel=1e-12)


def test_what_people_read(repro):
    out = repro("model", "deepseek_v3").stdout
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "DeepSeek-V3 (deepseek_v3)",
        "source Hugging Face, deepseek-ai/DeepSeek-V3, config.json",
        "parameters 671,026,419,200 in all",
        "37,552,297,472 active, embedding and head counted",
        "36,625,618,432 active, head counted",
        "35,698,939,392 active, neither counted",
        "11,610,068,224 more in modules for multi-token prediction",
        "routed experts 653,908,770,816 97.4% 20,434,649,088 54.4%",
        "MTP projection 102,760,448 0.885% 102,760,448 14.9%",
        "kv cache 35,136 elements per token; 70,272 bytes at 16 bits",
        "weights FP32 2,684 GB, BF16 1,342 GB, FP8 671 GB, INT4 335.5 GB",
        "FLOP per token training, sequences of 4,096",
        "75.1 GFLOP: 2ND, forward alone",
        "250.5 GFLOP: counted, causal attention",
        "291.8 GFLOP: counted, full, MTP modules too",
        "training 14.8T tokens on h100_sxm at 41% of its bf16_dense peak of 989.4 TFLOP/s, $2 per GPU hour",
        "2.283M GPU hours, $4.567M: 6ND, N with embedding and head",
    ):
        assert line in lines
    assert len(out.split("\n\n")) == 5  # name, counts, parts, parts of the module, the rest


def test_a_model_without_modules_says_nothing_of_them(repro):
    out = repro("model", "llama_3_1_8b").stdout
    assert "MTP" not in out
    assert len(out.split("\n\n")) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: NAME|config.json"),
        (["deepseek_v33"], "unknown model 'deepseek_v33'; did you mean deepseek_v3?"),
        (["DeepSeek-V4"], "unknown model 'DeepSeek-V4'; did you mean deepseek_v3?"),
        (["nobody/DeepSeek-V3"], "unknown model 'nobody/DeepSeek-V3'; did you mean deepseek_v3?"),
        (["gpt-4"], "unknown model 'gpt-4'; there are: deepseek_v2, deepseek_v2_lite, deepseek_v3, deepseek_67b"),
        ([""], "unknown model ''; there are: deepseek_v2"),
        (["a\nb"], r"unknown model 'a\nb'; there are: deepseek_v2"),
        (["deepseek_v3", "--tokens", "1e30"], "--tokens = 1e30: must be a float in [1e6, 1e18] [tokens]"),
        (["deepseek_v3", "--tokens", "nan"], "--tokens = nan: must be a float in [1e6, 1e18] [tokens]"),
        (["deepseek_v3", "--tokens", "-1"], "--tokens = -1: must be a float in [1e6, 1e18] [tokens]"),
        (["deepseek_v3", "--tokens", "0"], "--tokens = 0: must be a float in [1e6, 1e18] [tokens]"),
        (["deepseek_v3", "--tokens", "abc"], "--tokens = abc: must be a float in [1e6, 1e18] [tokens]"),
        (["deepseek_v3", "--tokens", ""], "--tokens = : must be a float in [1e6, 1e18] [tokens]"),
        (["deepseek_v3", "--tokens"], "argument --tokens: expected one argument"),
        (["deepseek_v3", "--price", "0"], "--price = 0: must be a float in (0, 1e6] [USD per GPU hour]"),
        (["deepseek_v3", "--price", "inf"], "--price = inf: must be a float in (0, 1e6] [USD per GPU hour]"),
        (["deepseek_v3", "--gpu", "b200"], "--gpu = b200: must be h100_sxm | h100_pcie | h800_sxm | a100_sxm [GPU]"),
        (
            ["deepseek_v3", "--peak", "fp4"],
            "--peak = fp4: must be fp8_sparse | fp8_dense | bf16_sparse | bf16_dense [rate]",
        ),
        (
            ["deepseek_v3", "--gpu", "a100_sxm", "--peak", "fp8_dense"],
            "--peak fp8_dense: a100_sxm multiplies in no FP8; choose bf16_dense or bf16_sparse",
        ),
        (["deepseek_v3", "--utilisation", "1.5"], "--utilisation = 1.5: must be a float in (0, 1]"),
        (["deepseek_v3", "--utilisation", "0"], "--utilisation = 0: must be a float in (0, 1]"),
        (
            ["deepseek_v3", "--utilisation", "1e-300"],
            "DeepSeek-V3: these options together lead out of the range of numbers: --tokens 14800000000000.0, --gpu ",
        ),
        (["deepseek_v3", "--utilisation", "1e-300", "--json"], "lead out of the range of numbers: "),
        (["deepseek_v3", "--tokens", "-1e3"], "--tokens = -1e3: must be a float in [1e6, 1e18] [tokens]"),
        (["deepseek_v3", "--sequence-length", "0"], "--sequence-length = 0: must be an int in [1, 1e9] [tokens]"),
        (["deepseek_v3", "--sequence-length", "4096.5"], "--sequence-length = 4096.5: must be an int in [1, 1e9]"),
        (["deepseek_v3", "--cache-bits", "0"], "--cache-bits = 0: must be a float in (0, 64]"),
        (["deepseek_v3", "--cache-bits", "65"], "--cache-bits = 65: must be a float in (0, 64]"),
        (["deepseek_v3", "--token", "1e12"], "unrecognized arguments: --token 1e12"),
        (["none.json"], "none.json: cannot be read: No such file or directory"),
        (["some/config.json"], "some/config.json: cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(refuses, tmp_path, arguments, message):
    assert message in refuses("model", *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged.json: is not valid JSON: "),
        ("", "damaged.json: is not valid JSON: "),
        ("[]", "damaged.json: must hold one JSON object, not a list"),
        ("{}", "damaged.json: model_type: is missing; must be one of: deepseek_v2, deepseek_v3, llama, qwen2, mixtral"),
        ('{"model_type": "llama"}', "damaged.json: num_attention_heads: is missing"),
        ('{"model_type": "lama"}', 'damaged.json: model_type = "lama": is not known; must be one of: deepseek_v2, '),
        (json.dumps({**LLAMA, "vocab_size": -3}), "damaged.json: vocab_size = -3: must be a whole number from 1 to "),
        (json.dumps({**LLAMA, "vocab_size": 10**30}), "damaged.json: vocab_size = 1000000000000000000000000000000: "),
        (json.dumps({**LLAMA, "num_key_value_heads": 3}), "damaged.json: num_attention_heads = 4: must be a multiple"),
    ],
)
def test_a_damaged_file_is_named(refuses, tmp_path, content, message):
    (tmp_path / "damaged.json").write_text(content, encoding="utf-8")
    assert refuses("model", "damaged.json").startswith(message)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.json"]


def test_a_name_is_shown_without_what_a_terminal_would_obey_and_not_at_any_length(refuses, repro, config):
    assert refuses("model", "\x1b[31mred").startswith(r"unknown model '\x1b[31mred'; there are: ")
    assert len(refuses("model", "a" * 5000)) < 1100
    config("\x1b[31m.json")
    assert "\x1b" not in repro("model", "\x1b[31m.json").stdout


def test_a_folder_without_a_configuration(refuses, tmp_path):
    (tmp_path / "empty").mkdir()
    assert refuses("model", "empty") == "empty/config.json: cannot be read: No such file or directory"
    assert refuses("model", ".") == "config.json: cannot be read: No such file or directory"


def test_a_file_that_may_not_be_read_as_text(refuses, tmp_path):
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    assert refuses("model", "bytes.json").startswith("bytes.json: is not valid JSON: ")


def test_a_damaged_built_in_configuration_is_named(refuses, tmp_path):
    shutil.copytree(ROOT / "repro", tmp_path / "repro")
    path = tmp_path / "repro/facts/data/published/llama_3_1_8b.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"vocab_size"', '"vocabulary"'), encoding="utf-8")
    assert refuses("model", "llama_3_1_8b") == "Llama 3.1 8B: vocab_size: is missing"
