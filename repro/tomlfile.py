"""Reading a TOML file that ships with the package, with one clear line where it is damaged."""

import tomllib
from pathlib import Path
from typing import Any

from repro.errors import InputError


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file.

    Raises: InputError naming the file where it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # of TOML, of its encoding, or of a number out of all bounds
        raise InputError(f"{path.name}: is not valid TOML: {error}") from None
