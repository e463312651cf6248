"""The cost table: operations and tokens by hand, and the table in scripts/README.md is the command's own output."""

import pytest

from helpers.paths import ROOT
from mobilebert_ja.common.files import read_json
from mobilebert_ja.measuring.timings.cost import H100_PEAK, costs, duration, table, work_of
from mobilebert_ja.settings import CostSettings


@pytest.fixture(scope="module")
def found():
    return costs(CostSettings())


def test_the_published_run_in_tokens(found):
    work = {each["stage"]: each for each in found["recipes"]["paper"]["stages"]}
    assert work["pretrain_teacher"]["tokens"] == 1_000_000 * 256 * 512
    assert work["distill"]["tokens"] == 240_000 * 256 * 512
    assert work["pretrain_short"]["tokens"] + work["pretrain_student"]["tokens"] == 2_000_000 * 256 * 512
    # A token costs the teacher about 14 times what it costs the student.
    assert 10 < work["pretrain_teacher"]["flops"] / work["pretrain_student"]["flops"] < 15


def test_a_clock_budget_costs_its_time():
    settings = CostSettings(student_utilisation=0.1)
    short, student = work_of(str(ROOT / "recipes" / "gpu.yaml"), settings)
    for work in (short, student):
        assert work.seconds > 0 and work.tokens * work.flops / (0.1 * H100_PEAK) == pytest.approx(work.seconds)


def test_a_clock_budget_fits_what_was_trained_in_it(found):
    """The root's two parts were trained by recipes/gpu.yaml, on an H100: the estimate is of them."""
    stages = {stage["stage"]: stage["tokens"] for stage in found["recipes"]["gpu"]["stages"]}
    for stage, record in (("pretrain_short", "short_pretraining"), ("pretrain_student", "pretraining")):
        trained = read_json(ROOT / "records" / f"{record}.json")["metrics"]["tokens_seen"]
        assert stages[stage] == pytest.approx(trained, rel=0.03)


def test_durations():
    assert [duration(s) for s in (5, 600, 8000, 864_000, 1e9)] == ["5 s", "10 min", "2 h", "10 days", "32 years"]


def test_the_table_in_the_readme(found):
    text = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    shown = text.split("<!-- cost -->\n")[1].split("\n<!-- /cost -->")[0]
    assert shown == table(found)


def test_the_cards_record_is_the_estimate(found):
    """`python scripts/measure.py cost --record_file records/cost.json` makes it anew."""
    kept = read_json(ROOT / "records" / "cost.json")["metrics"]
    assert kept["assumed"] == found["assumed"] and kept["recipes"].keys() == found["recipes"].keys()
    for name, recipe in found["recipes"].items():
        for key in ("seconds", "dollars"):
            assert kept["recipes"][name][key] == pytest.approx(recipe[key])
