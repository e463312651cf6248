"""The embedded sample: the same bytes every time, in the layout of real data."""

import json
from collections import Counter

import pytest

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import list_files
from mobilebert_ja.data.livedoor_archive import read_articles
from mobilebert_ja.data.sample import resolve_data_dir, write_sample
from mobilebert_ja.data.sample_tasks import ENTITY_TYPES
from mobilebert_ja.settings import StageSettings


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "data"
    write_sample(folder)
    return folder


def test_same_bytes_again(sample, tmp_path):
    write_sample(tmp_path / "again")
    write_sample(tmp_path / "other", seed=1)
    names = [str(path.relative_to(sample)) for path in list_files(sample)]
    assert names == ["corpus/encyclopedia.txt", "corpus/essays.txt", "livedoor/ldcc-20140209.tar.gz", "ner/ner.json"]
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (sample / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (sample / name).read_bytes()


def test_texts_fill_their_slots(sample):
    for name in ("encyclopedia", "essays"):
        text = (sample / "corpus" / f"{name}.txt").read_text(encoding="utf-8")
        assert len(text) > 50_000 and "{" not in text and "}" not in text


def test_nine_classes_of_titles(sample):
    counts = Counter(category for category, _ in read_articles(sample / "livedoor" / "ldcc-20140209.tar.gz"))
    assert len(counts) == 9 and set(counts.values()) == {60}


def test_spans_are_exact_and_all_types_occur(sample):
    items = json.loads((sample / "ner" / "ner.json").read_text(encoding="utf-8"))
    kinds = Counter()
    for item in items:
        for entity in item["entities"]:
            start, end = entity["span"]
            assert item["text"][start:end] == entity["name"]
            kinds[entity["type"]] += 1
        assert "<" not in item["text"]
    assert set(kinds) == set(ENTITY_TYPES) and len(items) == 500
    assert any(not item["entities"] for item in items)


def test_resolve_data_dir(tmp_path):
    made = resolve_data_dir(StageSettings(work_dir=str(tmp_path / "work")))
    assert made == tmp_path / "work" / "data" and (made / "ner" / "ner.json").is_file()
    assert resolve_data_dir(StageSettings(data_dir=str(tmp_path))) == tmp_path
    with pytest.raises(UserError, match="does not exist"):
        resolve_data_dir(StageSettings(data_dir=str(tmp_path / "nowhere")))
