"""`repro pipeline` as a user calls it: worked values, a chart read back from its file, and what it refuses."""

import json
import re
import subprocess
import sys

import pytest

from repro.sim import SCHEDULES

DUALPIPE = ["DualPipe", "--ranks", 8, "--micro-batches", 20]
ONE = ["1F1B", "--ranks", 4, "--micro-batches", 8]


@pytest.fixture
def simulated(repro):
    """Return a function that runs `repro pipeline ARGUMENTS --json` and returns what it prints."""

    def call(*arguments):
        done = repro("pipeline", *arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return call


def test_dualpipe_as_in_figure_5_of_the_report(simulated):
    given = ["--forward", 1, "--backward", 2, "--weight", 1, "--overlapped", 3]
    # Busy: 20 forwards and 20 backwards of 3 together, 60. Idle: (8 / 2 - 1) x (3 + 2 - 3 x 1) = 6.
    expected = {
        "schedule": "DualPipe",
        "ranks": 8,
        "micro_batches": 20,
        "durations": {"forward": 1, "backward": 2, "weight": 1, "overlapped": 3, "transfer": 0},
        "makespan": 66,
        "bubble": [6] * 8,
        "activations": [9] * 8,
        "parameters": [2] * 8,
        "formula": {"bubble": 6, "activations": 9, "parameters": 2},
    }
    assert simulated(*DUALPIPE, *given) == expected
    assert simulated(*DUALPIPE) == expected  # the defaults


def test_keys_stand_in_their_order(simulated):
    data = simulated(*ONE)
    assert list(data) == [
        "schedule", "ranks", "micro_batches", "durations", "makespan", "bubble", "activations", "parameters", "formula"
    ]  # fmt: skip
    assert list(data["durations"]) == ["forward", "backward", "weight", "overlapped", "transfer"]
    assert list(data["formula"]) == ["bubble", "activations", "parameters"]


def test_overlapped_is_forward_and_backward_where_it_is_not_given(simulated):
    data = simulated(*DUALPIPE, "--forward", 2, "--backward", 5, "--weight", 2)
    assert data["durations"] == {"forward": 2, "backward": 5, "weight": 2, "overlapped": 7, "transfer": 0}
    # 3 x (7 + 5 - 6) = 18 by the formula. The input part, 3, is longer than the forward: the middle ranks wait
    # max(3 x 2, 3 x 3 - 2) + 3 x (7 - 2 - 2) = 7 + 9.
    assert data["formula"]["bubble"] == 18
    assert data["bubble"] == [16] * 8
    assert data["makespan"] == 20 * 7 + 16


def test_decimals_are_exact(simulated):
    data = simulated(*DUALPIPE, "--forward", "0.1", "--backward", ".3", "--weight", "1e-1", "--overlapped", 0.37)
    assert data["durations"] == {"forward": 0.1, "backward": 0.3, "weight": 0.1, "overlapped": 0.37, "transfer": 0}
    # max(3 x 0.1, 3 x 0.2 - 0.1) + 3 x (0.37 - 0.1 - 0.1) = 1.01; farther out each overlaps one pair less, 0.03
    assert data["bubble"] == [0.95, 0.98, 1.01, 1.01, 1.01, 1.01, 0.98, 0.95]
    assert data["formula"]["bubble"] == 1.11  # 3 x (0.37 + 0.3 - 0.3)
    zero = simulated("ZB1P", "--ranks", 4, "--micro-batches", 8, "--forward", 0.1, "--backward", 0.2, "--weight", 0.1)
    assert zero["bubble"] == [0.3] * 4
    assert zero["makespan"] == 2.7  # 8 x 0.3 + 3 x (0.1 + 0.2 - 0.2)


def test_transfers(simulated):
    assert simulated("GPipe", "--ranks", 2, "--micro-batches", 2, "--transfer", 1)["makespan"] == 11  # 9 + there + back
    assert simulated("GPipe", "--ranks", 2, "--micro-batches", 2)["makespan"] == 9


def test_transfers_that_a_rank_waits_for(simulated):
    sizes = ["GPipe", "--ranks", 2, "--micro-batches", 2, "--transfer", 1]
    data = simulated(*sizes, "--no-overlap-transfers")
    assert data["makespan"] == 13  # two forwards from 0 to 4 on rank 0, two backwards from 5 to 11 on rank 1, and 2
    assert data["overlap_transfers"] is False
    assert "pairs_hide_transfers" not in data
    hidden = simulated(*DUALPIPE, "--transfer", 0.5, "--pairs-hide-transfers")
    assert hidden["makespan"] < simulated(*DUALPIPE, "--transfer", 0.5)["makespan"]
    assert hidden["pairs_hide_transfers"] is True


def test_stages_of_unequal_length(simulated):
    sizes = ["1F1B", "--ranks", 2, "--micro-batches", 2]
    data = simulated(*sizes, "--stage-times", "1,2")
    # Rank 1 runs forwards of 2 and backwards of 4 from 1 to 13, rank 0 the last backward until 15.
    assert (data["makespan"], data["bubble"], data["stage_times"]) == (15, [9, 3], [1, 2])
    decimals = simulated(*sizes, "--stage-times", "0.1,0.2", "--forward", 0.1, "--backward", 0.2, "--weight", 0.1)
    assert (decimals["makespan"], decimals["bubble"]) == (0.15, [0.09, 0.03])
    even = simulated(*DUALPIPE, "--overlapped", 2.5, "--stage-times", ",".join("2" * 8))
    assert even["bubble"] == [2 * one for one in simulated(*DUALPIPE, "--overlapped", 2.5)["bubble"]]


def test_a_step_against_other_schedules(simulated, repro):
    # 8 micro-batches of 3 and a bubble of 2, 3 or 9, and 1 after them
    given = ["DualPipe", "--ranks", 4, "--micro-batches", 8, "--against", "zb1p, 1F1B", "--optimizer", 1]
    data = simulated(*given)
    assert data["makespan"] == 26
    assert data["steps"] == {
        "DualPipe": {"step": 27, "bubble": 2, "idle_share": 2 / 27, "times_the_first": 1},
        "ZB1P": {"step": 28, "bubble": 3, "idle_share": 3 / 28, "times_the_first": 1.037},
        "1F1B": {"step": 34, "bubble": 9, "idle_share": 9 / 34, "times_the_first": 1.2593},
    }
    found = lines(repro("pipeline", *given))
    assert "schedule step mean bubble share times DualPipe's" in found
    assert "1F1B 34 9 26.5% 1.2593" in found
    assert list(simulated(*ONE, "--optimizer", 2)["steps"]) == ["1F1B"]


def test_stages_of_a_rank(simulated):
    sizes = ["Interleaved", "--ranks", 2, "--micro-batches", 4]
    two, three = simulated(*sizes), simulated(*sizes, "--chunks", 3)
    assert (two["parameters"], three["parameters"]) == ([2, 2], [3, 3])
    assert (two["makespan"], three["makespan"]) == (2 * 4 * 3 + 3, 3 * 4 * 3 + 3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_name_in_any_case(simulated, name):
    sizes = ["--ranks", 2, "--micro-batches", 4]
    assert simulated(name.upper(), *sizes)["schedule"] == simulated(name.lower(), *sizes)["schedule"] == name


def test_what_people_read(repro):
    done = repro("pipeline", *ONE)
    assert (done.returncode, done.stderr) == (0, "")
    # 8 micro-batches of 3, and 3 x 3 until the last rank begins and the first has ended; rank r holds 4 - r.
    assert done.stdout == (
        "1F1B, 4 ranks, 8 micro-batches\n"
        "\n"
        "durations      forward 1, backward 2 (for input 1, for weights 1)\n"
        "               overlapped 3, transfer 0\n"
        "makespan       33\n"
        "\n"
        "rank  bubble  share  activations  parameters\n"
        "0     9       27.3%  4            1\n"
        "1     9       27.3%  3            1\n"
        "2     9       27.3%  2            1\n"
        "3     9       27.3%  1            1\n"
        "\n"
        "published      bubble 9, as simulated\n"
        "               activations 4, as simulated where it is most; 1 to 4 by rank\n"
        "               parameters 1, as simulated\n"
        "closed form    bubble 9 on every rank, as simulated\n"
        "\n"
        "bubble         idle time of a rank within the makespan\n"
        "activations    most micro-batches held at once, each counted for every stage of the rank\n"
        "parameters     stages held by a rank; all ranks together hold the model once\n"
    )


def lines(done):
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            # 3 x (8 + 4 - 3 x 2) = 18 by the formula; forwards take 3 x 4 until the middle rank begins
            [*DUALPIPE, "--forward", 4, "--backward", 4, "--weight", 2, "--overlapped", 8],
            [
                "published bubble 18, but simulated 24 on every rank",
                "closed form bubble 24 on every rank, as simulated",
            ],
        ),
        (
            [*DUALPIPE, "--overlapped", 2.5],
            [
                "published bubble 4.5, as simulated where it is most; 3.5 to 4.5 by rank",
                "closed form bubble 3.5 to 4.5 by rank, as simulated",
                "parameters stages held by a rank; all ranks together hold the model twice",
            ],
        ),
        (
            ["interleaved", "--ranks", 4, "--micro-batches", 8, "--chunks", 4],
            ["of a stage, 4 to a rank: to compare with one to a rank, give a 1/4 of its durations"],
        ),
        (
            # Pairs that cost 1: 3 x (4 + 2 - 3) = 9 is that of the middle ranks, and those outside wait longer.
            [*DUALPIPE, "--overlapped", 4],
            ["published bubble 9, but simulated 9 to 11 by rank"],
        ),
        (
            ["1F1B", "--ranks", 2, "--micro-batches", 3, "--transfer", 0.5],
            [
                "published bubble 3, transfers left out, but simulated 5 on every rank",
                "closed form none where transfers take time",
            ],
        ),
        (["GPipe", "--ranks", 1, "--micro-batches", 1], ["GPipe, 1 rank, 1 micro-batch", "0 0 0% 1 1"]),
        (
            ["1F1B", "--ranks", 2, "--micro-batches", 2, "--stage-times", "1, 2", "--transfer", 1],
            [
                # Forward 1, sent 1, then rank 1 as in the case without transfers, 2 to 14, and back: 15 to 17.
                "of stages, as many times as long: 1, 2",
                "makespan 17",
                "published bubble 3, transfers left out, stages taken as equal, but simulated 5 to 11 by rank",
                "closed form none where stages may differ",
            ],
        ),
    ],
)
def test_where_simulation_and_formula_differ_both_are_told(repro, arguments, expected):
    found = lines(repro("pipeline", *arguments))
    for line in expected:
        assert line in found


def test_help(repro):
    done = repro("pipeline", "--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    for words in (
        f"{', '.join(SCHEDULES)}; in any case",
        "its part for the input takes B - W (default: 1)",
        "a forward and a full backward run together (default: F + B, nothing saved)",
    ):
        assert words in text


# Charts


def test_a_figure_is_written_and_shows_what_is_printed(repro, tmp_path):
    done = repro("pipeline", *DUALPIPE, "--figure", "chart.svg")
    assert (done.returncode, done.stderr) == (0, "")
    assert "figure wrote chart.svg" in lines(done)
    assert [path.name for path in tmp_path.iterdir()] == ["chart.svg"]
    svg = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    group = svg[svg.index('<g id="gantt">') :]
    group = group[: group.index("</g>")]
    bars = [
        tuple(map(float, one)) for one in re.findall(r'<path d="M (\S+) (\S+) \nL (\S+) \S+ \nL \S+ (\S+) \n', group)
    ]
    left, right, top = min(bar[0] for bar in bars), max(bar[2] for bar in bars), sorted({bar[1] for bar in bars})
    unit = (right - left) / 66
    assert len(top) == 8
    for row in top:
        assert sum(bar[2] - bar[0] for bar in bars if bar[1] == row) / unit == pytest.approx(60, abs=1e-3)
    # Rank 0 begins with a forward of 1.
    assert min(bars, key=lambda bar: (bar[1], bar[0]))[2] - left == pytest.approx(unit, abs=1e-3)


def test_a_png_with_json(repro, tmp_path):
    done = repro("pipeline", *ONE, "--figure", tmp_path / "chart.PNG", "--json", env={"MPLBACKEND": "none such"})
    assert json.loads(done.stdout)["makespan"] == 33
    assert (tmp_path / "chart.PNG").read_bytes().startswith(b"\x89PNG")


def test_an_existing_file_is_replaced_and_a_mistake_leaves_it(repro, refuses, tmp_path):
    chart = tmp_path / "chart.svg"
    chart.write_text("before", encoding="utf-8")
    refuses("pipeline", "DualPipe", "--ranks", 7, "--micro-batches", 20, "--figure", "chart.svg")
    refuses("pipeline", "GPipe", "--ranks", 100, "--micro-batches", 501, "--figure", "chart.svg")
    assert chart.read_text(encoding="utf-8") == "before"
    assert repro("pipeline", *ONE, "--figure", "chart.svg").returncode == 0
    assert chart.read_text(encoding="utf-8").startswith("<?xml")
    assert [path.name for path in tmp_path.iterdir()] == ["chart.svg"]


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: SCHEDULE, --ranks, --micro-batches (see repro pipeline --help)"),
        (["1F1B", "--ranks", 4], "the following arguments are required: --micro-batches"),
        (["1F1B", "--micro-batches", 4], "the following arguments are required: --ranks"),
        ([*ONE, "--forward"], "argument --forward: expected one argument"),
        ([*ONE, "--forwards", 1], "unrecognized arguments: --forwards 1"),
        (["dualpip", *DUALPIPE[1:]], "unknown schedule 'dualpip'; did you mean DualPipe?"),
        (["2F2B", *DUALPIPE[1:]], "unknown schedule '2F2B'; "),
        (["", *DUALPIPE[1:]], "unknown schedule ''; there are: GPipe, 1F1B, interleaved, ZB1P, DualPipe, DualPipeV"),
        (["DualPipe", "--ranks", 7, "--micro-batches", 20], "ranks = 7: must be even for DualPipe"),
        (["DualPipe", "--ranks", 8, "--micro-batches", 21], "micro_batches = 21: must be even for DualPipe"),
        (["DualPipe", "--ranks", 8, "--micro-batches", 14], "micro_batches = 14: must be at least 16 for DualPipe"),
        (["DualPipeV", "--ranks", 8, "--micro-batches", 15], "micro_batches = 15: must be at least 16 for DualPipeV"),
        (["interleaved", "--ranks", 4, "--micro-batches", 6], "micro_batches = 6: must be a multiple of ranks = 4"),
        ([*ONE, "--chunks", 2], "chunks = 2: must be left out for 1F1B; only interleaved has chunks"),
        (["interleaved", *ONE[1:], "--chunks", 1], "--chunks = 1: must be an int in [2, 1e6] [stages of one rank]"),
        (["1F1B", "--ranks", 0, "--micro-batches", 4], "--ranks = 0: must be an int in [1, 1e6] [ranks]"),
        (["1F1B", "--ranks", -4, "--micro-batches", 4], "--ranks = -4: must be an int in [1, 1e6]"),
        (["1F1B", "--ranks", 4.5, "--micro-batches", 4], "--ranks = 4.5: must be an int in [1, 1e6]"),
        (["1F1B", "--ranks", "four", "--micro-batches", 4], "--ranks = four: must be an int in [1, 1e6]"),
        (["1F1B", "--ranks", "nan", "--micro-batches", 4], "--ranks = nan: must be an int in [1, 1e6]"),
        (["1F1B", "--ranks", 4, "--micro-batches", 0.5], "--micro-batches = 0.5: must be an int in [1, 1e6]"),
        (["1F1B", "--ranks", 4, "--micro-batches", "9" * 5000], "--micro-batches = 999999"),
        (["1F1B", "--ranks", 4, "--micro-batches", 250001], "4 stages times 250001 micro-batches = 1000004: must be"),
        ([*ONE, "--forward", 0], "--forward = 0: must be a float in [1e-12, 1e12] [any one unit of time]"),
        ([*ONE, "--forward", "abc"], "--forward = abc: must be a float in [1e-12, 1e12]"),
        ([*ONE, "--forward", "1e-999999999"], "--forward = 1e-999999999: must be a float in [1e-12, 1e12]"),
        ([*ONE, "--backward", -1], "--backward = -1: must be a float in [1e-12, 1e12]"),
        ([*ONE, "--backward", "inf"], "--backward = inf: must be a float in [1e-12, 1e12]"),
        ([*ONE, "--weight", "nan"], "--weight = nan: must be a float in [1e-12, 1e12]"),
        ([*ONE, "--overlapped", 0], "--overlapped = 0: must be a float in [1e-12, 1e12]"),
        ([*ONE, "--overlapped", "1e13"], "--overlapped = 1e13: must be a float in [1e-12, 1e12]"),
        ([*ONE, "--transfer", -1], "--transfer = -1: must be a float in [0, 1e12]"),
        ([*ONE, "--transfer", "nan"], "--transfer = nan: must be a float in [0, 1e12]"),
        ([*ONE, "--transfer", "1e-300"], "--transfer = 1e-300: must be 0, or at least 1e-12"),
        ([*ONE, "--weight", 2], "--weight = 2: must be below backward = 2, which includes it"),
        ([*ONE, "--weight", 2.5], "--weight = 2.5: must be below backward = 2, which includes it"),
        (
            [*ONE, "--overlapped", 1.5],
            "--overlapped = 1.5: must be at least backward = 2, the longer of forward and backward",
        ),
        (
            [*ONE, "--forward", 4, "--overlapped", 3],
            "--overlapped = 3: must be at least forward = 4, the longer of forward and backward",
        ),
        ([*ONE, "--optimizer", -1], "--optimizer = -1: must be a float in [0, 1e12] [any one unit of time]"),
        ([*ONE, "--stage-times", "1,2"], "--stage-times: 2 given: must be one for each of the 4 stages"),
        ([*ONE, "--stage-times", "1,0,1,1"], "--stage-times = 0: must be a float in [1e-6, 1e6] [ratio]"),
        ([*ONE, "--stage-times", ""], "--stage-times = : must be a float in [1e-6, 1e6] [ratio]"),
        ([*ONE, "--against", "ZB1P,2F2B"], "unknown schedule '2F2B'; "),
        ([*ONE, "--against", ""], "unknown schedule ''; "),
        ([*ONE, "--against", "DualPipeV"], "--against: DualPipeV has 8 stages: must have one per rank, 4"),
        (["interleaved", *ONE[1:], "--against", "1F1B"], "--against: interleaved has 8 stages: must have one per rank"),
        ([*ONE, "--figure", "chart.pdf"], "--figure chart.pdf: must end in .svg or .png"),
        ([*ONE, "--figure", "chart"], "--figure chart: must end in .svg or .png"),
        ([*ONE, "--figure", ".svg"], "--figure .svg: must end in .svg or .png"),
        ([*ONE, "--figure", ""], "--figure : must end in .svg or .png"),
        ([*ONE, "--figure", "none/chart.svg"], "--figure none/chart.svg: there is no folder none"),
        ([*ONE, "--figure", f"{'a' * 300}.svg"], "File name too long"),
        (
            ["GPipe", "--ranks", 100, "--micro-batches", 501, "--figure", "chart.svg"],
            "--figure: 100200 tasks are too many to draw: must be at most 100000",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_1(refuses, tmp_path, arguments, message):
    assert message in refuses("pipeline", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_figures_name(refuses, tmp_path):
    (tmp_path / "chart.svg").mkdir()
    assert refuses("pipeline", *ONE, "--figure", "chart.svg") == "--figure chart.svg: a folder of that name is there"
    assert list((tmp_path / "chart.svg").iterdir()) == []


def test_other_commands_start_without_what_this_one_needs():
    heavy = ("numpy", "matplotlib", "repro.sim")
    code = "import sys; from repro.cli.main import main; main(['claims']); "
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
