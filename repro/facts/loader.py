"""Reads the data files beside it, and refuses a value that does not say where it comes from."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repro.errors import InputError, unknown
from repro.tomlfile import read_toml

DATA = Path(__file__).parent / "data"
REFERENCES = "references.toml"

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, lt=10**18)]
# How far to trust a figure: published by those who ran it, by the maker of the hardware, by journalists,
# worked out by a third party, or well known and not read again for this project.
Standing = Literal["reported", "vendor", "press", "estimate", "recalled"]


class Fact(BaseModel):
    """One published figure; `via` says where it was read, if not in the source itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Text
    value: Count | Positive
    unit: Text
    source: Text
    locator: Text
    standing: Standing
    note: str = ""
    via: str = ""
    conflicts_with: str = ""


class Reference(BaseModel):
    """One publication that facts come from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Text
    title: Text
    by: Text
    date: Text
    where: Text


class Facts(Mapping[str, Fact]):
    """All facts by key, and the references they cite."""

    def __init__(self, facts: dict[str, Fact], references: dict[str, Reference]):
        """Keep both; facts and references are keyed by their own keys."""
        self._facts = facts
        self.references = references

    def __getitem__(self, key: str) -> Fact:
        """Return the fact of that key; raises InputError with the nearest key where there is none."""
        if key not in self._facts:
            raise unknown("fact", key, self._facts)
        return self._facts[key]

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a fact of that key."""
        return key in self._facts

    def __iter__(self) -> Iterator[str]:
        """Go through the keys in the order of the files."""
        return iter(self._facts)

    def __len__(self) -> int:
        """Count the facts."""
        return len(self._facts)

    def under(self, prefix: str) -> list[Fact]:
        """Return the fact of that key, or all facts below it, such as every "deepseek_v3" one.

        Raises: InputError with the nearest key or group where there is none.
        """
        found = [fact for key, fact in self.items() if key == prefix or key.startswith(prefix + ".")]
        if not found:
            groups = dict.fromkeys(key.split(".")[0] for key in self)
            raise unknown("fact", prefix, [*groups, *self._facts])
        return found


class Ledger:
    """Hands out values and remembers which facts were read, so that a finding can list its sources."""

    def __init__(self, facts: Facts):
        """Start with nothing read."""
        self._facts = facts
        self.read: list[str] = []

    def __getitem__(self, key: str) -> float:
        """Return the value of a fact, in its own unit; raises InputError for an unknown key."""
        fact = self._facts[key]
        if key not in self.read:
            self.read.append(key)
        return fact.value


@cache
def load(folder: Path = DATA) -> Facts:
    """Return all facts of a folder of TOML files, checked.

    Raises: InputError naming the file and the key for a value without a source, of a wrong type or not
    finite, a source that is not in references.toml, or a file that is not TOML.
    """
    references = {
        key: _build(Reference, REFERENCES, key, fields)
        for key, fields in _leaves(REFERENCES, read_toml(folder / REFERENCES))
    }
    facts: dict[str, Fact] = {}
    for path in sorted(folder.glob("*.toml")):
        if path.name == REFERENCES:
            continue
        for key, fields in _leaves(path.name, read_toml(path)):
            if key in facts:
                raise InputError(f"{path.name}: {key}: the key exists in another file too")
            facts[key] = _build(Fact, path.name, key, fields)
            if facts[key].source not in references:
                raise InputError(
                    f"{path.name}: {key}: {unknown('source', facts[key].source, references)} ({REFERENCES})"
                )
    for key, fact in facts.items():
        if fact.conflicts_with and fact.conflicts_with not in facts:
            raise InputError(f"{key}: conflicts_with: {unknown('fact', fact.conflicts_with, facts)}")
    return Facts(facts, references)


def _leaves(file: str, table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (dotted key, fields) for every innermost table."""
    for name, entry in table.items():
        key = f"{prefix}{name}"
        if not isinstance(entry, dict):
            raise InputError(f"{file}: {key}: must be a table with its fields, not a bare {entry!r}")
        if entry and all(isinstance(value, dict) for value in entry.values()):
            yield from _leaves(file, entry, f"{key}.")
        else:
            yield key, entry


def _build(model: type[BaseModel], file: str, key: str, fields: dict[str, Any]) -> Any:
    if "key" in fields:
        raise InputError(f"{file}: {key}: key = {fields['key']!r}: the table's own name is the key")
    try:
        return model(key=key, **fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = first["loc"][0]
        if first["type"] == "missing":
            raise InputError(f"{file}: {key}: has no {field}") from None
        raise InputError(f"{file}: {key}: {field} = {first['input']!r}: {first['msg'].lower()}") from None
