"""What a fact, a published file and a reference must say about themselves."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from repro.errors import InputError

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, lt=10**18)]
Url = Annotated[str, Field(pattern=r"^https?://[\w.-]+\.\w+(/\S*)?$")]
# Who stands behind a figure: those who ran it, the maker of the hardware, journalists, a third party that worked it
# out, or common knowledge that nobody read again for this project.
Provenance = Literal["reported", "vendor", "press", "estimate", "recalled"]
Entry = TypeVar("Entry", bound=BaseModel)


class Sourced(BaseModel):
    """Anything that others published; `read_via` names the copy that was read, if not the source itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Text
    source: Text
    locator: Text
    provenance: Provenance = Field(serialization_alias="standing")
    note: str = ""
    read_via: str = Field("", serialization_alias="via")


class Fact(Sourced):
    """One published figure."""

    value: Count | Positive
    unit: Text
    conflicts_with: str = ""


class Published(Sourced):
    """One published file kept whole: a model's configuration, or a table of scores."""

    file: Text  #: name in the folder
    title: Text  #: as a reader knows it
    tokens: str = ""  #: for a model, key of the fact that says how many tokens it was trained on
    owner: str = ""  #: of the model, before the slash in its full name
    content: Any = Field(exclude=True, repr=False)  #: an object for a configuration, rows by column name for a table


class Reference(BaseModel):
    """One publication that facts come from; a fact that was read in somebody's quotation names it in `read_via`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Text
    title: Text
    by: Text
    date: Text
    citation: Text = Field(serialization_alias="where")  #: where it appeared, in words
    url: Url
    # ISO date on which it, or a stored copy of it, was last opened for this project and its figures found; or empty.
    accessed: Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]
    unread: Annotated[str, Field(validate_default=True)] = ""  #: if it was not, why, and what was read instead

    @field_validator("unread")
    @classmethod
    def _either_opened_or_why_not(cls, unread: str, info: ValidationInfo) -> str:
        if bool(unread) == bool(info.data.get("accessed")):
            raise ValueError("either `accessed` has a date, or `unread` says why there is none")
        return unread


def build(model: type[Entry], file: str, key: str, fields: Any) -> Entry:
    """Return a table as its model; InputError if it is none, or a field is missing, unknown or of a wrong type."""
    if not isinstance(fields, dict):
        raise InputError(f"{file}: {key}: must be a table with its fields, not a bare {fields!r}")
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
