"""The register in schema.org's vocabulary, and the log of corrections."""

import json

import pytest

from repro.claims import Verdict, load_register, run_all, run_audit
from repro.claims.audit import AUDITS
from repro.claims.jsonld import RATINGS, claim_uri, load_corrections, register_to_jsonld
from repro.errors import InputError

RESULTS = run_all()
NODES = {node["@id"]: node for node in register_to_jsonld(RESULTS)["@graph"]}
CLAIMS = [claim.id for claim in load_register().claims]


def review(claim_id):
    return NODES[f"{claim_uri(claim_id)}-review"]


def test_there_is_one_review_and_one_action_for_each_claim():
    kinds = [node["@type"] for node in NODES.values()]
    assert len(NODES) == 2 * len(CLAIMS)
    assert kinds.count("ClaimReview") == kinds.count("ReviewAction") == len(CLAIMS)


def test_a_claims_uri_is_fixed():
    # if this changes, every page and review that points to a claim breaks
    assert claim_uri("A46") == "urn:uuid:f49e6fc5-9b49-5a77-9f2e-762733a48a55#A46"
    assert len({claim_uri(claim_id) for claim_id in CLAIMS}) == len(CLAIMS)


@pytest.mark.parametrize(
    ("claim_id", "value", "name"),
    [
        ("A46", 5, "Holds"),
        ("A08", 4, "Mostly holds"),
        ("A30", 3, "Imprecise"),
        ("A12", 2, "Misleading"),
        ("A35", 1, "Wrong"),
        ("B14", -1, "Not settled"),
        ("A03", -1, "Context"),
    ],
)
def test_the_rating_of_each_verdict(claim_id, value, name):
    rating = review(claim_id)["reviewRating"]
    assert (rating["ratingValue"], rating["alternateName"]) == (value, name)
    assert (rating["worstRating"], rating["bestRating"]) == (1, 5)


def test_ratings_fall_with_the_verdict():
    order = (Verdict.HOLDS, Verdict.MOSTLY_HOLDS, Verdict.IMPRECISE, Verdict.MISLEADING, Verdict.WRONG)
    assert [RATINGS[verdict] for verdict in order] == [5, 4, 3, 2, 1]


def test_a_review_names_the_printed_figures_the_facts_and_the_code():
    target = review("A46")["itemReviewed"]["oa:hasTarget"]
    assert [selector["oa:exact"] for selector in target["oa:hasSelector"]] == ["$2", "$5.576 million"]
    based_on = {basis["identifier"]: basis for basis in review("A46")["isBasedOn"]}
    assert set(based_on) == set(run_audit("A46").sources)
    assert based_on["deepseek_v3.total_gpu_hours"]["value"] == 2_788_000
    assert based_on["deepseek_v3.total_gpu_hours"]["isBasedOn"]["url"] == "https://arxiv.org/abs/2412.19437v1"
    code, *assumed = NODES[f"{claim_uri('A46')}-audit"]["instrument"]
    file, line = AUDITS["A46"].location
    assert code["name"] == f"{file}:{line}"
    assert {"@type": "PropertyValue", "name": "price_usd_per_gpu_hour", "value": 2.0} in assumed


def test_the_action_names_the_commit_or_else_the_version():
    version = NODES[f"{claim_uri('A46')}-audit"]["instrument"][0]["version"]
    assert len(version) == 40 or version.count(".") == 2


def test_every_node_can_be_written_and_read_again():
    assert json.loads(json.dumps(NODES, allow_nan=False)) == NODES


def test_the_last_correction_of_a_claim_ends_at_its_verdict():
    last = {correction.claim: correction for correction in load_corrections()}
    for claim_id, correction in last.items():
        assert run_audit(claim_id).verdict is correction.after, claim_id
        assert correction.before != correction.after, claim_id
        assert correction.reason.endswith("."), claim_id
    assert [c.date for c in load_corrections()] == sorted(c.date for c in load_corrections())


def test_every_correction_stands_in_its_review():
    told = {claim_id: [comment["text"] for comment in review(claim_id)["correction"]] for claim_id in CLAIMS}
    assert sum(map(len, told.values())) == len(load_corrections())
    assert told["A34"][0].startswith("0.3.0: imprecise became holds. ")
    assert told["A46"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "corrections.toml: 'correction'"),
        ('[[correction]]\nclaim = "A01"', "corrections.toml: 'after'"),
        ('[[correction]]\nclaim = "A01"\nafter = "true"', "'true' is not a valid Verdict"),
        ('[[correction]]\nclaim = "A01"\nafter = "wrong"', "Field required"),
    ],
)
def test_a_correction_that_is_none_is_refused(tmp_path, text, message):
    path = tmp_path / "corrections.toml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        load_corrections(path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_writes_it(repro):
    data = json.loads(repro("claims", "--jsonld").stdout)
    assert data["@context"]["@vocab"] == "https://schema.org/"
    assert {node["@id"] for node in data["@graph"]} == set(NODES)
