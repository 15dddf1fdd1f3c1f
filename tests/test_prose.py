"""Numbers in a notebook's text: read as a person reads them, and tied to what is computed."""

import copy

import pytest

from repro.errors import InputError
from repro.lab import prose
from repro.lab.prose import PROSE, agrees, read_number, stated_numbers, unlisted


@pytest.mark.parametrize(
    ("text", "value", "wrong"),
    [
        ("14.8T", 14.8e12, 14.86e12),
        ("37%", 0.3689, 0.376),
        ("$5.576 million", 5_576_000, 5_577_000),
        ("1,024 cards", 1024, 1025),
        ("−0.001", -0.00097, 0.001),
        ("0.21 ± 0.03", 0.2083, 0.2151),
        ("2.788M", 2_788_400, 2_789_000),
    ],
)
def test_a_value_agrees_if_it_rounds_to_what_is_written(text, value, wrong):
    assert agrees(text, value)
    assert not agrees(text, wrong)


def test_a_text_without_a_number_is_refused():
    with pytest.raises(InputError, match="must hold one number"):
        read_number("a seventh")


@pytest.mark.parametrize(
    ("markdown", "numbers"),
    [
        ("V3 takes 14.8T tokens and 2,048 H800 GPUs; see A15.", ["14.8", "2,048"]),
        ("Notebook 12, steps 2 and 3, section 4.5.3, arXiv 2401.06066, table 5: 9.56.", ["9.56"]),
        ("Llama 3.1 405B against DeepSeek 67B, E4M3, 1F1B, ZB1P, FP8", []),
        ("1. `repro run 12 -p seed=3` gives 7 experts", ["7"]),
        ("$$x = 3 y^{4}$$ and [a link](https://a.b/2024) of 2025", ["2025"]),
        ("0.03% by figure 10, in 06 and notebooks 09\nto 16", ["0.03"]),
        ("-0.5 and (6.1), 8% or 16-bit", ["0.5", "6.1", "8", "16"]),
    ],
)
def test_only_what_states_a_number_is_read(markdown, numbers):
    assert list(stated_numbers(markdown)) == numbers


@pytest.fixture
def notebook(monkeypatch):
    """Return a notebook whose text states two numbers, and whose last cell lists them."""
    shown = []
    monkeypatch.setattr(prose, "display", lambda data, raw: shown.append(data))
    prose.prose_numbers({"37%": 0.368, "256 experts": "V3's configuration"})
    text = {"cell_type": "markdown", "source": "V3 uses 37% of 256 experts.\n## Try it\nWhat if it were 99?"}
    return {"cells": [text, {"cell_type": "code", "outputs": [{"data": shown[0]}]}]}


def test_a_list_that_agrees_is_accepted(notebook):
    assert unlisted(notebook) == []
    assert notebook["cells"][1]["outputs"][0]["data"]["text/plain"] == (
        "All 2 numbers in the text agree: 1 computed, 1 quoted."
    )


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("37%", "38%", ["states 38, which is not in its list", "list of numbers has 37"]),
        ("256", "265", ["states 265, which is not in its list", "list of numbers has 256"]),
        (" of 256 experts", "", ["list of numbers has 256"]),
        ("uses", "uses 3 and", ["states 3, which is not in its list"]),
    ],
)
def test_a_number_that_was_changed_is_named(old, new, messages, notebook):
    notebook["cells"][0]["source"] = notebook["cells"][0]["source"].replace(old, new)
    found = unlisted(notebook)
    assert len(found) == len(messages)
    assert all(any(message in line for line in found) for message in messages)


def test_a_computed_value_that_moved_is_named(notebook):
    changed = copy.deepcopy(notebook)
    changed["cells"][1]["outputs"][0]["data"][PROSE]["37%"] = 0.41
    assert unlisted(changed) == ["its text states 37%, computed is 0.41"]


def test_under_other_assumptions_the_cell_says_what_changes(monkeypatch):
    shown = []
    monkeypatch.setattr(prose, "display", lambda data, raw: shown.append(data))
    prose.prose_numbers({"$5.576M": 9.95e6, "37%": 0.37})
    assert shown[0]["text/plain"] == "Not as the text says, under these assumptions: $5.576M is now 9.95e+06"
