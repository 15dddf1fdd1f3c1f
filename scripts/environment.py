"""Writes environment.yml, for conda users, from the lock: the same versions, installed by pip."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-lab.lock"
PYTHON = "3.12"
PIN = re.compile(r"^([A-Za-z0-9._-]+==[^ \\]+(?: ; [^\\]+)?) ?\\?$")


def pins(lock: str) -> list[str]:
    """Return the pinned packages of a lock's text, each as `name==version` with its marker where it has one."""
    return [match.group(1).strip() for line in lock.splitlines() if (match := PIN.match(line))]


def environment(lock: str) -> str:
    """Return the text of environment.yml for a lock's text."""
    lines = [
        "# Made by `make lock` from requirements-lab.lock; the same versions as the lock, without its hashes.",
        "name: deepseek-cost-audit",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f'      - "{pin}"' for pin in [*pins(lock), "-e ."]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(environment(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
