"""Reads the numbers of a figure back from what is drawn, so that a notebook can carry them beside the picture.

nbval compares JSON and skips pictures. What is read here comes from the artists themselves, not from the arrays that
they were given: a bar of a wrong length, a swapped line or a missing point changes the numbers.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import Collection, PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter

from repro.arrays import Array
from repro.calc.rounding import to_digits

MOST = 48  # points of a line, rows of an image, polygons of a collection; of more, evenly spaced ones are kept

Json = dict[str, Any]


def figure_data(figure: Figure, digits: int = 4) -> Json:
    """Return what a figure shows as plain values that JSON can hold.

    Args:
        figure: drawn.
        digits: significant digits that are kept; few where a training in the notebook decides the last ones.

    Returns:
        Its title, and for each of its axes the title, the labels, all texts, bars, lines, points, images and shapes.
    """
    title = figure.get_suptitle()
    return ({"title": title} if title else {}) | {"axes": [_axes_data(axes, digits) for axes in figure.axes]}


def _axes_data(axes: Axes, digits: int) -> Json:
    bars = [group for group in axes.containers if isinstance(group, BarContainer)]
    in_bars = {id(patch) for group in bars for patch in group}
    found: Json = {
        "title": axes.get_title() or axes.get_title("left"),
        "x": axes.get_xlabel(),
        "y": axes.get_ylabel(),
        "texts": [text.get_text() for text in axes.texts if isinstance(text, Text) and text.get_text()],
        "bars": [_bars(group, digits) for group in bars],
        "lines": [_line(line, digits) for line in axes.get_lines()],
        "points": [_points(one, digits) for one in axes.collections if isinstance(one, PathCollection)],
        "areas": [_areas(one, digits) for one in axes.collections if not isinstance(one, PathCollection)],
        "images": [_image(image, digits) for image in axes.images],
        "shapes": [_shape(patch, digits) for patch in axes.patches if id(patch) not in in_bars],
    }
    if axes.axison:
        found["ticks"] = [[label.get_text() for label in labels] for labels in _tick_labels(axes)]
    return {name: value for name, value in found.items() if value}


def _tick_labels(axes: Axes) -> Iterable[Sequence[Text]]:
    """Yield the labels of axes whose ticks were named one by one; others follow from the numbers."""
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_formatter(), (FixedFormatter, StrCategoryFormatter)):
            yield axis.get_ticklabels()


def _bars(group: BarContainer, digits: int) -> Json:
    boxes = [_box(patch, digits) for patch in group]
    return _labelled(group.get_label(), {"boxes": boxes})


def _line(line: Line2D, digits: int) -> Json:
    x, y = (_numbers(_thin(np.asarray(values)), digits) for values in (line.get_xdata(), line.get_ydata()))
    return _labelled(line.get_label(), {"x": x, "y": y, "colour": mpl.colors.to_hex(line.get_color())})


def _points(points: PathCollection, digits: int) -> Json:
    x, y = (_numbers(_thin(column), digits) for column in np.ma.filled(points.get_offsets(), np.nan).T)
    return _labelled(points.get_label(), {"x": x, "y": y})


def _areas(areas: Collection, digits: int) -> Json:
    """Return the box around each polygon or line segment, and how many there are."""
    paths = areas.get_paths()
    boxes = [_corners(path.vertices, digits) for path in _thin(paths) if len(path.vertices)]
    return _labelled(areas.get_label(), {"count": len(paths), "boxes": boxes})


def _image(image: AxesImage, digits: int) -> Json:
    drawn: Array = np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan)  # [rows, columns], or with colours
    rows = _thin(drawn.reshape(len(drawn), -1))
    return {"shape": list(drawn.shape), "rows": [_numbers(_thin(row), digits) for row in rows]}


def _shape(patch: Patch, digits: int) -> Json:
    where = _box(patch, digits) if isinstance(patch, Rectangle) else _corners(patch.get_path().vertices, digits)
    named = {"name": str(patch.get_gid())} if patch.get_gid() else {}
    return named | {"box": where, "colour": mpl.colors.to_hex(patch.get_facecolor())}


def _box(patch: Rectangle, digits: int) -> list[float | str]:
    """Return left, bottom, width and height."""
    return _numbers([patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()], digits)


def _corners(vertices: Any, digits: int) -> list[float | str]:
    """Return the lowest and the highest corner of the box around some points."""
    points = np.asarray(vertices, float)  # [points, 2]
    return _numbers([*np.nanmin(points, axis=0), *np.nanmax(points, axis=0)], digits)


def _labelled(label: object, values: Json) -> Json:
    return ({} if str(label).startswith("_") else {"label": str(label)}) | values


def _thin(values: Any) -> Any:
    """Return at most MOST of the values, evenly spaced, the first and the last among them."""
    if len(values) <= MOST:
        return values
    kept = np.linspace(0, len(values) - 1, MOST).round().astype(int)
    return [values[index] for index in kept]


def _numbers(values: Iterable[Any], digits: int) -> list[float | str]:
    return [_number(value, digits) for value in values]


def _number(value: Any, digits: int) -> float | str:
    """Return a number that JSON can hold; a name or what is no finite number as text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return to_digits(number, digits) + 0.0 if math.isfinite(number) else str(number)  # + 0.0: no negative zero
