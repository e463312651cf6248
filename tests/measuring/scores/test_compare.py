"""`measure.py compare`: what it prints, the record it keeps when asked to, what it refuses."""

import numpy as np
import pytest

from helpers.files.answer_files import write_answers
from helpers.running.measurements import run_measurement
from mobilebert_ja.common.files import read_json
from mobilebert_ja.tasks.intervals import compare, read_answers


def test_two_models_are_compared(tmp_path, capsys):
    first = write_answers(tmp_path / "a.json", ["a"] * 30 + ["b"] * 10, ["a"] * 40)
    second = write_answers(tmp_path / "b.json", ["a"] * 40, ["a"] * 40)
    done = run_measurement(capsys, "compare", first, second, "--resamples", 500)
    assert done.err == "" and "accuracy over 40 test items" in done.out and "75.00%" in done.out
    assert "B - A  +25.00 points" in done.out and "p = 0.002 (exact McNemar" in done.out
    assert "right in A alone 0, in B alone 10" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]  # no record unless asked for
    kept = ["--resamples", 500, "--record", "comparison_titles", "--records_dir", tmp_path / "records"]
    assert run_measurement(capsys, "compare", first, second, *kept).status == 0
    record = read_json(tmp_path / "records" / "comparison_titles.json")
    assert record["metrics"] == compare(read_answers(first), read_answers(second), 500) | {
        "first": str(first),
        "second": str(second),
    }
    assert record["stage"] == "comparison_titles" and "--record comparison_titles" in record["command"]
    assert record["settings"] == {"resamples": 500, "seed": 0} and set(record["inputs"]) == {"first", "second"}
    assert set(record) >= {"finished", "git_commit", "hardware"} and record["versions"]["numpy"] == np.__version__
    few = write_answers(tmp_path / "few.json", [[]], [[[0, 1, "x"]]])
    assert "1 test items are too few" in run_measurement(capsys, "compare", few, few).err


@pytest.mark.parametrize(
    ("second", "flags", "words"),
    [
        ("none.json", [], "none.json does not exist"),
        ("a.json", ["--record", "../x"], "--record is a name of letters"),
        ("a.json", ["--resamples", "0"], "--resamples must be"),
    ],
)
def test_what_it_refuses(tmp_path, capsys, second, flags, words):
    first = write_answers(tmp_path / "a.json", ["a"] * 40, ["a"] * 40)
    assert words in run_measurement(capsys, "compare", first, tmp_path / second, *flags).error
