"""Fields of a config.json, checked as they are read: each mistake is one line with field, value and what is right."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repro.errors import InputError, preview

LARGEST = 10**9  # of any one field: no model comes near it


@dataclass(frozen=True)
class Fields:
    """A configuration whose fields are checked as they are read; each method raises InputError naming the field."""

    config: Mapping[str, Any]

    def count(self, name: str, *, zero: bool = False) -> int:
        """Return a whole number from 1, or from 0."""
        if name not in self.config:
            raise InputError(f"{name}: is missing")
        value, least = self.config[name], 0 if zero else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
            raise InputError(f"{name} = {preview(value)}: must be a whole number from {least} to {LARGEST:,}")
        return value

    def count_or_null(self, name: str) -> int | None:
        """Return a whole number, or None where the field is there and null."""
        return None if name in self.config and self.config[name] is None else self.count(name)

    def count_if_given(self, name: str, default: int, *, zero: bool = False) -> int:
        """Return a whole number, or the default where the field is missing or null."""
        return default if self.config.get(name) is None else self.count(name, zero=zero)

    def flag(self, name: str) -> bool:
        """Return true or false; false where missing or null, as transformers takes it."""
        value = self.config.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise InputError(f"{name} = {preview(value)}: must be true or false")
        return value

    def refuse(self, name: str, *allowed: object) -> None:
        """Refuse a field given with a value whose counts would differ."""
        value = self.config.get(name)
        if value is not None and value not in allowed:
            listed = " or ".join(map(json.dumps, allowed)) or "null"
            raise InputError(f"{name} = {preview(value)}: is not counted here; must be {listed}")

    def refuse_sliding_window(self) -> None:
        """Refuse attention that sees a part of the context, in families that switch it on by a flag."""
        if self.flag("use_sliding_window"):
            raise InputError("use_sliding_window = true: is not counted here; must be false")


def check_divides(small_name: str, small: int, large_name: str, large: int) -> int:
    """Return large / small, which must be a whole number."""
    if large % small:
        raise InputError(f"{large_name} = {large}: must be a multiple of {small_name} = {small}")
    return large // small


def check_at_most(small_name: str, small: int, large_name: str, large: int) -> None:
    """Refuse a number above another."""
    if small > large:
        raise InputError(f"{small_name} = {small}: must be at most {large_name} = {large}")
