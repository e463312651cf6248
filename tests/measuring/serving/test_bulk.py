"""`measure.py bulk` on a tiny model: every way is timed, and no number of processes changes an answer."""

import pytest

from helpers.models.fast_models import write_data, write_sped_up
from helpers.running.measurements import run_measurement
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.processor import by_processor
from mobilebert_ja.measuring.serving import bulk
from mobilebert_ja.measuring.serving.bulk import facts_of, one_line, what_it_says


@pytest.mark.slow
def test_every_way_is_timed(tmp_path, capsys):
    data, folder = write_data(tmp_path / "data"), write_sped_up(tmp_path, "ner")
    flags = ("--model_folder", folder, "--texts", "41", "--processes", "1,2,1", "--batch_sizes", "1,4")
    done = run_measurement(capsys, "bulk", *flags, "--repetitions", "1", work=tmp_path, data=data)
    assert done.status == 0, done.err
    metrics = read_json(tmp_path / "records" / f"{by_processor('bulk')}.json")["metrics"]
    assert metrics["texts"] == 41 and metrics["task"] == "ner"
    assert [(each["num_workers"], each["batch_size"]) for each in metrics["ways"]] == [(1, 1), (2, 1), (1, 4), (2, 4)]
    assert metrics["ways"][0]["times_as_fast"] == 1 and metrics["ways"][1]["agreement"] == 1
    assert all(len(each["texts_per_second"]) == 1 and each["texts_per_second"][0] > 0 for each in metrics["ways"])
    assert "round 1, --num_workers 2 --batch_size 4: " in done.out and "\n--num_workers 2 --batch_size 4 " in done.out
    again = run_measurement(capsys, "bulk", *flags, "--repetitions", "1", work=tmp_path, data=data)
    assert "nothing to do" in again.out
    other = run_measurement(capsys, "bulk", *flags, "--repetitions", "1", "--processes", "1", work=tmp_path, data=data)
    assert "processes was '1,2,1', is now '1'" in other.error
    left = {path.name for path in (tmp_path / by_processor("bulk").replace("_", "-")).iterdir()}
    assert left == {"record.json"}


def test_an_answer_that_depends_on_the_number_of_processes_is_an_error():
    ways = [(1, 1), (2, 1)]
    seconds = {way: [2.0, 1.0] for way in ways}
    same = {way: b'{"label": "a"}\n{"label": "b"}\n' for way in ways}
    (first, second) = facts_of(ways, seconds, 2, same)
    assert first["texts_per_second"] == [1.0, 2.0] and second["times_as_fast"] == second["agreement"] == 1
    with pytest.raises(UserError, match="With 2 processes"):
        facts_of(ways, seconds, 2, same | {(2, 1): b'{"label": "a"}\n{"label": "a"}\n'})


def test_agreement_is_of_classes_and_of_entities():
    ways = [(1, 1), (1, 8)]
    answers = {
        (1, 1): b'{"label": "a", "probability": 0.9}\n' * 4,
        (1, 8): b'{"label": "a"}\n' * 3 + b'{"label": "b"}\n',
    }
    assert facts_of(ways, {way: [1.0] for way in ways}, 4, answers)[1]["agreement"] == 0.75
    assert what_it_says(b'{"entities": [{"start": 0}]}\n') == [[{"start": 0}]]


def test_a_text_is_a_line():
    assert one_line(" 東京\r\nと\u2028京都 ") == "東京 と 京都"


@pytest.mark.slow
@pytest.mark.parametrize("words", ["", "Some lines.\nerror: the last.\n"])
def test_a_run_that_fails_is_told_with_its_last_words_if_it_had_any(tmp_path, monkeypatch, words):
    (tmp_path / "predict.py").write_text(f"import sys\nsys.stderr.write({words!r})\nsys.exit(3)\n")
    monkeypatch.setattr(bulk, "SCRIPTS", tmp_path)
    with pytest.raises(UserError, match=r"^predict\.py failed: " + ("error: the last" if words else "exit status 3")):
        bulk.answered(tmp_path, tmp_path / "texts", (1, 1), tmp_path / "answers")


@pytest.mark.parametrize(("flags", "said"), [(("--processes", "0"), "at least 1"), (("--batch_sizes", "a"), "whole")])
def test_numbers_that_are_none_are_refused(tmp_path, capsys, flags, said):
    folder = write_sped_up(tmp_path, "ner")
    done = run_measurement(capsys, "bulk", "--model_folder", folder, *flags, work=tmp_path, data=tmp_path)
    assert done.status == 1 and said in done.err and done.err.count("\n") == 1
