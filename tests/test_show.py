"""What notebooks show: tables whose texts are safe for a browser, and findings as data."""

import pandas as pd
import pytest

from repro import FINDING
from repro.claims import run_all, run_audit
from repro.claims.audit import AUDITS
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


def test_a_finding_is_shown_in_words_and_as_data(shown):
    show.show(run_audit("A46"))
    (data,) = shown
    assert data[FINDING]["value"] == 5_576_000
    assert data[FINDING]["verdict"] == "holds"
    assert data["text/plain"].startswith("A46 holds: ")
    assert "<b>A46: holds</b>" in data["text/html"]


def test_values_as_data_have_six_digits(shown):
    show.show(run_audit("A07"))
    assert shown[0][FINDING]["value"] == 1.86359


def test_an_audit_to_come_has_no_value(shown, monkeypatch):
    monkeypatch.delitem(AUDITS, "A12")
    show.show(run_audit("A12"))
    assert shown[0][FINDING]["value"] is None


def test_context_is_cited_and_has_no_value(shown):
    show.show(run_audit("A04"))
    assert shown[0][FINDING]["value"] is None
    assert shown[0][FINDING]["verdict"] == "context"
    assert "2025-01-27" in shown[0]["text/plain"]


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
    cases = show.cases_table(run_audit("B03"))
    assert list(cases["this reading alone"]) == ["holds", "holds", "wrong"]
    assert cases.index[0] == "a rent of $2 per GPU hour (ordinary reading)"
    facts = show.facts_table(load(), ["deepseek_v3.gpus"])
    assert facts.loc["deepseek_v3.gpus", "value"] == "2,048 H800 GPUs"
