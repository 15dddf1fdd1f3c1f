"""Lists the facts that nobody guards: mistype one by 1%, and no audit, no published table and no notebook notices.

Three guards can notice a changed value. An audit reads the fact, and its value, verdict or explanation changes. A test
in tests/published compares the fact with a figure typed from its source, and fails. A notebook shows the value beside
the key in a committed output, and nbval, which computes the output again, finds a difference.
The quick form runs an audit or a test file again only for facts that it reads. --full runs all of them for every fact,
and makes each value smaller too.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from html import unescape
from itertools import pairwise, product
from pathlib import Path
from types import CodeType
from unittest.mock import patch

from repro.claims import run_all, run_audit
from repro.claims.audit import AuditResult
from repro.claims.formatting import format_quantity
from repro.facts import Fact, Facts, load

ROOT = Path(__file__).resolve().parent.parent


class ReadFacts(Facts):
    """Facts that note each one whose entry somebody asks for; a walk through all keys reads none."""

    def __init__(self, facts: Facts):
        """Start with nothing read."""
        super().__init__(dict(facts.items()), facts.references, facts.published)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Fact:
        """Return a fact and note it."""
        self.read.add(key)
        return super().__getitem__(key)

    def under(self, prefix: str) -> list[Fact]:
        """Return facts and note them, and none of those that the search walks past."""
        return [self[key] for key in self if key == prefix or key.startswith(f"{prefix}.")]


def mistyped(facts: Facts, key: str, sign: int) -> Facts:
    """Return the facts with one value off by 1%, a whole number by at least one: sign 1 for larger, -1 for smaller."""
    value = facts[key].value
    wrong = value + sign * (max(1, value // 100) if isinstance(value, int) else value / 100)
    changed = {**facts, key: facts[key].model_copy(update={"value": wrong})}
    return Facts(changed, facts.references, facts.published)


def noticed_by_audits(facts: Facts, sign: int, full: bool) -> Iterator[str]:
    """Yield each fact that changes what a notebook shows of an audit: verdict, value or explanation."""
    results = run_all(facts)
    for key in facts:
        wrong = mistyped(facts, key, sign)
        if any(shown(result) != again(result, wrong) for result in results if full or key in result.sources):
            yield key


def shown(result: AuditResult) -> tuple[object, ...]:
    """Return what notebooks show of a result."""
    return str(result.verdict), result.recomputed, result.explanation


def again(result: AuditResult, facts: Facts) -> tuple[object, ...] | None:
    """Return what notebooks would show under other facts, or None if the audit refuses them."""
    try:
        return shown(run_audit(result.claim.id, facts))
    except ValueError:
        return None


def noticed_by_tests(facts: Facts, sign: int, full: bool) -> Iterator[str]:
    """Yield each fact whose mistyped value fails a test in tests/published."""
    keys: set[str] = set()
    for path in sorted((ROOT / "tests" / "published").glob("test_*.py")):
        code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
        reads = ReadFacts(facts)
        if not passes(code, reads):
            sys.exit(f"{path.name} fails as it is")
        for key in sorted(set(facts) if full else reads.read):
            if key not in keys and not passes(code, mistyped(facts, key, sign)):
                keys.add(key)
                yield key


def passes(code: CodeType, facts: Facts) -> bool:
    """Say if every test of a file passes when its `load()` returns these facts."""
    module: dict[str, object] = {"__name__": "published"}
    try:
        with patch("repro.facts.load", lambda: facts):
            exec(code, module)
            for name, test in module.items():
                if name.startswith("test_") and callable(test):
                    for arguments in parameters(test):
                        test(**arguments)
    except (AssertionError, ValueError, ArithmeticError):
        return False
    return True


def parameters(test: Callable[..., None]) -> Iterator[dict[str, object]]:
    """Yield the arguments of each run of a test, as its parametrize marks say."""
    choices = []
    for mark in getattr(test, "pytestmark", []):
        names, rows = mark.args
        names = names.replace(",", " ").split() if isinstance(names, str) else list(names)
        choices.append([dict(zip(names, row if len(names) > 1 else [row], strict=True)) for row in rows])
    for combination in product(*choices):
        yield {name: value for part in combination for name, value in part.items()}


def noticed_by_notebooks(facts: Facts, sign: int, full: bool) -> Iterator[str]:
    """Yield each fact that a committed table shows beside its key, with four digits, in which 1% is seen."""
    cells: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                for row in "".join(output.get("data", {}).get("text/html", "")).split("<tr>"):
                    texts = [text.split(">", 1)[-1] for text in row.split("</td>")]
                    cells |= {(unescape(a), unescape(b)) for a, b in pairwise(texts)}
    for key, fact in facts.items():
        if (key, format_quantity(fact.value, fact.unit).replace("$", "<span>$</span>")) in cells:
            yield key


GUARDS = (noticed_by_audits, noticed_by_tests, noticed_by_notebooks)


def unguarded(facts: Facts, full: bool = False) -> list[str]:
    """Return the keys of the facts that no guard notices, in the order of the files."""
    noticed = [{key for guard in GUARDS for key in guard(facts, sign, full)} for sign in ((1, -1) if full else (1,))]
    return [key for key in facts if not all(key in keys for keys in noticed)]


def main() -> None:
    """Print the unguarded facts by group, and exit with 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="run every guard for every fact")
    keys = unguarded(load(), parser.parse_args().full)
    for group, count in Counter(key.split(".")[0] for key in keys).most_common():
        print(f"{count:4} {group}: {', '.join(key.split('.', 1)[1] for key in keys if key.startswith(group + '.'))}")
    print(f"{len(keys)} of {len(load())} facts are guarded by nothing")
    sys.exit(bool(keys))


if __name__ == "__main__":
    main()
