"""Runs notebooks through papermill. A run appears in its folder complete, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from repro import FINDING
from repro.errors import InputError
from repro.inputs import Value
from repro.lab.notebooks import Notebook, folder

FIGURES = "REPRO_FIGURES"  # the folder for a notebook's figures; show_figure writes no files while it is not set
KERNEL = "python3"
HIDDEN = "hide-input"  # the tag of a cell whose source only draws


@dataclass(frozen=True)
class NotebookRun:
    """A finished run: where the notebook and its figures lie, and the findings it showed."""

    notebook: Path
    figures: tuple[Path, ...]
    findings: tuple[dict[str, Any], ...]


def run_notebook(notebook: Notebook, values: dict[str, Value], out: Path, figures: Path) -> NotebookRun:
    """Execute a notebook, save it with what it draws, and return the run.

    Args:
        notebook: with its parameters.
        values: by parameter, the others at their defaults; those of parameters that it does not have are left out.
        out: folder for the executed notebook.
        figures: folder for what it draws.

    Raises:
        InputError: if a folder cannot be written or a cell fails; nothing is left behind then.
    """
    import nbformat

    own_values = {name: value for name, value in values.items() if name in notebook.parameters}
    target = out / notebook.path.name
    with writable(out, figures), tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as staging:
        _refuse_folder(target)
        partial, drawn = Path(staging) / notebook.path.name, Path(staging) / "figures"
        drawn.mkdir()
        node = canonical(_execute(notebook, own_values, partial, drawn))
        nbformat.write(node, partial)
        saved = {file: figures / file.name for file in sorted(drawn.iterdir())}
        _publish({**saved, partial: target})
    return NotebookRun(target, tuple(saved.values()), tuple(findings(node)))


def _publish(files: dict[Path, Path]) -> None:
    """Copy every file beside its target first, then rename: what can fail fails before any file is replaced."""
    for target in files.values():
        _refuse_folder(target)
    beside = {target.with_name(f".partial-{os.getpid()}-{target.name}"): target for target in files.values()}
    try:
        for source, copy in zip(files, beside, strict=True):
            shutil.copyfile(source, copy)
        for copy, target in beside.items():
            os.replace(copy, target)
    finally:
        for copy in beside:
            copy.unlink(missing_ok=True)


def _refuse_folder(target: Path) -> None:
    if target.is_dir():
        raise InputError(f"cannot write {target}: a folder of that name is there")


def _execute(notebook: Notebook, values: dict[str, Value], partial: Path, drawn: Path) -> Any:
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # A backend set outside would draw other figures than the committed ones.
    changes = {FIGURES: str(drawn.resolve()), "MPLBACKEND": None, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with _environment(changes), _kernel_silent() as bar:
        try:
            return papermill.execute_notebook(
                notebook.path,
                partial,
                values,
                kernel_name=KERNEL,
                cwd=folder(),
                progress_bar={"desc": notebook.name, "leave": True, "file": bar},
                request_save_on_cell_execute=False,
                # Without this, every kernel warns on standard error that its sockets are not encrypted.
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            )
        except PapermillExecutionError as error:
            reason = _first_line(error.evalue)
            if error.ename != InputError.__name__:
                reason = f"cell [{error.exec_count}] failed: {error.ename}: {reason}"
            raise InputError(f"{notebook.name}: {reason}") from None
        except Exception as error:  # whatever a kernel that cannot start or dies may raise
            reason = f"{type(error).__name__}: {_first_line(error)}"
            raise InputError(f"{notebook.name}: its kernel could not run it: {reason}") from None


def _first_line(text: object) -> str:
    return next((line.strip() for line in str(text).splitlines() if line.strip()), "no message")


@contextmanager
def _kernel_silent() -> Iterator[TextIO]:
    """Silence standard error, where a dying kernel would write, and yield a stream for the progress bar."""
    real = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with os.fdopen(os.dup(real), "w", encoding="utf-8") as bar:
            yield bar
    finally:
        os.dup2(real, 2)
        os.close(real)
        os.close(nowhere)


def canonical(node: Any) -> Any:
    """Remove from an executed notebook what differs from run to run: times, paths, versions, random ids."""
    parameters = node.metadata.get("papermill", {}).get("parameters")
    node.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": KERNEL},
        "language_info": {"name": "python"},
    }
    if parameters:
        node.metadata["papermill"] = {"parameters": parameters}
    for cell in node.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = _cell_metadata(tags, cell.get("outputs", []))
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
    return node


def _cell_metadata(tags: list[str], outputs: list[Any]) -> dict[str, Any]:
    """Return tags, whether the source is hidden, and the text of a picture, each as the programs that read it want it.

    JupyterLab hides by `jupyter`, Jupyter Book by the tag. nbconvert and JupyterLab find the text of a picture in the
    output or as `alt` of the cell, myst-nb under its own name.
    """
    metadata: dict[str, Any] = {"tags": tags} if tags else {}
    if HIDDEN in tags:
        metadata["jupyter"] = {"source_hidden": True}
    texts = [output.get("metadata", {}).get("image/png", {}).get("alt") for output in outputs]
    if alt := next(filter(None, texts), None):
        metadata |= {"alt": alt, "mystnb": {"image": {"alt": alt}}}
    return metadata


def findings(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the findings that an executed notebook shows, in order."""
    for cell in node.cells:
        for output in cell.get("outputs", []):
            if FINDING in output.get("data", {}):
                yield output["data"][FINDING]


@contextmanager
def writable(*folders: Path) -> Iterator[None]:
    """Make folders for some work; if it fails, remove those that were made for it."""
    made: list[Path] = []
    try:
        for path in folders:
            missing = [parent for parent in (path, *path.parents) if not parent.exists()]
            path.mkdir(parents=True, exist_ok=True)
            made += missing
            if not os.access(path, os.W_OK):
                raise PermissionError(13, "permission denied", str(path))
        yield
    except BaseException as error:
        for path in sorted(made, key=lambda folder: len(folder.parts), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if isinstance(error, OSError):
            named = error.filename2 or error.filename or " and ".join(map(str, folders))
            raise InputError(f"cannot write to {named}: {str(error.strerror).lower()}") from None
        raise


@contextmanager
def _environment(changes: dict[str, str | None]) -> Iterator[None]:
    """Set variables, or remove those that are None, for as long as the work lasts."""

    def put(values: dict[str, str | None]) -> None:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in values.items() if value is not None})

    before = {name: os.environ.get(name) for name in changes}
    put(changes)
    try:
        yield
    finally:
        put(before)
