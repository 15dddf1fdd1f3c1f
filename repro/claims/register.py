"""The claims under audit, in our own words, with their figures as the documents print them.

A register is one TOML file. It names the audit, every document with the prefix of its claims' ids, and every claim.
Nothing outside that file knows which documents there are or how many claims they make.
"""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from repro.errors import InputError, unknown_name
from repro.files import read_toml

REGISTER = Path(__file__).parent / "register.toml"

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class _Entry(BaseModel):
    """A table of the file: fixed once read, without fields that nobody expects."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Printed(_Entry):
    """One figure as a document prints it."""

    name: Text
    text: Text  #: the figure with its sign and unit as printed
    value: Number  #: the same as a number in `unit`; the lower end of a range
    unit: Text
    place: Annotated[Number, Field(gt=0)]  #: what one unit of the last printed digit is worth
    high: Number | None = None  #: the upper end of a range
    relation: Literal["=", "<", "range"] = "="  #: a figure, a bound, or a range from value to high
    approximate: bool = False  #: whether the document says "about", "some", "roughly", "~" or the like
    premise: bool = False  #: whether the claim takes it as given, so that it is not recomputed

    @model_validator(mode="after")
    def _range_has_two_ends(self) -> "Printed":
        if (self.relation == "range") != (self.high is not None):
            raise ValueError("a range needs value and high, and nothing else has high")
        return self


class Claim(_Entry):
    """One claim of a document; its id is the document's prefix and a number."""

    id: Text
    label: Annotated[str, Field(max_length=20)] = ""  #: what it is about, in a few words, where a figure has no room
    document: Text
    section: Text
    kind: Text
    statement: Text
    printed: tuple[Printed, ...] = ()

    def figure(self, name: str) -> Printed:
        """Return a printed figure by its name, or raise InputError if the claim prints none of that name."""
        figures = {figure.name: figure for figure in self.printed}
        if name not in figures:
            raise InputError(f"{REGISTER.name}: {self.id}: prints no figure named {name}")
        return figures[name]


class Document(_Entry):
    """One document under audit; `prefix` begins the ids of its claims."""

    file: Text
    title: Text
    prefix: Annotated[str, Field(pattern=r"^[A-Z]+$")]


class About(_Entry):
    """What an audit is about."""

    title: Text
    kinds: tuple[Text, ...]  #: what a claim can be about
    context_kinds: tuple[Text, ...] = ()  #: those that no computation settles: news, background, readings of history
    topics: dict[Text, tuple[Text, ...]] = {}  #: kinds by topic, in the order in which pages show them
    uri: Text  #: of the audit; a claim's permanent URI is this and its id as the fragment

    @model_validator(mode="after")
    def _topics_share_out_the_kinds(self) -> "About":
        grouped = [kind for kinds in self.topics.values() for kind in kinds]
        if self.topics and sorted(grouped) != sorted(self.kinds):
            raise ValueError("topics must name each kind once")
        return self


class Register(_Entry):
    """An audit's documents and all their claims."""

    audit: About
    documents: dict[str, Document]
    claims: tuple[Claim, ...] = Field(alias="claim")

    def claim(self, claim_id: str) -> Claim:
        """Return a claim by its id in capitals or small letters, or raise InputError with the nearest id."""
        by_id = {claim.id: claim for claim in self.claims}
        if claim_id.upper() not in by_id:
            raise unknown_name("claim", claim_id, by_id)
        return by_id[claim_id.upper()]

    def topic(self, claim: Claim) -> str:
        """Return the topic that a claim's kind belongs to, or the kind itself where kinds are not grouped."""
        return next((topic for topic, kinds in self.audit.topics.items() if claim.kind in kinds), claim.kind)

    def is_context(self, claim: Claim) -> bool:
        """Tell whether a claim is news or background, to be cited and not computed."""
        return claim.kind in self.audit.context_kinds


@cache
def load_register(path: Path = REGISTER) -> Register:
    """Return the register of a TOML file, checked.

    Raises InputError, with the file and the claim, if a field is missing or wrong, an id occurs twice or does not begin
    as its document's ids do, a document or kind is unknown, or the file is not TOML.
    """
    raw = read_toml(path)
    try:
        register = Register.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{path.name}: {_describe(raw, error)}") from None
    seen: set[str] = set()
    for claim in register.claims:
        if problem := _problem(register, claim, seen):
            raise InputError(f"{path.name}: {claim.id}: {problem}")
        seen.add(claim.id)
    return register


def _problem(register: Register, claim: Claim, seen: set[str]) -> str:
    if claim.document not in register.documents:
        return str(unknown_name("document", claim.document, register.documents))
    prefix = register.documents[claim.document].prefix
    if not re.fullmatch(rf"{prefix}\d\d+", claim.id):
        return f"id: must be {prefix} and a number of two digits or more, as its document's ids are"
    if claim.kind not in register.audit.kinds:
        return f"kind: {unknown_name('kind', claim.kind, register.audit.kinds)}"
    return "the id is there twice" if claim.id in seen else ""


def _describe(raw: dict[str, Any], error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    if path[0] == "claim" and len(path) > 1:
        claim = raw["claim"][int(path[1])]
        path[:2] = [str(claim.get("id", "claim")) if isinstance(claim, dict) else "claim"]
    return f"{'.'.join(path)}: {first['msg'].lower()}"
