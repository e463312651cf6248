"""What unlabelled text and a larger model brought, on every page that tells it, from records of real tiny runs."""

import copy
import shutil

import pytest

import finetune
import measure
from helpers.files.made_up_records import pages
from helpers.files.task_data import SUBJECTS, article, write_student, write_tokenizer
from helpers.models.fast_models import write_data
from helpers.paths import ROOT
from helpers.running.processes import call_entry
from mobilebert_ja.card import render as card
from mobilebert_ja.card import teachers
from mobilebert_ja.card.names import METHODS, TASKS, WITH_MORE
from mobilebert_ja.card.tables import scores, speed, unlabelled
from mobilebert_ja.card.teachers import Teacher
from mobilebert_ja.card.values import percent
from mobilebert_ja.common.errors import UserError

QUICK = ("--task", "livedoor", "--model_name_or_path", "student", "--data_dir", "data")
QUICK += ("--num_train_epochs", 1, "--max_seq_length", 24, "--per_device_train_batch_size", 16)
OWN, SVM, LARGER = "このモデル(乱数シード 2通り)", "TF-IDF と線形 SVM", "multilingual-e5-small"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Records of the plain model, a larger one, and one that learned from both and an SVM; and of a comparison."""
    work = tmp_path_factory.mktemp("ways")
    write_data(work / "data")
    write_student(work / "student", write_tokenizer(work / "tokenizer"))
    titles = [article(category, number).split("\n")[2] for category in SUBJECTS for number in range(60, 90)]
    (work / "titles.txt").write_text("\n".join(titles), encoding="utf-8")

    def tune(folder: str, *flags) -> None:
        done = call_entry(finetune, *QUICK, "--work_dir", folder, *flags, cwd=work)
        assert done.returncode == 0, done.stderr

    tune("work", "--num_seeds", 2)
    tune("large", "--num_seeds", 1, "--seed", 7)
    teachers = "large/finetuned/livedoor,svm,work/finetuned/livedoor"
    asked = ("--teacher", teachers, "--unlabelled_file", "titles.txt", "--min_confidence", 0, "--silver_share", 0.5)
    tune("work", "--num_seeds", 2, *asked)
    shutil.copy(work / "large" / "records" / "livedoor.json", work / "work" / "records" / "livedoor-e5.json")
    answers = [
        work / "work" / "finetuned" / name / "predictions-seed-0.json" for name in ("livedoor", "livedoor-silver")
    ]
    kept = ("--record", "comparison_with_silver", "--records_dir", work / "work" / "records")
    done = call_entry(measure, "compare", *answers, *kept, cwd=work)
    assert done.returncode == 0, done.stderr
    return card.load_records(work / "work" / "records")


@pytest.fixture
def records(measured):
    return copy.deepcopy(measured)


def shown(records) -> tuple[str, str]:
    """The card and the report."""
    first, second = pages(records).split("# mobilebert-ja: 測定の報告")
    return first, second.split("\n| you have |")[0]


@pytest.mark.slow
def test_the_card_has_a_row_with_unlabelled_text_that_names_the_teachers(records):
    text, _ = shown(records)
    metrics = records["livedoor-silver"]["metrics"]
    score = percent(metrics["mean"], metrics["std"])
    assert f"| MobileBERT | {percent(records['livedoor']['metrics']['mean'])[:-2]}" in text
    seconds = f"{metrics['train_seconds']:,.0f} 秒"
    assert f"| MobileBERT(ラベルなしテキストも使った場合) | {score} | {seconds} | — | — | — | — |" in text
    learned = metrics["silver"]["learned"]
    assert 0 < learned < metrics["silver"]["given"]
    assert f"ラベルのない {learned}件への教師({LARGER}、{SVM}、{OWN})の答えも学習したモデルです" in text
    assert text.count("ラベルなしテキストも使った場合」は") == 1  # of named entities there is no such record
    assert "with unlabelled text" in speed.plain_table(records)


@pytest.mark.slow
def test_the_report_has_every_way_with_its_runs_its_difference_and_what_was_learned(records):
    _, report = shown(records)
    block = report.split("#### ラベルなしテキストと大きいモデル: 題名の分類(livedoor)\n")[1].split("\n#")[0]
    rows = {
        cells[1].strip(): [each.strip() for each in cells[2:-1]]
        for cells in (line.split("|") for line in block.splitlines())
        if len(cells) > 3
    }
    assert list(rows)[2:] == ["**このモデル**", "このモデル(ラベルなしテキストも使った場合)", LARGER]
    plain, silver, larger = list(rows.values())[2:]
    for cells, name in ((plain, "livedoor"), (silver, "livedoor-silver"), (larger, "livedoor-e5")):
        metrics = records[name]["metrics"]
        assert cells[0] == percent(metrics["mean"], metrics["std"])
        assert cells[1] == "、".join(percent(run["score"]) for run in metrics["runs"])
        low, high = metrics["runs"][0]["intervals"]["accuracy"]
        assert cells[2] == f"{100 * low:.1f} から {100 * high:.1f}"
        assert cells[5] == f"{metrics['parameters']:,}"
    compared, facts = records["comparison_with_silver"]["metrics"], records["livedoor-silver"]["metrics"]["silver"]
    assert silver[3].startswith(f"{100 * compared['difference']:+.1f}({100 * compared['interval'][0]:+.1f} から ")
    means = [records[name]["metrics"]["mean"] for name in ("livedoor-e5", "livedoor")]
    assert plain[3] == "—" and larger[3] == f"{100 * (means[0] - means[1]):+.1f}"
    assert (plain[4], silver[4], larger[4]) == ("—", f"{facts['learned']}件", "—")
    assert f"教師: {LARGER}、{SVM}、{OWN}。答えの付いた {facts['given']}件から" in block
    assert "その 50.0 % にあたる" in block and f"{facts['answering_seconds']:,.0f} 秒です" in block


@pytest.mark.slow
def test_a_comparison_the_other_way_round_is_turned(records):
    compared = records["comparison_with_silver"]
    expected = unlabelled.difference_cell(records, "livedoor", "-silver")
    inputs, metrics = compared["inputs"], compared["metrics"]
    inputs["first"], inputs["second"] = inputs["second"], inputs["first"]
    metrics |= {"difference": -metrics["difference"], "interval": [-each for each in reversed(metrics["interval"])]}
    assert unlabelled.difference_cell(records, "livedoor", "-silver") == expected
    inputs["first"] = "0" * 16  # answers that no record knows
    assert "p =" not in unlabelled.difference_cell(records, "livedoor", "-silver")


@pytest.mark.slow
def test_a_model_made_anew_stands_for_the_one_whose_scores_are_shown(records):
    """Its weights are what could be asked, sped up and compared where those of the first are gone."""
    expected = unlabelled.difference_cell(records, "livedoor", "-silver")
    again = records["livedoor-again"] = copy.deepcopy(records["livedoor"])
    for number, name in enumerate(records["livedoor"]["files"]):
        records["livedoor"]["files"][name] = f"{number:064d}"
    told = f"「同じ設定でもう一度」との差は {expected}"
    assert "p =" in expected and unlabelled.difference_cell(records, "livedoor", "-silver") == told
    again["metrics"] |= {"mean": 0.5, "std": 0.25}
    again["hardware"] = {"processor": "A Wholly Different One"}
    report = shown(records)[1]
    assert (
        "| このモデル(同じ設定でもう一度) | 50.0 ± 25.0 % |" in report
        and "こちらは A Wholly Different One)で" in report
    )
    silver, compared = records["livedoor-silver"]["metrics"], records["comparison_with_silver"]["metrics"]
    mean = percent(records["livedoor"]["metrics"]["mean"])
    whole = f"news titles {mean} → {percent(silver['mean'], silver['std'])} (answers"
    assert unlabelled.brought(records, unlabelled.LARGE_TEACHERS).startswith(whole)
    runs, silver["runs"] = silver["runs"], silver["runs"][:1]
    scores = " → ".join(percent(compared["scores"][each]) for each in ("first", "second"))
    one = f"news titles {scores} of the same seed, p = {compared['p']:.2g} (answers"
    assert unlabelled.brought(records, unlabelled.LARGE_TEACHERS).startswith(one)
    silver["runs"] = runs
    assert teachers.teachers_of(records, "livedoor")[-1] == Teacher("", 2)
    record = records["livedoor-silver"]
    *_, mark = (name for name in record["inputs"] if name.startswith("teacher"))
    whole, record["inputs"][mark] = record["inputs"][mark], again["files"]["seed-1/model.safetensors"][:16]
    assert teachers.teachers_of(records, "livedoor")[-1] == Teacher("")  # one of its seeds
    record["inputs"][mark] = whole
    again["settings"]["learning_rate"] = 0.25  # not the same settings
    assert "p =" not in unlabelled.difference_cell(records, "livedoor", "-silver")
    again["settings"]["learning_rate"] = records["livedoor"]["settings"]["learning_rate"]
    assert "p =" in unlabelled.difference_cell(records, "livedoor", "-silver")
    again["inputs"]["model_name_or_path"] = "1" * 16  # another checkpoint's
    assert "p =" not in unlabelled.difference_cell(records, "livedoor", "-silver")
    assert teachers.teachers_of(records, "livedoor")[-1] == Teacher("work/finetuned/livedoor")


@pytest.mark.slow
def test_models_of_other_teachers_stand_beside_the_first_under_their_teachers_names(records):
    other = records["livedoor-silver-svm"] = copy.deepcopy(records["livedoor-silver"])
    other["settings"] |= {"teacher": "svm", "silver_share": 1.0}
    other["metrics"]["silver"]["learned"] = 4321
    records["livedoor-silvery"] = other  # no way of its own
    _, report = shown(records)
    titles = [
        line.split("|")[1].strip() for line in report.splitlines() if line.startswith(("| このモデル(", "| mul"))
    ]
    first = "このモデル(ラベルなしテキストも使った場合)"
    assert [each for each in titles if each in (first, LARGER) or "教師" in each] == [
        first,
        f"このモデル(教師: {SVM})",
        LARGER,
    ]
    assert f"教師: {SVM}。答えの付いた" in report and "4,321件を学習しました" in report
    assert f"教師: {LARGER}、{SVM}、{OWN}。答えの付いた" in report
    del records["livedoor-silver"]
    assert f"| このモデル(教師: {SVM}) |" in shown(records)[1]


@pytest.mark.slow
def test_teachers_that_no_record_knows_are_called_as_they_were(records):
    record = records["livedoor-silver"]
    del records["livedoor-e5"]
    assert teachers.teachers_of(records, "livedoor") == [
        Teacher("large/finetuned/livedoor"),
        Teacher("-svm"),
        Teacher("", 2),
    ]
    assert f"`large/finetuned/livedoor`、{SVM}、{OWN}" in shown(records)[0]
    record["settings"] |= {"teacher": "someone/titles-large,svm", "teacher_file": "llm.jsonl"}
    assert teachers.teachers_of(records, "livedoor") == [
        Teacher(name) for name in ("someone/titles-large", "-svm", "llm.jsonl")
    ]


def test_every_teacher_of_the_repositorys_silver_answers_has_a_record():
    records = card.load_records(ROOT / "records")
    for task in TASKS:
        for ending in teachers.silver_endings(records, task):
            files = {*(records[task + ending]["settings"].get("teacher_file") or "").split(",")}
            asked = {teacher.name for teacher in teachers.teachers_of(records, task, ending)}
            assert asked <= {*METHODS, *WITH_MORE, *files}


@pytest.mark.slow
def test_one_seed_of_the_model_is_the_model(records):
    record = records["livedoor-silver"]
    record["settings"]["teacher"] = "work/finetuned/livedoor/seed-1"
    record["inputs"]["teacher"] = records["livedoor"]["files"]["seed-1/model.safetensors"][:16]
    for name in ("teacher_2", "teacher_3"):
        record["inputs"].pop(name, None)
    assert teachers.teachers_of(records, "livedoor") == [Teacher("")]
    assert "への教師(このモデル)の答え" in shown(records)[0]


@pytest.mark.slow
def test_without_such_records_nothing_is_said(records):
    for name in ("livedoor-silver", "livedoor-e5"):
        del records[name]
    text = pages(records)
    assert "ラベルなしテキスト" not in text and "大きいモデル" not in text
    assert scores.verdict(records, "livedoor") is None  # a way with more than the labels is no rival


def guide_of(records) -> list[list[str]]:
    """The cells of the guide's table: what one has, and what was measured."""
    text = card.with_table(f"before\n{card.GUIDE_START}old\n{card.GUIDE_END}after\n", records, "a guide")
    before, rest = text.split(card.GUIDE_START)
    table, after = rest.split(card.GUIDE_END)
    assert (before, after) == ("before\n", "after\n") and "old" not in table
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    return [[line.split("|")[1].strip(), line.split("|")[-2].strip()] for line in lines]


@pytest.mark.slow
def test_the_guide_tells_what_each_way_brought(records):
    plain, silver, larger = (records[f"livedoor{each}"]["metrics"] for each in ("", "-silver", "-e5"))
    own = percent(plain["mean"], plain["std"])
    taught = f"news titles {percent(plain['mean'])} → {percent(silver['mean'], silver['std'])}"
    teachers = f"{LARGER}, of TF-IDF and a linear SVM and of the model itself (2 seeds)"
    large = f"{taught} (answers of {teachers}; {LARGER} has {percent(larger['mean'])})"
    assert [cell for _, cell in guide_of(records)] == [f"news titles {own}", "", "", large, ""]
    record = records["livedoor-silver"]
    record["settings"]["teacher"], record["inputs"]["teacher"] = "svm,own", record["inputs"]["teacher_2"]
    del record["inputs"]["teacher_2"]
    records["livedoor-adapted"] = records["livedoor-e5"]
    adapted = f"news titles {percent(plain['mean'])} → {percent(larger['mean'], larger['std'])}"
    small = f"{taught} (answers of TF-IDF and a linear SVM and of the model itself (2 seeds))"
    assert [cell for _, cell in guide_of(records)] == [f"news titles {own}", adapted, small, "", ""]
    records["livedoor-silver-small"] = record
    of_the_hub = {"settings": record["settings"] | {"teacher": "someone/large,svm"}, "inputs": {}}
    records["livedoor-silver"] = record | of_the_hub
    large = f"{taught} (answers of `someone/large` and of TF-IDF and a linear SVM)"
    assert [cell for _, cell in guide_of(records)] == [f"news titles {own}", adapted, small, large, ""]
    del records["livedoor"]
    assert all(cell == "" for _, cell in guide_of(records))


@pytest.mark.parametrize(
    "text", ["no marks", card.GUIDE_END + card.GUIDE_START, card.GUIDE_START * 2 + card.GUIDE_END]
)
def test_a_guide_without_a_place_for_the_table_is_refused(text):
    with pytest.raises(UserError, match="my guide has no place for the table"):
        card.with_table(text, {}, "my guide")


@pytest.mark.slow
def test_a_record_made_before_the_time_of_the_answers_was_kept_is_shown(records):
    del records["livedoor-silver"]["metrics"]["silver"]["answering_seconds"]
    _, report = shown(records)
    assert "を学習しました。\n" in report and "教師が答えるのにかかった時間" not in report


def run_of(size: int, *scores: float) -> dict:
    return {"train_size": size, "scores": [*scores]}


CURVE = [
    {"model": run_of(307, 0.612), "silver": run_of(307, 0.743), "baseline": run_of(307, 0.701)},
    {"model": run_of(613, 0.7, 0.72), "silver": run_of(613, 0.853), "baseline": run_of(613, 0.77)},
]


def with_curve() -> dict:
    whole = {"livedoor": 0.852, "livedoor-svm": 0.871, "livedoor-silver": 0.879}
    records = {
        name: {"metrics": {"task": "livedoor", "mean": mean, "std": 0.001, "train_size": 5903}, "inputs": {}}
        for name, mean in whole.items()
    }
    return records | {"learning_curve_livedoor": {"metrics": {"baseline": "svm", "points": CURVE}}}


def test_a_curve_ends_in_the_tasks_own_records():
    curves = unlabelled.learning_curves(with_curve(), "livedoor")
    assert curves["model"] == {307: 0.612, 613: pytest.approx(0.71), 5903: 0.852}
    assert curves["silver"] == {307: 0.743, 613: 0.853, 5903: 0.879}
    assert [row[1:] for row in unlabelled.learning_rows(with_curve())] == [
        ["307件", "61.2 %", "74.3 %", "70.1 %"],
        ["613件", "71.0 %", "85.3 %", "77.0 %"],
        ["5,903件", "85.2 %", "87.9 %", "87.1 %"],
    ]
    assert unlabelled.learning_curves({}, "livedoor") == {}


def test_how_few_labels_are_worth_all():
    records = with_curve()
    assert unlabelled.worth_all_labels(records, "livedoor") == (613, 5903)
    records["livedoor"]["metrics"]["mean"] = 0.88
    assert unlabelled.worth_all_labels(records, "livedoor") is None
    del records["learning_curve_livedoor"]
    assert unlabelled.worth_all_labels(records, "livedoor") is None


def test_a_curve_without_teachers_is_none_of_theirs():
    records = with_curve()
    points = [{name: point[name] for name in ("model", "baseline")} for point in CURVE]
    records["learning_curve_livedoor"]["metrics"]["points"] = points
    assert [row[3] for row in unlabelled.learning_rows(records)] == ["—", "—", "—"]
    assert unlabelled.worth_all_labels(records, "livedoor") is None


def test_what_teachers_bring_to_the_fewest_rows_stands_in_the_guide():
    records = with_curve()
    records["livedoor-silver"]["settings"] = {"teacher": "svm,large"}
    told = unlabelled.brought(records, unlabelled.LARGE_TEACHERS)
    taught = "news titles 85.2 % → 87.9 ± 0.1 % (answers of TF-IDF and a linear SVM and of `large`)"
    assert told == f"{taught}; with 307 rows 61.2 % → 74.3 %"
    alone = "news titles 85.2 ± 0.1 % (TF-IDF and a linear SVM: 87.1 %), with 307 rows 61.2 % (70.1 %)"
    assert unlabelled.brought(records, "") == alone
    curve, whole = records["learning_curve_livedoor"], records["livedoor"]
    curve["command"], whole["command"] = ("measure.py learning_curve --config a.yaml", "finetune.py --config a.yaml")
    whole["settings"] = {"num_train_epochs": 5, "per_device_train_batch_size": 32}
    told = unlabelled.brought(records, unlabelled.LARGE_TEACHERS)
    assert told == f"{taught}; with 307 rows, 5 passes in batches of 32, 61.2 % → 74.3 %"
    whole["command"] = "finetune.py --config b.yaml"  # says nothing of the curve
    assert unlabelled.curve_training(records, "livedoor") is None
    curve["settings"] = {"recipe": {"finetune_livedoor": {"num_train_epochs": 2, "per_device_train_batch_size": 8}}}
    assert unlabelled.curve_training(records, "livedoor") == (2, 8)


def test_the_teachers_of_a_curve_are_called_by_their_names():
    records = with_curve()
    records["learning_curve_livedoor"] |= {"settings": {"teacher": "svm,some/folder"}, "inputs": {"teacher_1": "ab"}}
    assert unlabelled.curve_teachers_in_words(records, "livedoor") == f"{SVM}、`some/folder`"
    records["livedoor-e5"] = {"inputs": {"model_name_or_path": "ab"}}
    assert unlabelled.curve_teachers_in_words(records, "livedoor") == f"{SVM}、{LARGER}"


def test_what_the_texts_without_labels_are_is_said_where_it_is_known():
    record = {"inputs": {"unlabelled_file": next(iter(unlabelled.TEXTS_WITHOUT_LABELS))}}
    assert unlabelled.texts_in_words(record).startswith("ラベルのないテキストは、訓練データの題名")
    assert unlabelled.texts_in_words({"inputs": {"unlabelled_file": "ab"}}) == unlabelled.texts_in_words({}) == ""
