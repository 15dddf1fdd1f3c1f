"""Reads a model's architecture from its Hugging Face config.json; what it does not know, it names and refuses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro.errors import InputError, preview
from repro.files import read_json
from repro.models.architecture import Architecture
from repro.models.hf import FAMILIES
from repro.models.hf.fields import Fields


def read_config(path: Path) -> dict[str, Any]:
    """Return the contents of a config.json, given the file or its folder.

    Raises:
        InputError: the file cannot be read, or is not a JSON object.
    """
    return read_json(path / "config.json" if path.is_dir() else path)


def architecture_from_hf(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture that a configuration describes.

    Raises:
        InputError: the type is not known, a field is missing or of a wrong kind, or fields contradict.
    """
    return FAMILIES[model_type(config)].read(Fields(config))


def model_type(config: Mapping[str, Any]) -> str:
    """Return the type that a configuration is read as, by its own name or, for a family of its own, by its class.

    Raises:
        InputError: type or class is not known, or they contradict.
    """
    name, classes, known = config.get("model_type"), config.get("architectures"), ", ".join(FAMILIES)
    if name is None and classes is None:
        inside = "; the one inside text_config is not read, give it as a file" if "text_config" in config else ""
        raise InputError(f"model_type: is missing; must be one of: {known}{inside}")
    if name is not None and not isinstance(name, str):
        raise InputError(f"model_type = {preview(name)}: must be one of: {known}")
    if classes is None:
        if name not in FAMILIES:
            raise InputError(f"model_type = {preview(name)}: is not known; must be one of: {known}")
        return name
    by_class = {family.class_name: known_type for known_type, family in FAMILIES.items()}
    if not isinstance(classes, list) or len(classes) != 1 or classes[0] not in list(by_class):
        raise InputError(f"architectures = {preview(classes)}: must name one of: {', '.join(by_class)}")
    if name in FAMILIES and by_class[classes[0]] != name:
        raise InputError(f"architectures = {preview(classes)}: contradicts model_type = {preview(name)}")
    return by_class[classes[0]]
