"""The register holds all 67 claims with their figures as numbers."""

import pytest

from repro.claims import load_register
from repro.errors import InputError

ONE = """
[documents.a]
file = "a"
title = "A"

[[claim]]
id = "A01"
document = "a"
section = "opening"
kind = "cost"
statement = "It cost 5 USD"
printed = [{ name = "cost", text = "$5", value = 5, unit = "USD", place = 1 }]
"""


def test_all_67_ids():
    ids = [claim.id for claim in load_register().claims]
    assert ids == [f"A{n:02d}" for n in range(1, 49)] + [f"B{n:02d}" for n in range(1, 20)]


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
    path.write_text(ONE)
    assert load_register(path).claims[0].figure("cost").value == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "A01"', 'id = "C1"', "C1.id"),
        ('kind = "cost"', 'kind = "costs"', "A01.kind"),
        ("place = 1", "place = 0", "A01.printed.0.place"),
        ("place = 1", 'place = 1, relation = "range"', "a range needs value and high"),
        ('document = "a"', 'document = "b"', "A01: unknown document 'b'"),
        ("[[claim]]", "[[claim", "is not valid TOML"),
        ('section = "opening"', "", "A01.section: field required"),
    ],
)
def test_damage_is_named(tmp_path, old, new, message):
    path = tmp_path / "register.toml"
    path.write_text(ONE.replace(old, new))
    with pytest.raises(InputError) as refused:
        load_register(path)
    assert message in str(refused.value)
    assert str(refused.value).startswith("register.toml: ")


def test_an_id_twice_is_refused(tmp_path):
    path = tmp_path / "register.toml"
    path.write_text(ONE + ONE[ONE.index("[[claim]]") :])
    with pytest.raises(InputError, match="A01: the id is there twice"):
        load_register(path)
