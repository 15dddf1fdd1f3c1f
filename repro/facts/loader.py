"""Loads the published figures, and refuses a figure that does not say where it comes from.

Everything that this project takes from others is a TOML entry in `data/`: a value, its unit, the publication, the
place in it, and who stands behind the value. Whole files (configurations, tables of scores) are in `data/published/`.
Audits read through a `Ledger`, which notes every key, so each finding can list its sources.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from repro.errors import InputError, unknown_name
from repro.facts.published import INDEX, find_model, load_published
from repro.facts.schema import Fact, Published, Reference, Sourced, build
from repro.files import read_toml

DATA = Path(__file__).parent / "data"
REFERENCES = "references.toml"
Noted = TypeVar("Noted", Fact, Published)


class Facts(Mapping[str, Fact]):
    """All facts by key, the published files, and the references that facts and files cite."""

    def __init__(self, facts: dict[str, Fact], references: dict[str, Reference], published: dict[str, Published]):
        self._facts, self.references, self.published = facts, references, published

    def __getitem__(self, key: str) -> Fact:
        """Return a fact, or raise InputError with the nearest key."""
        if key not in self._facts:
            raise unknown_name("fact", key, self._facts)
        return self._facts[key]

    def __contains__(self, key: object) -> bool:
        return key in self._facts

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def model(self, name: str) -> Published:
        """Return a model's configuration by its name in any spelling, or raise InputError with the nearest name."""
        return find_model(self.published, name)

    def source(self, key: str) -> Sourced:
        """Return the entry behind a key that a ledger noted: a fact, or a published file."""
        return self.published[key] if key in self.published else self[key]

    def under(self, prefix: str) -> list[Fact]:
        """Return the fact with that key, or all below it ("deepseek_v3"), or raise InputError with the nearest key."""
        matches = [fact for key, fact in self.items() if key == prefix or key.startswith(prefix + ".")]
        if not matches:
            groups = dict.fromkeys(key.split(".")[0] for key in self)
            raise unknown_name("fact", prefix, [*groups, *self._facts])
        return matches


class Ledger:
    """Hands out values and notes each fact that was read, so that a finding can list its sources."""

    def __init__(self, facts: Facts):
        self._facts = facts
        self.read: list[str] = []

    def __getitem__(self, key: str) -> float:
        """Return the value of a fact, in its own unit, or raise InputError for an unknown key."""
        return self._note(self._facts[key]).value

    def unit(self, key: str) -> str:
        """Return the unit of a fact, which says what it counts, or raise InputError for an unknown key."""
        return self._note(self._facts[key]).unit

    def date(self, key: str) -> str:
        """Return the date of a fact's source, or raise InputError for an unknown key."""
        return self._facts.references[self._note(self._facts[key]).source].date

    def under(self, prefix: str) -> dict[str, float]:
        """Return the values of all facts below a key, each by the last part of its own key."""
        return {fact.key.rsplit(".", 1)[-1]: self[fact.key] for fact in self._facts.under(prefix)}

    def config(self, name: str) -> dict[str, Any]:
        """Return a model's configuration by its name, or raise InputError with the nearest name."""
        content: dict[str, Any] = self._note(self._facts.model(name)).content
        return content

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table of scores, or raise InputError with the nearest name."""
        if f"scores.{name}" not in self._facts.published:
            raise unknown_name("table", name, [key.split(".")[1] for key in self._facts.published if "scores" in key])
        rows: list[dict[str, str]] = self._note(self._facts.published[f"scores.{name}"]).content
        return rows

    def _note(self, entry: Noted) -> Noted:
        if entry.key not in self.read:
            self.read.append(entry.key)
        return entry


@cache
def load(folder: Path = DATA) -> Facts:
    """Return all facts of a folder of TOML files, checked.

    Raises:
        InputError: with the file and the key, for a value without a source, of a wrong type or not finite, for a source
            that is not in references.toml, or for a file that is not TOML.
    """
    references = {key: build(Reference, REFERENCES, key, fields) for key, fields in _leaves(folder / REFERENCES)}

    def check_source(file: str, entry: Sourced) -> None:
        if entry.source not in references:
            raise InputError(f"{file}: {entry.key}: {unknown_name('source', entry.source, references)} ({REFERENCES})")

    facts: dict[str, Fact] = {}
    for path in sorted(set(folder.glob("*.toml")) - {folder / REFERENCES}):
        for key, fields in _leaves(path):
            if key in facts:
                raise InputError(f"{path.name}: {key}: the key exists in another file too")
            facts[key] = build(Fact, path.name, key, fields)
            check_source(path.name, facts[key])
    for key, fact in facts.items():
        if fact.conflicts_with and fact.conflicts_with not in facts:
            raise InputError(f"{key}: conflicts_with: {unknown_name('fact', fact.conflicts_with, facts)}")
    published = load_published(folder / "published")
    for entry in published.values():
        check_source(INDEX, entry)
        if entry.tokens and entry.tokens not in facts:
            raise InputError(f"{INDEX}: {entry.key}: tokens: {unknown_name('fact', entry.tokens, facts)}")
    return Facts(facts, references, published)


def _leaves(path: Path, table: dict[str, Any] | None = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, fields) for every innermost table of a file, or of one of its tables."""
    for name, entry in (read_toml(path) if table is None else table).items():
        key = f"{prefix}{name}"
        if entry and isinstance(entry, dict) and all(isinstance(value, dict) for value in entry.values()):
            yield from _leaves(path, entry, f"{key}.")
        else:
            yield key, entry
