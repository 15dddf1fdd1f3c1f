"""Facts load with their sources, and not without."""

from datetime import date
from urllib.parse import urlsplit

import pytest

from repro.errors import InputError
from repro.facts import Ledger, load
from repro.facts.loader import DATA

REFERENCE = """
[paper]
title = "A paper"
by = "Its authors"
date = "2024"
citation = "arXiv:0000.00000"
url = "https://example.org/paper"
accessed = "2024-05-06"
"""
FACT = """
[model.tokens]
value = 100
unit = "tokens"
source = "paper"
locator = "section 1"
provenance = "reported"
"""


def folder(tmp_path, facts, references=REFERENCE):
    (tmp_path / "references.toml").write_text(references)
    (tmp_path / "runs.toml").write_text(facts)
    return tmp_path


def test_every_shipped_fact_says_where_it_stands():
    facts = load()
    assert len(facts) > 50
    for fact in facts.values():
        assert fact.unit
        assert fact.locator
        assert facts.references[fact.source].citation


def test_every_reference_is_cited():
    facts = load()
    cited = {entry.source for entry in (*facts.values(), *facts.published.values())}
    assert cited == set(facts.references)


def test_every_reference_has_an_address_but_the_calculators_whose_places_were_not_kept():
    references = load().references.values()
    assert [one.key for one in references if not one.url] == ["public_calculators"]
    assert all(
        urlsplit(one.url).scheme in ("http", "https") and urlsplit(one.url).netloc for one in references if one.url
    )


def test_no_two_references_share_an_address():
    urls = [one.url.rstrip("/").lower() for one in load().references.values() if one.url]
    assert len(set(urls)) == len(urls)


@pytest.mark.parametrize("key", [key for key, one in load().references.items() if one.citation.startswith("arXiv:")])
def test_an_arxiv_citation_and_its_address_name_the_same_paper(key):
    reference = load().references[key]
    assert reference.url == f"https://arxiv.org/abs/{reference.citation.removeprefix('arXiv:')}"


@pytest.mark.parametrize(
    "key", [key for key, one in load().references.items() if one.citation.startswith("github.com")]
)
def test_a_github_citation_and_its_address_name_the_same_repository(key):
    reference = load().references[key]
    assert reference.url.startswith(f"https://{reference.citation.split(',')[0]}")


def test_a_publication_was_opened_after_it_appeared_or_on_a_day_not_kept():
    opened = [one for one in load().references.values() if one.accessed]
    assert opened
    for one in opened:
        assert date.fromisoformat(one.accessed) <= date.fromisoformat("2026-11-27")
        assert one.date[:4].isdigit()
        assert one.date[:10] <= one.accessed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('url = "https://example.org/paper"\n', "", "has no url"),
        ('accessed = "2024-05-06"\n', "", "has no accessed"),
        ("https://example.org", "ftp://example.org", "url = 'ftp://example.org/paper'"),
        ("https://example.org", "example.org", "url = 'example.org/paper'"),
        ("2024-05-06", "6 May 2024", "accessed = '6 May 2024'"),
    ],
)
def test_a_reference_without_address_or_date_names_what_is_wrong(tmp_path, old, new, message):
    with pytest.raises(InputError, match=f"^references.toml: paper: {message}"):
        load(folder(tmp_path, FACT, REFERENCE.replace(old, new)))


def test_conflicts_are_named_from_both_sides():
    facts = load()
    for key, fact in facts.items():
        if fact.conflicts_with:
            assert facts[fact.conflicts_with].conflicts_with == key


def test_a_good_folder(tmp_path):
    facts = load(folder(tmp_path, FACT))
    assert facts["model.tokens"].value == 100
    assert [fact.key for fact in facts.under("model")] == ["model.tokens"]


@pytest.mark.parametrize("field", ["value", "unit", "source", "locator", "provenance"])
def test_a_fact_without_one_of_its_fields_names_file_and_key(tmp_path, field):
    lines = [line for line in FACT.splitlines() if not line.startswith(field)]
    with pytest.raises(InputError, match=rf"^runs.toml: model.tokens: has no {field}$"):
        load(folder(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 100", "value = nan", "value = nan"),
        ("value = 100", 'value = "many"', "value = 'many'"),
        ("value = 100", "value = true", "value = True"),
        ('unit = "tokens"', 'unit = ""', "unit = ''"),
        ('provenance = "reported"', 'provenance = "guess"', "provenance = 'guess'"),
        ('source = "paper"', 'source = "papr"', "unknown source 'papr'; did you mean paper?"),
        ("value = 100", "value = 100\ncolour = 1", "colour = 1"),
        ("value = 100", "value = ", "is not valid TOML"),
        ("[model.tokens]\nvalue = 100", "tokens = 100\n[model.tokens]\nvalue = 100", "tokens: must be a table"),
        ('locator = "section 1"', 'locator = "section 1"\nconflicts_with = "model.token"', "did you mean model.tokens"),
    ],
)
def test_damaged_files_name_what_is_wrong(tmp_path, old, new, message):
    with pytest.raises(InputError) as refused:
        load(folder(tmp_path, FACT.replace(old, new)))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_key_in_two_files_is_refused(tmp_path):
    folder(tmp_path, FACT)
    (tmp_path / "more.toml").write_text(FACT)
    with pytest.raises(InputError, match=r"runs.toml: model.tokens: the key exists in another file too"):
        load(tmp_path)


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"references.toml: cannot be read"):
        load(tmp_path / "nowhere")


def test_an_unknown_key_suggests_the_nearest():
    with pytest.raises(InputError, match=r"did you mean deepseek_v3.tokens\?"):
        load()["deepseek_v3.token"]
    with pytest.raises(InputError, match=r"did you mean deepseek_v3\?"):
        load().under("deepseek_3")


def test_a_ledger_remembers_what_was_read_once_each():
    ledger = Ledger(load())
    assert ledger["deepseek_v3.gpus"] + ledger["deepseek_v3.gpus"] == 4096
    assert ledger.read == ["deepseek_v3.gpus"]


def test_the_data_ships_with_the_package():
    assert sorted(path.stem for path in DATA.glob("*.toml")) == [
        "clusters", "context", "conventions", "gpus", "models", "ownership", "precision", "prices", "references",
        "serving", "step_times", "training_runs",
    ]  # fmt: skip


def test_every_published_file_ships_and_is_in_the_index():
    folder = DATA / "published"
    listed = {entry.file for entry in load().published.values()}
    assert listed == {path.name for path in folder.iterdir()} - {"index.toml"}


def test_a_model_is_found_however_its_name_is_spelt():
    for name in ("deepseek_v3", "DeepSeek-V3", "deepseek-ai/DeepSeek-V3", "deepseek v3"):
        assert load().model(name).key == "config.deepseek_v3"
    assert load().model("Llama-3.1-405B").title == "Llama 3.1 405B"
    with pytest.raises(InputError, match="unknown model 'deepsek_v3'; did you mean deepseek_v3"):
        load().model("deepsek_v3")
    with pytest.raises(InputError, match="unknown model 'bert'; there are: deepseek_v2"):
        load().model("bert")


INDEX = """
[config.tiny]
file = "tiny.json"
title = "Tiny"
source = "paper"
locator = "appendix"
provenance = "reported"
"""


def published(tmp_path, index=INDEX, content='{"a": 1}'):
    folder(tmp_path, FACT)
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "index.toml").write_text(index)
    (tmp_path / "published" / "tiny.json").write_text(content)
    return tmp_path


def test_a_published_file_is_read_and_remembered(tmp_path):
    ledger = Ledger(load(published(tmp_path)))
    assert ledger.config("tiny") == {"a": 1}
    assert ledger.read == ["config.tiny"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('source = "paper"', 'source = "papr"', "index.toml: config.tiny: unknown source 'papr'; did you mean paper?"),
        ('source = "paper"\n', "", "index.toml: config.tiny: has no source"),
        ('provenance = "reported"', 'provenance = "guess"', "provenance = 'guess'"),
        ('file = "tiny.json"', 'file = "none.json"', "none.json: cannot be read"),
        ('title = "Tiny"', 'title = "Tiny"\ntokens = "model.token"', "did you mean model.tokens"),
    ],
)
def test_a_damaged_index_names_what_is_wrong(tmp_path, old, new, message):
    with pytest.raises(InputError) as refused:
        load(published(tmp_path, INDEX.replace(old, new)))
    assert message in str(refused.value)


def test_a_damaged_configuration_is_named(tmp_path):
    with pytest.raises(InputError, match=r"tiny.json: is not valid JSON"):
        load(published(tmp_path, content='{"a": '))


def test_a_ledger_tells_units_dates_and_groups():
    ledger = Ledger(load())
    assert ledger.unit("deepseek_v3.gpus") == "H800 GPUs"
    assert ledger.date("deepseek_v3.gpus") == "2024-12-27"
    assert ledger.under("bytes.v3") == {"weights": 1, "gradients": 4, "master_weights": 4, "moments": 4}
    assert len(ledger.table("v3_table_6")) == 22
    with pytest.raises(InputError, match="unknown table 'v3_table_8'; did you mean v3_table_"):
        ledger.table("v3_table_8")
    assert len(ledger.read) == 6
