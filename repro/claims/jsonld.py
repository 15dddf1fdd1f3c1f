"""The register with its verdicts as JSON-LD, in schema.org's vocabulary for fact checks.

Each claim is a ClaimReview: the claim with the printed figures as selectors, the verdict as a rating, the facts that
were read as what it is based on, and the corrections so far; the audit at its commit is the action behind it.
docs/method.md says what each verdict becomes on the scale from 1 to 5 that fact-checkers use there.
"""

import subprocess
from collections.abc import Iterable
from datetime import date as Date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from repro import DISTRIBUTION, __version__
from repro.claims.audit import CHECKOUT, AuditResult
from repro.claims.register import Text, load_register
from repro.claims.verdict import Verdict
from repro.errors import InputError
from repro.facts import Facts, load
from repro.files import read_toml

CORRECTIONS = Path(__file__).parent / "corrections.toml"
BEST, WORST, NO_RATING = 5, 1, -1
RATINGS = {
    Verdict.HOLDS: 5,
    Verdict.MOSTLY_HOLDS: 4,
    Verdict.IMPRECISE: 3,
    Verdict.MISLEADING: 2,
    Verdict.WRONG: 1,
}  # the others take part in no ranking
CONTEXT = {
    "@vocab": "https://schema.org/",
    "oa": "http://www.w3.org/ns/oa#",
}


class Correction(BaseModel):
    """One published verdict that was changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    claim: Text
    version: Text  #: of the package that published the change
    date: Date
    before: Text  #: verdict, in the words of the scale that was used then
    after: Verdict
    reason: Text


def load_corrections(path: Path = CORRECTIONS) -> tuple[Correction, ...]:
    """Return the log of corrections, oldest first; raises InputError for an entry that is not one."""
    try:
        return tuple(
            Correction(**entry | {"after": Verdict(entry["after"])}) for entry in read_toml(path)["correction"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path.name}: {' '.join(str(error).split())}") from None


def claim_uri(claim_id: str) -> str:
    """Return the permanent URI of a claim, which does not change with the address of the pages."""
    return f"{load_register().audit.uri}#{claim_id}"


def commit() -> str:
    """Return the commit of the checkout that runs, or the package's version where there is none."""
    git = ("git", "-C", str(CHECKOUT), "rev-parse", "HEAD")
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return __version__


def register_to_jsonld(results: Iterable[AuditResult], facts: Facts | None = None) -> dict[str, Any]:
    """Return audited claims as a JSON-LD document, one ClaimReview each.

    Source: schema.org, ClaimReview and Rating; W3C Web Annotation Data Model, section 4.2.4, text quote selectors.
    """
    known, corrections, version = facts if facts is not None else load(), load_corrections(), commit()
    graph = []
    for result in results:
        of_claim = [correction for correction in corrections if correction.claim == result.claim.id]
        graph += [_review(result, known, of_claim), _action(result, version)]
    return {"@context": CONTEXT, "@graph": graph}


def _review(result: AuditResult, facts: Facts, corrections: Iterable[Correction]) -> dict[str, Any]:
    claim, uri = result.claim, claim_uri(result.claim.id)
    return {
        "@id": f"{uri}-review",
        "@type": "ClaimReview",
        "url": f"{uri}-review",
        "author": {"@type": "Organization", "name": DISTRIBUTION},
        "claimReviewed": claim.statement,
        "itemReviewed": _claim(result, uri),
        "reviewRating": {
            "@type": "Rating",
            "ratingValue": RATINGS.get(result.verdict, NO_RATING),
            "bestRating": BEST,
            "worstRating": WORST,
            "alternateName": str(result.verdict).capitalize(),
            "ratingExplanation": result.explanation,
        },
        "headline": result.headline,
        "isBasedOn": [_basis(key, facts) for key in result.sources],
        "correction": [_correction(correction) for correction in corrections],
    }


def _claim(result: AuditResult, uri: str) -> dict[str, Any]:
    claim, document = result.claim, load_register().documents[result.claim.document]
    quotes = [{"@type": "oa:TextQuoteSelector", "oa:exact": figure.text} for figure in claim.printed]
    source = {"@type": "CreativeWork", "name": document.title, "identifier": document.file}
    return {
        "@id": uri,
        "@type": "Claim",
        "identifier": claim.id,
        "text": claim.statement,
        "appearance": source,
        "oa:hasTarget": {"@type": "oa:SpecificResource", "oa:hasSource": source | {"name": claim.section}}
        | ({"oa:hasSelector": quotes} if quotes else {}),
    }


def _basis(key: str, facts: Facts) -> dict[str, Any]:
    entry = facts.source(key)
    reference = facts.references[entry.source]
    value = getattr(entry, "value", None)
    return {
        "@type": "CreativeWork" if value is None else ["CreativeWork", "Observation"],
        "identifier": key,
        **({} if value is None else {"value": value, "unitText": getattr(entry, "unit", "")}),
        "isBasedOn": {
            "@type": "CreativeWork",
            "name": reference.title,
            "url": reference.url,
            "datePublished": reference.date,
            "pagination": entry.locator,
        },
    }


def _action(result: AuditResult, version: str) -> dict[str, Any]:
    uri, (file, line) = claim_uri(result.claim.id), result.audit.location if result.audit else ("", 0)
    code = {"@type": "SoftwareSourceCode", "name": f"{file}:{line}", "version": version}
    assumed = (result.assumptions or {}).items()
    return {
        "@id": f"{uri}-audit",
        "@type": "ReviewAction",
        "actionStatus": "CompletedActionStatus",
        "object": {"@id": uri},
        "resultReview": {"@id": f"{uri}-review"},
        "instrument": [code, *({"@type": "PropertyValue", "name": name, "value": value} for name, value in assumed)],
    }


def _correction(correction: Correction) -> dict[str, Any]:
    return {
        "@type": "CorrectionComment",
        "datePublished": correction.date.isoformat(),
        "text": f"{correction.version}: {correction.before} became {correction.after}. {correction.reason}",
    }
