"""What a reader may assume otherwise: the assumptions of assumptions.toml, their defaults taken from the facts."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from repro.errors import InputError, unknown_name
from repro.facts import Facts
from repro.facts.schema import Text, build
from repro.files import read_toml
from repro.inputs import UserInput, in_domain

FILE = Path(__file__).parent / "assumptions.toml"


class Assumption(BaseModel):
    """One entry of the file, which says at its top what each field means."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Text = Field(alias="key")
    help: Text
    domain: Text
    fact: str = ""
    default: float | int | str = ""
    unit: str = ""
    whole: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The values to choose from, in the order of the file; one entry where the domain is a range."""
        return tuple(self.domain.split(" | "))

    def user_input(self, facts: Facts) -> UserInput:
        """Return it with its default and unit; a default from a fact is a float unless it counts something whole."""
        if not self.fact:
            return UserInput(self.name, self.default, self.unit, self.domain, self.help)
        fact = facts[self.fact]
        default = fact.value if self.whole else float(fact.value)
        return UserInput(self.name, default, self.unit or fact.unit, self.domain, self.help)


def load_assumptions(path: Path = FILE) -> dict[str, Assumption]:
    """Return the assumptions of a TOML file by name, checked.

    Raises InputError, with file, assumption and field, if a field is missing, unknown or of a wrong type, a domain
    cannot be read, or the default has two origins, none, or lies outside the domain.
    """
    assumptions = {}
    for name, fields in read_toml(path).items():
        entry = assumptions[name] = build(Assumption, path.name, name, fields)
        if problem := _problem(entry):
            raise InputError(f"{path.name}: {name}: {problem}")
    return assumptions


def _problem(entry: Assumption) -> str:
    if bool(entry.fact) == (entry.default != ""):
        return "default: must be given, either here or by a fact, and not by both"
    if not entry.fact and not entry.unit:
        return "has no unit"
    try:
        inside = in_domain(1.0 if entry.fact else entry.default, entry.domain)
    except ValueError as error:
        return f"domain: {error}"
    return "" if inside or entry.fact else f"default = {entry.default!r}: must be {entry.domain}"


ASSUMPTIONS = load_assumptions()


def assumption(name: str) -> Assumption:
    """Return an assumption by its name, or raise InputError with the nearest name if there is none."""
    if name not in ASSUMPTIONS:
        raise unknown_name("assumption", name, ASSUMPTIONS)
    return ASSUMPTIONS[name]


PEAKS, GPUS, MODELS = (assumption(name).choices for name in ("peak", "gpu", "model"))
