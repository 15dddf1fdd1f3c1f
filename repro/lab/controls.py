"""Sliders beside a result, where ipywidgets is installed; without it the same result as text.

A control calls the function that the notebook shows, with other values. What is committed and checked is the text at
the defaults, so a notebook reads and checks the same with and without controls.
"""

import importlib.util
import os
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from repro.lab.run import FIGURES

PLAIN = "REPRO_PLAIN"  # a variable that, when set, leaves controls out, as in checks


class Slider(NamedTuple):
    """A number that a reader can move."""

    low: float
    high: float
    step: float
    value: float  #: at which the notebook is committed


class Choice(NamedTuple):
    """One of several values that a reader can pick."""

    options: tuple[str, ...]
    value: str


Control: TypeAlias = Slider | Choice


def explore(describe: Callable[..., str], **controls: Control) -> None:
    """Print what a function says at the controls' values; show the controls too where that is possible.

    Args:
        describe: takes each control by name and returns a text.
        **controls: sliders and choices, by name.
    """
    print(describe(**{name: control.value for name, control in controls.items()}))
    if interactive():
        _show_widgets(describe, controls)


def interactive() -> bool:
    """Tell whether controls can be shown: ipywidgets is installed, and no run or check wants outputs alone."""
    wanted = not (os.environ.get(FIGURES) or os.environ.get(PLAIN))
    return wanted and importlib.util.find_spec("ipywidgets") is not None


def _show_widgets(describe: Callable[..., str], controls: dict[str, Control]) -> None:
    import ipywidgets
    from IPython.display import display

    widgets = {
        name: ipywidgets.Dropdown(options=control.options, value=control.value, description=name)
        if isinstance(control, Choice)
        else ipywidgets.FloatSlider(
            control.value, min=control.low, max=control.high, step=control.step, description=name
        )
        for name, control in controls.items()
    }
    shown = ipywidgets.interactive_output(lambda **values: print(describe(**values)), widgets)
    display(ipywidgets.VBox([*widgets.values(), shown]))
