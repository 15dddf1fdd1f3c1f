"""Runs notebooks through papermill; a run appears in its folder complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import InputError
from repro.lab.notebooks import Notebook, folder
from repro.parameters import Value

FINDING = "application/vnd.repro.finding+json"
FIGURES = "REPRO_FIGURES"  # where a notebook's save() puts its figures; nowhere while it is not set
KERNEL = "python3"


@dataclass(frozen=True)
class Run:
    """A finished run: where the notebook and its figures lie, and the findings it showed."""

    notebook: Path
    figures: tuple[Path, ...]
    findings: tuple[dict[str, Any], ...]


def run(notebook: Notebook, values: dict[str, Value], out: Path, figures: Path) -> Run:
    """Execute a notebook with the given parameter values, the others at their defaults.

    Args: notebook: as read. values: by parameter name; those that it does not have are left out. out: folder of
        the executed notebook. figures: folder of what it draws.
    Raises: InputError where a folder cannot be written or a cell fails; nothing is left behind then.
    """
    mine = {name: value for name, value in values.items() if name in notebook.parameters}
    with _writable(out, figures), tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as staging:
        partial, drawn = Path(staging) / notebook.path.name, Path(staging) / "figures"
        drawn.mkdir()
        node = _execute(notebook, mine, partial, drawn)
        _write(canonical(node), partial)
        target = out / notebook.path.name
        os.replace(partial, target)
        saved = tuple(
            Path(shutil.move(file, figures / file.name)).relative_to(figures) for file in sorted(drawn.iterdir())
        )
    return Run(target, tuple(figures / name for name in saved), tuple(findings(node)))


def _execute(notebook: Notebook, values: dict[str, Value], partial: Path, drawn: Path) -> Any:
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    with _environment({FIGURES: str(drawn.resolve()), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}):
        try:
            return papermill.execute_notebook(
                notebook.path,
                partial,
                values,
                kernel_name=KERNEL,
                cwd=folder(),
                progress_bar={"desc": notebook.name, "leave": True},
                request_save_on_cell_execute=False,
                # Without this, every kernel warns on standard error that its sockets are not encrypted.
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            )
        except PapermillExecutionError as error:
            first = str(error.evalue).splitlines()[0] if str(error.evalue) else ""
            raise InputError(f"{notebook.name}: cell [{error.exec_count}] failed: {error.ename}: {first}") from None


def canonical(node: Any) -> Any:
    """Return an executed notebook without what differs from run to run: times, paths, versions, random ids."""
    parameters = node.metadata.get("papermill", {}).get("parameters")
    node.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": KERNEL},
        "language_info": {"name": "python"},
    }
    if parameters:
        node.metadata["papermill"] = {"parameters": parameters}
    for cell in node.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
    return node


def findings(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the findings that an executed notebook shows, in order."""
    for cell in node.cells:
        for output in cell.get("outputs", []):
            if FINDING in output.get("data", {}):
                yield output["data"][FINDING]


def _write(node: Any, path: Path) -> None:
    import nbformat

    nbformat.write(node, path)


@contextmanager
def _writable(*folders: Path) -> Iterator[None]:
    """Make folders for as long as the work in them succeeds; what was made for nothing is taken away."""
    made = []
    try:
        for path in folders:
            missing = [one for one in (path, *path.parents) if not one.exists()]
            path.mkdir(parents=True, exist_ok=True)
            made += missing
            if not os.access(path, os.W_OK):
                raise PermissionError(13, "permission denied", str(path))
        yield
    except BaseException as error:
        for path in sorted(made, key=lambda one: len(one.parts), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if isinstance(error, OSError):
            raise InputError(f"cannot write to {error.filename}: {str(error.strerror).lower()}") from None
        raise


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
