"""Finds the committed notebooks and reads what their parameter cells say of themselves."""

import ast
import os
from dataclasses import dataclass
from pathlib import Path

import repro
from repro.errors import InputError, unknown_name
from repro.inputs import UserInput, Value


@dataclass(frozen=True)
class Notebook:
    """A committed notebook: its name without the ending, its file, its first heading, and its parameters by name."""

    name: str
    path: Path
    title: str
    parameters: dict[str, UserInput]


def folder() -> Path:
    """Return the folder of the committed notebooks, or raise InputError if the package runs apart from its checkout."""
    path = Path(repro.__file__).resolve().parents[1] / "notebooks"
    if not path.is_dir():
        raise InputError("no notebooks/ beside the package; run from a checkout, installed with make setup")
    return path


def find(names: list[str]) -> list[Path]:
    """Return the files of the named notebooks, or of all if none is named.

    Names are such as "01", "01_flops_to_gpu_hours" or a path to it; InputError gives the nearest for one that none has.
    """
    paths = {path.stem: path for path in sorted(folder().glob("*.ipynb"))}
    if not paths:
        raise InputError("notebooks/ holds no notebook")
    chosen: list[Path] = []
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        matches = [path for known, path in paths.items() if stem in (known, known.split("_")[0])]
        if not matches:
            raise unknown_name("notebook", name, paths)
        if Path(name).name != name and not all(os.path.realpath(name) == str(path) for path in matches):
            raise InputError(f"{name}: is not a notebook of this checkout; name one, such as {matches[0].stem}")
        chosen += [path for path in matches if path not in chosen]
    return chosen or list(paths.values())


def read(path: Path) -> Notebook:
    """Return a notebook with its parameters, or raise InputError naming what is damaged or incomplete.

    A parameter is one line of the cell tagged "parameters": `name: type = default  # unit; domain; help`.
    """
    import nbformat
    from papermill import inspect_notebook

    try:
        node = nbformat.read(path, as_version=4)
        inferred = inspect_notebook(path)
    except Exception as error:
        raise InputError(f"{path.name}: is not a notebook: {str(error).splitlines()[0]}") from None
    first = node.cells[0].source if node.cells else ""
    title = first.splitlines()[0].lstrip("# ") if first else path.stem
    parameters = {name: _parameter(path, **fields) for name, fields in inferred.items()}
    return Notebook(path.stem, path, title, parameters)


def _parameter(path: Path, name: str, inferred_type_name: str, default: str, help: str) -> UserInput:
    parts = [part.strip() for part in help.split(";", 2)]
    try:
        value: Value = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        raise InputError(f"{path.name}: {name}: the default {default} is not a plain value") from None
    if len(parts) != 3 or inferred_type_name != type(value).__name__:
        raise InputError(f"{path.name}: {name}: must read `{name}: type = default  # unit; domain; help`")
    parameter = UserInput(name, value, *parts)
    try:
        parameter.check(value)
    except ValueError as error:
        raise InputError(f"{path.name}: {error}") from None
    return parameter


def check_values(notebooks: list[Notebook], texts: dict[str, str]) -> dict[str, Value]:
    """Return parameter values by name from a command line's texts, each of the type that these notebooks give it.

    Raises:
        InputError: for a parameter that none of them has, or a value outside its domain.
    """
    known = {name: parameter for notebook in notebooks for name, parameter in notebook.parameters.items()}
    values: dict[str, Value] = {}
    for name, text in texts.items():
        if name not in known:
            raise unknown_name("parameter", name, known)
        values[name] = known[name].parse(text)
    return values
