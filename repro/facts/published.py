"""Published files kept whole: models' configurations and tables of scores, each with its source."""

from pathlib import Path
from typing import Any

from repro.errors import InputError, nearest_name, unknown_name
from repro.facts.schema import Published, build
from repro.files import read_csv, read_json, read_toml

INDEX = "index.toml"


def load_published(folder: Path) -> dict[str, Published]:
    """Return every file that a folder's index.toml lists, with its content, by a key such as "config.deepseek_v3".

    A folder that does not exist holds none. Raises InputError naming a file that is damaged, a key without a source.
    """
    if not folder.is_dir():
        return {}
    published: dict[str, Published] = {}
    for group, entries in read_toml(folder / INDEX).items():
        for name, fields in entries.items():
            key = f"{group}.{name}"
            path = folder / str(fields.get("file", "none"))
            content: Any = read_csv(path) if path.suffix == ".csv" else read_json(path)
            published[key] = build(Published, INDEX, key, {**fields, "content": content})
    return published


def find_model(published: dict[str, Published], name: str) -> Published:
    """Return a model's configuration by its name in any spelling, or raise InputError with the nearest name.

    Spellings are such as "deepseek_v3", "DeepSeek-V3" or "deepseek-ai/DeepSeek-V3".
    """
    models = {key.split(".")[1]: entry for key, entry in published.items() if key.startswith("config.")}
    by_letters = {_letters(known): known for known in models}
    owner, _, last = name.rpartition("/")
    wanted = _letters(last)
    if wanted in by_letters and owner.lower() in ("", models[by_letters[wanted]].owner):
        return models[by_letters[wanted]]
    if near := nearest_name(wanted, list(by_letters)):
        raise InputError(f"unknown model {name!r}; did you mean {by_letters[near]}?")
    raise unknown_name("model", name, models)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
