"""What a fact, a published file and a reference must say of themselves."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repro.errors import InputError

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, lt=10**18)]
# How far to trust a figure: published by those who ran it, by the maker of the hardware, by journalists,
# worked out by a third party, or well known and not read again for this project.
Standing = Literal["reported", "vendor", "press", "estimate", "recalled"]


class Sourced(BaseModel):
    """Anything that others published; `via` says where it was read, if not in the source itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Text
    source: Text
    locator: Text
    standing: Standing
    note: str = ""
    via: str = ""


class Fact(Sourced):
    """One published figure."""

    value: Count | Positive
    unit: Text
    conflicts_with: str = ""


class Published(Sourced):
    """One published file kept whole: a model's configuration, or a table of scores.

    file: its name in the folder. title: as a reader knows it. tokens: for a model, key of the fact that says how many
    it was trained on. owner: of the model, before the slash in its full name. content: an object for a configuration,
    rows by column name for a table.
    """

    file: Text
    title: Text
    tokens: str = ""
    owner: str = ""
    content: Any = Field(exclude=True, repr=False)


class Reference(BaseModel):
    """One publication that facts come from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Text
    title: Text
    by: Text
    date: Text
    where: Text


def build(model: type[BaseModel], file: str, key: str, fields: dict[str, Any]) -> Any:
    """Return an entry of a file as its model.

    Raises: InputError naming file, key and field where one is missing, unknown or of a wrong type.
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
