"""The register: claims with their figures as numbers, in documents that it alone knows."""

import pytest

from repro.claims import load_register
from repro.errors import InputError

REGISTER = """
[audit]
title = "What one article says about a price"
uri = "urn:uuid:6f1b0f6e-4a7c-4f53-9f2c-0d2b7c1f8a11"
kinds = ["cost", "news"]
context_kinds = ["news"]

[documents.a]
file = "a"
title = "A"
prefix = "A"

[[claim]]
id = "A01"
document = "a"
section = "opening"
kind = "cost"
statement = "It cost 5 USD"
printed = [{ name = "cost", text = "$5", value = 5, unit = "USD", place = 1 }]
"""


OTHER = """
[audit]
title = "What a speech and a leaflet promise"
uri = "urn:uuid:0b0f8d9e-5a1c-4c53-8b11-7d2b7c1f8a22"
kinds = ["promise"]

[documents.speech]
file = "speech.txt"
title = "A speech"
prefix = "SP"

[documents.leaflet]
file = "leaflet.txt"
title = "A leaflet"
prefix = "L"
""" + "".join(
    f'[[claim]]\nid = "{claim_id}"\ndocument = "{document}"\nsection = "1"\nkind = "promise"\nstatement = "It will."\n'
    for claim_id, document in (("SP01", "speech"), ("SP102", "speech"), ("L01", "leaflet"))
)


def test_ids_are_numbered_without_gaps_document_by_document():
    register = load_register()
    numbered = []
    for name, document in register.documents.items():
        count = sum(claim.document == name for claim in register.claims)
        assert count, name
        numbered += [f"{document.prefix}{number:02d}" for number in range(1, count + 1)]
    assert [claim.id for claim in register.claims] == numbered


def test_another_audit_has_documents_kinds_and_ids_of_its_own(tmp_path):
    path = tmp_path / "register.toml"
    path.write_text(OTHER)
    register = load_register(path)
    assert register.audit.title == "What a speech and a leaflet promise"
    assert [claim.id for claim in register.claims] == ["SP01", "SP102", "L01"]
    assert register.claim("sp102").document == "speech"
    assert not register.is_context(register.claim("L01"))
    path.write_text(OTHER.replace('"L01"', '"SP03"'))
    load_register.cache_clear()
    with pytest.raises(InputError, match=r"^register.toml: SP03: id: must be L and a number"):
        load_register(path)


def test_a_claim_is_found_in_either_case():
    assert load_register().claim("b06").id == "B06"


def test_an_unknown_claim_suggests_the_nearest():
    with pytest.raises(InputError, match=r"unknown claim 'A99'; did you mean A"):
        load_register().claim("A99")


def test_every_printed_figure_is_a_whole_number_of_its_last_place():
    # 2.788M printed to the thousand is 2788 thousands; a value with digits below its place would be mistyped
    for claim in load_register().claims:
        for figure in claim.printed:
            for value in (figure.value, figure.high):
                if value is not None:
                    places = value / figure.place
                    assert places == pytest.approx(round(places), rel=1e-12), (claim.id, figure.name)


def test_figures_agree_with_the_text_they_are_printed_as():
    # the digits of the number appear in the text, where the text prints digits at all
    for claim in load_register().claims:
        for figure in claim.printed:
            printed_digits = [c for c in figure.text if c.isdigit()]
            if printed_digits:
                leading = f"{figure.value:.10g}".replace(".", "").lstrip("0").rstrip("0").split("e")[0] or "0"
                assert leading.rstrip("0")[0] in printed_digits, (claim.id, figure.text)


def test_a_good_file(tmp_path):
    path = tmp_path / "register.toml"
    path.write_text(REGISTER)
    assert load_register(path).claims[0].figure("cost").value == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "A01"', 'id = "C01"', "C01: id: must be A and a number of two digits or more"),
        ('id = "A01"', 'id = "A1"', "A1: id: must be A and a number of two digits or more"),
        ('id = "A01"', 'id = "AA01"', "AA01: id: must be A and a number"),
        ('prefix = "A"', 'prefix = "a1"', "documents.a.prefix"),
        ('prefix = "A"', "", "documents.a.prefix: field required"),
        ('kind = "cost"', 'kind = "costs"', "A01: kind: unknown kind 'costs'; did you mean cost?"),
        ('title = "What one article says about a price"', "", "audit.title: field required"),
        ("[documents.a]", "[papers.a]", "documents: field required"),
        ("place = 1", "place = 0", "A01.printed.0.place"),
        ("place = 1", 'place = 1, relation = "range"', "a range needs value and high"),
        ('document = "a"', 'document = "b"', "A01: unknown document 'b'"),
        ("[[claim]]", "[[claim", "is not valid TOML"),
        ('section = "opening"', "", "A01.section: field required"),
    ],
)
def test_damage_is_named(tmp_path, old, new, message):
    path = tmp_path / "register.toml"
    assert old in REGISTER
    path.write_text(REGISTER.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        load_register(path)
    assert message in str(refused.value)
    assert str(refused.value).startswith("register.toml: ")


def test_an_id_twice_is_refused(tmp_path):
    path = tmp_path / "register.toml"
    path.write_text(REGISTER + REGISTER[REGISTER.index("[[claim]]") :])
    with pytest.raises(InputError, match="A01: the id is there twice"):
        load_register(path)
