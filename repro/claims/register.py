"""The 67 claims, in our own words, with the figures as the documents print them."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from repro.errors import InputError, unknown_name
from repro.files import read_toml

REGISTER = Path(__file__).parent / "register.toml"

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Kind = Literal[
    "balance", "benchmark", "context", "cost", "data", "efficiency", "flops", "fp8", "framework", "hardware",
    "interpretation", "kv cache", "memory", "moe", "mtp", "network", "pipeline", "serving", "time",
]  # fmt: skip


# Kinds of claims that no computation settles: news, background, readings of history.
CONTEXT_KINDS = ("context", "framework", "interpretation")


class Printed(BaseModel):
    """One figure as a document prints it.

    text: the figure with its sign and unit as printed. value: as a number in `unit`, the lower end of a range.
    high: the upper end of a range. place: what one unit of the last printed digit is worth.
    relation: "=" for a figure, "<" for a bound, "range" from value to high.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    text: Text
    value: Number
    unit: Text
    place: Annotated[Number, Field(gt=0)]
    high: Number | None = None
    relation: Literal["=", "<", "range"] = "="

    @model_validator(mode="after")
    def _range_has_two_ends(self) -> "Printed":
        if (self.relation == "range") != (self.high is not None):
            raise ValueError("a range needs value and high, and nothing else has high")
        return self


class Claim(BaseModel):
    """One claim of a document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[AB]\d\d$")]
    document: Text
    section: Text
    kind: Kind
    statement: Text
    printed: tuple[Printed, ...] = ()

    @property
    def is_context(self) -> bool:
        """Whether the claim is news or background, to be cited and not computed."""
        return self.kind in CONTEXT_KINDS

    def figure(self, name: str) -> Printed:
        """Return a printed figure by its name; raises InputError where the register has none of that name."""
        figures = {figure.name: figure for figure in self.printed}
        if name not in figures:
            raise InputError(f"{REGISTER.name}: {self.id}: prints no figure named {name}")
        return figures[name]


class Document(BaseModel):
    """One of the two documents under audit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Text
    title: Text


class Register(BaseModel):
    """Both documents and all claims."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: dict[str, Document]
    claims: tuple[Claim, ...]

    def claim(self, claim_id: str) -> Claim:
        """Return a claim by its id, in either case of letters; raises InputError with the nearest id."""
        by_id = {claim.id: claim for claim in self.claims}
        if claim_id.upper() not in by_id:
            raise unknown_name("claim", claim_id, by_id)
        return by_id[claim_id.upper()]


@cache
def load_register(path: Path = REGISTER) -> Register:
    """Return the register of a TOML file, checked.

    Raises: InputError naming the file and the claim for a missing or wrong field, an id that is there twice, an
    unknown document, or a file that is not TOML.
    """
    raw = read_toml(path)
    try:
        register = Register(documents=raw.get("documents", {}), claims=raw.get("claim", ()))
    except ValidationError as error:
        raise InputError(f"{path.name}: {_place(raw, error)}") from None
    seen: set[str] = set()
    for claim in register.claims:
        if claim.document not in register.documents:
            raise InputError(f"{path.name}: {claim.id}: {unknown_name('document', claim.document, register.documents)}")
        if claim.id in seen:
            raise InputError(f"{path.name}: {claim.id}: the id is there twice")
        seen.add(claim.id)
    return register


def _place(raw: dict, error: ValidationError) -> str:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    if where[0] == "claims" and len(where) > 1:
        claim = raw["claim"][int(where[1])]
        where[:2] = [str(claim.get("id", "claim")) if isinstance(claim, dict) else "claim"]
    return f"{'.'.join(where)}: {first['msg'].lower()}"
