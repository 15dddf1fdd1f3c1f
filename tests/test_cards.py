"""Findings as cards: what stands in view, what folds away, and the same as data."""

from html.parser import HTMLParser

import pytest

from repro import FINDING
from repro.claims import run_all, run_audit
from repro.claims.audit import AUDITS
from repro.lab import cards


@pytest.fixture
def shown(monkeypatch):
    """Return the list that everything displayed is added to."""
    outputs = []
    monkeypatch.setattr(cards, "display", lambda data, raw: outputs.append(data))
    return outputs


class Page(HTMLParser):
    """Collects the text in view and the text folded away, and checks that each tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.view, self.folded = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        hidden = "details" in self.open and "summary" not in self.open
        (self.folded if hidden else self.view).append(data)


def test_a_finding_is_shown_in_words_and_as_data(shown):
    cards.show(run_audit("A46"))
    (data,) = shown
    assert data[FINDING]["value"] == 5_576_000
    assert data[FINDING]["verdict"] == "holds"
    assert data["text/plain"].splitlines() == [
        "A46 holds: 2.788M GPU hours at $2 make $5.576M.",
        f"Claim: {run_audit('A46').claim.statement}.",
        "Printed: $5.576 million",
        "Recomputed: $5.576M",
    ]
    assert "Printed: <b><span>$</span>5.576 million</b>" in data["text/html"]


def test_values_as_data_have_six_digits(shown):
    cards.show(run_audit("A07"))
    assert shown[0][FINDING]["value"] == 1.86359


def test_an_audit_to_come_has_no_value(shown, monkeypatch):
    monkeypatch.delitem(AUDITS, "A12")
    cards.show(run_audit("A12"))
    assert shown[0][FINDING]["value"] is None


def test_context_is_cited_and_has_no_value(shown):
    cards.show(run_audit("A04"))
    assert shown[0][FINDING]["value"] is None
    assert shown[0][FINDING]["verdict"] == "context"
    assert "2025-01-27" in shown[0]["text/plain"]


def test_readings_assumptions_and_sources_fold_away(shown):
    cards.show(run_audit("A16"))
    page = Page(shown[0]["text/html"])
    view, folded = "".join(page.view), "".join(page.folded)
    assert view.count("A16 mostly holds") == 1
    assert "without experts every parameter would multiply every token" in view
    assert view.endswith("Readings and reasonsAssumptionsSources")
    assert "10.3% (holds)" in folded
    assert "63.5% (wrong)" in folded
    assert "57.5% (wrong, about V2)" in folded
    assert "flop_per_parameter_per_token = 6.0" in folded
    assert "href='https://arxiv.org/abs/2001.08361'" in shown[0]["text/html"]


def test_a_card_in_view_is_short_for_every_claim(shown):
    for result in run_all():
        cards.show(result)
        view = "".join(Page(shown[-1]["text/html"]).view)
        assert len(view.split()) < 90, (result.claim.id, len(view.split()))
        assert result.claim.statement.replace("&", "&amp;")[:20] in view


def test_a_line_names_the_notebook_that_argues_the_claim(shown):
    cards.show_line(run_audit("A16"))
    (data,) = shown
    assert data["text/plain"].startswith("A16 mostly holds: V3's compute: 6.5%")
    assert data["text/plain"].endswith("See notebook 03.")
    assert data[FINDING]["id"] == "A16"


@pytest.mark.parametrize(("claim", "lines"), [("B13", ["Printed: roughly 50,000"]), ("B18", [])])
def test_figures_are_shown_if_the_document_prints_one_and_it_can_be_recomputed(claim, lines, shown):
    cards.show(run_audit(claim))
    plain = shown[0]["text/plain"].splitlines()
    assert [line for line in plain if line.startswith(("Printed", "Recomputed"))] == lines
