"""What notebooks show as tables: texts that are safe for a browser, verdicts in their colours."""

import pandas as pd
import pytest

from repro.claims import run_all, run_audit
from repro.facts import load
from repro.lab import show


@pytest.fixture
def shown(monkeypatch):
    """Return the list that everything displayed is added to."""
    outputs = []
    monkeypatch.setattr(show, "display", lambda data, raw: outputs.append(data))
    return outputs


def test_a_dollar_stands_in_an_element_of_its_own(shown):
    show.show_table(pd.DataFrame({"cost": ["$5M to $6M"]}, index=["a < b"]), "case")
    (data,) = shown
    assert "<span>$</span>5M to <span>$</span>6M" in data["text/html"]
    assert "a &lt; b" in data["text/html"]
    assert data["text/plain"].split() == ["case", "cost", "a", "<", "b", "$5M", "to", "$6M"]


def test_a_verdict_has_its_colour(shown):
    show.show_table(pd.DataFrame({"verdict": ["wrong", "other"]}, index=["A", "B"]))
    assert shown[0]["text/html"].count("background-color: #D55E0080") == 1


def test_columns_share_the_names_of_their_rows(shown):
    show.show_columns("model", {"size": {"a": "1", "b": "2"}, "share": {"b": "80%", "a": "20%"}})
    assert shown[0]["text/plain"].split() == ["model", "size", "share", "a", "1", "20%", "b", "2", "80%"]


def test_tables():
    board = show.scoreboard(run_all())
    assert board.loc["A46"].to_dict() == {
        "verdict": "holds",
        "what is true": "2.788M GPU hours at $2 make $5.576M",
        "printed": "$5.576 million",
        "recomputed": "$5.576M",
        "claim": run_audit("A46").claim.statement,
    }
    facts = show.facts_table(load(), ["deepseek_v3.gpus"])
    assert facts.loc["deepseek_v3.gpus", "value"] == "2,048 H800 GPUs"
