"""Controls beside a result: the text alone where nothing can be moved, and the same function where it can."""

import sys
import types

import pytest

from repro.lab import controls
from repro.lab.controls import PLAIN, Choice, Slider, explore
from repro.lab.run import FIGURES


def cost(rent, kind):
    return f"{kind} at ${rent:g}: ${2.788 * rent:.3f}M"


CONTROLS = {"rent": Slider(0.5, 6, 0.1, 2.0), "kind": Choice(("V3", "V2"), "V3")}


@pytest.fixture
def widgets(monkeypatch):
    """Return what a stand-in for ipywidgets was asked to show; the real one is no part of the tests' environment."""
    asked = {}

    def interactive_output(function, made):
        asked.update(function=function, made=made)
        return "output"

    fake = types.ModuleType("ipywidgets")
    fake.FloatSlider = lambda value, **options: ("slider", value, options)
    fake.Dropdown = lambda **options: ("choice", options)
    fake.VBox = list
    fake.interactive_output = interactive_output
    monkeypatch.setitem(sys.modules, "ipywidgets", fake)
    monkeypatch.setattr(controls.importlib.util, "find_spec", lambda name: fake)
    for name in (PLAIN, FIGURES):
        monkeypatch.delenv(name, raising=False)
    return asked


def test_without_ipywidgets_the_text_stands_alone(capsys, monkeypatch):
    monkeypatch.setattr(controls.importlib.util, "find_spec", lambda name: None)
    explore(cost, **CONTROLS)
    assert capsys.readouterr().out == "V3 at $2: $5.576M\n"


def test_controls_call_the_same_function(widgets, capsys):
    explore(cost, **CONTROLS)
    assert capsys.readouterr().out.startswith("V3 at $2: $5.576M\n")
    assert widgets["made"]["rent"] == ("slider", 2.0, {"min": 0.5, "max": 6, "step": 0.1, "description": "rent"})
    assert widgets["made"]["kind"][1]["options"] == ("V3", "V2")
    widgets["function"](rent=3.0, kind="V2")
    assert capsys.readouterr().out == "V2 at $3: $8.364M\n"


@pytest.mark.parametrize("variable", [PLAIN, FIGURES])
def test_a_run_and_a_check_show_no_controls(widgets, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    explore(cost, **CONTROLS)
    assert not widgets
