"""What a fact, a published file and a reference must say about themselves."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repro.errors import InputError

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, lt=10**18)]
Url = Annotated[str, Field(pattern=r"^(https?://[\w.-]+\.\w+(/\S*)?)?$")]
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
    """One published file kept whole: a model's configuration, or a table of scores.

    Attributes:
        file: name in the folder.
        title: as a reader knows it.
        tokens: for a model, key of the fact that says how many tokens it was trained on.
        owner: of the model, before the slash in its full name.
        content: an object for a configuration, rows by column name for a table.
    """

    file: Text
    title: Text
    tokens: str = ""
    owner: str = ""
    content: Any = Field(exclude=True, repr=False)


class Reference(BaseModel):
    """One publication that facts come from.

    Attributes:
        citation: where it appeared, in words.
        url: its address; empty for figures whose place was not kept.
        accessed: ISO date on which the publication, or a stored copy of it, was last opened for this project; empty
            if that day was not kept. A fact that was read in somebody's quotation names it in `read_via`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Text
    title: Text
    by: Text
    date: Text
    citation: Text = Field(serialization_alias="where")
    url: Url
    accessed: Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


def build(model: type[Entry], file: str, key: str, fields: dict[str, Any]) -> Entry:
    """Return an entry of a file as its model.

    Raises:
        InputError: naming file, key and field if a field is missing, unknown or of a wrong type.
    """
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
