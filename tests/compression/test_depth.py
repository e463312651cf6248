"""How few blocks the data allow: chosen on held-out training texts, and the same after an interruption."""

import copy
import json
import shutil
import sys

import pytest
import torch
from torch import nn

import compress
import finetune
from helpers.files.own_files import item, table
from helpers.files.task_data import sentence, write_student, write_tokenizer
from helpers.models.fast_models import run_here, tiny_model, write_data, write_finetuned
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.compression.cutting import depth as search_module
from mobilebert_ja.compression.cutting import recovery
from mobilebert_ja.compression.cutting.blocks import block_choices, costs_of_leaving_out
from mobilebert_ja.compression.cutting.depth import decided, told
from mobilebert_ja.compression.cutting.depth_trials import DepthSearch, Trials
from mobilebert_ja.compression.cutting.recovery import Source, answer_loss, inputs_of, recover
from mobilebert_ja.compression.cutting.shrink import neuron_weights, shrink
from mobilebert_ja.finetuning.answers import Answered, write_answers
from mobilebert_ja.finetuning.modelling.rows import IGNORED
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.plans import compression_settings_in_play
from mobilebert_ja.runtime import load
from mobilebert_ja.settings import CompressSettings, FinetuneSettings
from mobilebert_ja.tasks import Example, Task, load_task
from mobilebert_ja.tasks.intervals import compare
from mobilebert_ja.tasks.own.texts import own_texts
from mobilebert_ja.tokenization.encoders import read_encoder

BLOCKS = 4


def test_three_ways_to_keep_blocks():
    assert block_choices([0.1, 0.5, 0.2, 0.5, 0.9], 3) == {
        "evenly spread": [0, 2, 4],
        "first and last": [0, 1, 4],
        "costliest to leave out": [1, 3, 4],
    }
    for keep in range(2, 6):
        choices = block_choices([1.0] * 5, keep)
        assert all(len(set(each)) == keep and each == sorted(each) for each in choices.values())
        assert choices["costliest to leave out"] == list(range(keep))  # of equal ones the first


def deep_model():
    """Four blocks with weights that count, of which those at 1 and 2 add nothing."""
    from mobilebert_ja.model.mobilebert import initialise_student

    torch.manual_seed(0)
    config = copy.deepcopy(tiny_model("livedoor", ["a", "b", "c"], 200).config)
    config.num_hidden_layers = BLOCKS
    from transformers import MobileBertForSequenceClassification

    model = MobileBertForSequenceClassification(config)
    initialise_student(model, 33.0)
    nn.init.normal_(model.classifier.weight)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "encoder" in name and name.endswith("weight") and "LayerNorm" not in name:
                parameter.mul_(6)
        for number in (1, 2):
            dense = model.mobilebert.encoder.layer[number].output.bottleneck.dense
            dense.weight.zero_()
            dense.bias.zero_()
    return model.eval()


def batches_of(model, per_token=False):
    """Two batches, one with padding; of entities the special tokens do not count."""
    made = []
    for seed, length in ((1, 10), (2, 7)):
        ids = torch.randint(5, 200, (6, length), generator=torch.Generator().manual_seed(seed))
        mask = torch.ones_like(ids)
        mask[3:, length - seed :] = 0
        labels = torch.zeros(6, dtype=torch.long)
        if per_token:
            labels = torch.where(mask.bool(), 0, IGNORED)
            labels[:, 0] = IGNORED
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        made.append(inputs | {"labels": labels})
    return made


def test_a_block_that_adds_nothing_costs_nothing():
    costs = costs_of_leaving_out(deep_model(), batches_of(deep_model()))
    assert max(costs[1], costs[2]) < 1e-4 < min(costs[0], costs[3])
    assert block_choices(costs, 2)["costliest to leave out"] == [0, 3]


@pytest.mark.parametrize("task", ["livedoor", "ner"])
def test_leaving_out_costs_what_a_model_without_the_block_loses(task):
    """The short way, from the block's place on, and the long one: a model without the block, from its beginning."""
    model = tiny_model(task, ["O", "B-人名", "I-人名"], 200)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "encoder" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)  # norms that scale and shift, products that weigh
    batches = batches_of(model, per_token=task == "ner")
    weights = neuron_weights(model, map(inputs_of, batches))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = []
    with torch.inference_mode():
        for block in range(2):
            small, total, count = shrink(model, [1 - block], 1.0, weights), 0.0, 0
            for batch in batches:
                logits = [each(**inputs_of(batch)).logits for each in (small, model)]
                counted = batch["labels"] != IGNORED
                total += float(answer_loss(*logits, counted) * counted.sum())
                count += int(counted.sum())
            expected.append(total / count)
    assert costs_of_leaving_out(model, batches) == pytest.approx(expected, rel=1e-5)
    assert min(expected) > 1e-3 and expected[0] != pytest.approx(expected[1], rel=0.1)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model.mobilebert.encoder._forward_pre_hooks


def search_of(folder, scores, margin):
    """A search whose models are trained already: of 40 texts each number of blocks has `scores` right; 0: uncut. Each
    kept the first and the last blocks."""
    test = [Example(f"文{number}", "良い") for number in range(40)]
    task = Task("classification", Kind.CLASSES, ["悪い", "良い"], test[:8], test)
    for blocks, right in scores.items():
        given = ["良い"] * right + ["悪い"] * (len(test) - right)
        name = f"{blocks}.json" if blocks else "uncut.json"
        facts = {"layers": blocks, "score": right / len(test)}
        if blocks:
            kept = block_choices([0.5] * BLOCKS, blocks)["first and last"]
            facts |= {"blocks": kept, "choice": "first and last", "untrained": {}}
        write_answers(folder / name, facts, task, Answered(given))
    settings = CompressSettings(treatment="fast", margin=margin)
    depths = [blocks for blocks in scores if blocks]
    return DepthSearch(settings, Source(deep_model(), None, task, 0), depths, FinetuneSettings())


@pytest.mark.parametrize(
    ("margin", "chosen", "words"),
    [
        (2.5, 3, "keeps 3 of 4 blocks, the fewest that cost at most 2.5 points (0, 1, 3)"),
        (5, 2, "keeps 2 of 4 blocks"),
        (0, 4, "keeps all 4 blocks: with fewer, each number tried costs more than 0 points (0, 1, 2, 3)"),
    ],
)
def test_the_fewest_blocks_within_the_margin(tmp_path, margin, chosen, words):
    search = search_of(tmp_path, {0: 38, 2: 36, 3: 37}, margin)  # of 40: 2 points and a half each
    choice = decided(search, [0.5] * BLOCKS, tmp_path)
    assert (choice["chosen"], choice["within_margin"]) == (chosen, chosen < 4)
    assert choice["blocks"] == {2: [0, 3], 3: [0, 1, 3], 4: [0, 1, 2, 3]}[chosen]
    assert [each["difference"] for each in choice["depths"]] == [pytest.approx(-0.05), pytest.approx(-0.025)]
    low, high = choice["depths"][0]["interval"]
    assert low < -0.05 < high <= 0
    assert words in told(search.task, choice)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A folder as finetune.py leaves it, but for what it was made from."""
    folder = tmp_path_factory.mktemp("untrained")
    write_finetuned(folder, write_data(folder / "data"), "ner", [0])
    (folder / "empty.txt").write_bytes(b"\n \n")
    (folder / "binary.txt").write_bytes(b"\x89PNG\x00\xff\xfe")
    (folder / "table.csv").write_text(table([("京都へ行った。",)], ["memo"]), encoding="utf-8")
    (folder / "test.txt").write_text(load_task("ner", folder / "data", 0).test[0].text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--keep_layers", "six"], "--keep_layers takes a whole number or 'auto', not 'six'."),
        (["--keep_layers", "1"], "--keep_layers must be at least 2, not 1."),
        (["--depths", "4,many"], "--depths takes whole numbers with commas between them, not '4,many'."),
        (["--depths", "1,4"], "--depths must be at least 2, not 1."),
        (["--margin", "-1"], "--margin must be at least 0, not -1.0."),
        (["--validation_share", "1"], "--validation_share must be more than 0 and less than 1"),
        (["--search_epochs", "0"], "--search_epochs must be at least 1, not 0."),
        ([], "has no record of what it was fine-tuned from. --keep_layers N keeps N blocks without a search."),
        (["--unlabelled_file", "nowhere.txt"], "nowhere.txt does not exist"),
        (["--unlabelled_file", "empty.txt"], "empty.txt is empty."),
        (["--unlabelled_file", "binary.txt"], "binary.txt, line 1 is not UTF-8"),
        (["--unlabelled_file", "table.csv"], "table.csv has no column 'text'; it has 'memo'"),
        (["--unlabelled_file", "test.txt"], "test.txt holds nothing to learn from: 1 texts of the test part, 0 of"),
        (["--unlabelled_file", "table.csv", "--treatment", "onnx"], "--unlabelled_file is for --treatment fast"),
        (["--unlabelled_file", "table.csv", "--encoding", "sjiss"], "--encoding knows no 'sjiss'"),
        (["--unlabelled_file", "table.csv", "--silver_epochs", "0"], "--silver_epochs must be more than 0, not 0.0."),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(untrained, monkeypatch, capsys, flags, words):
    monkeypatch.chdir(untrained)
    status, said = run_here(monkeypatch, capsys, compress, ".", "data", "--task", "ner", "--treatment", "fast", *flags)
    assert status == 1 and words in said and "Traceback" not in said
    assert not (untrained / "compressed").exists()


def test_records_of_before_there_was_a_search_hold():
    """What a finished folder's settings are compared with: those of a number of blocks are as they were, and without
    unlabelled text nothing is said of it."""
    fast = compression_settings_in_play(CompressSettings(treatment="fast", keep_layers="14"))
    assert fast["keep_layers"] == 14 and not {"depths", "margin", "validation_share", "search_epochs"} & set(fast)
    for treatment in ("onnx", "card"):
        assert not {"keep_layers", "depths", "margin"} & set(
            compression_settings_in_play(CompressSettings(treatment=treatment))
        )
    auto = compression_settings_in_play(CompressSettings(treatment="fast", depths="4"))
    assert (auto["keep_layers"], auto["depths"], auto["margin"]) == ("auto", "4", 0.5)
    unlabelled = {"unlabelled_file", "text_column", "encoding", "silver_epochs"}
    assert not unlabelled & (set(fast) | set(auto))
    for layers in ("14", "auto"):
        settings = CompressSettings(treatment="fast", keep_layers=layers, unlabelled_file="notes.txt")
        kept = compression_settings_in_play(settings)
        assert unlabelled <= set(kept)
        settings.encoding = "UTF8"  # another name of the same
        assert compression_settings_in_play(settings) == kept
    with pytest.raises(UserError, match="--keep_layers"):
        compression_settings_in_play(CompressSettings(keep_layers="many"))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A student of four blocks, fine-tuned with two seeds on entities of one's own and with one on classes."""
    folder = tmp_path_factory.mktemp("work")
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"), BLOCKS)
    lines = []
    for number in range(120):
        each = sentence(number)
        spans = [(*entity["span"], entity["type"]) for entity in each["entities"]]
        lines.append(item(f"{each['text']}{number}", *spans))
    (folder / "people.jsonl").write_text("".join(lines), encoding="utf-8")
    words = {"好き": "話題になる", "嫌い": "雨が降った"}
    rows = [(f"{word}試合{number}", label) for label, word in words.items() for number in range(50)]
    (folder / "reviews.csv").write_text(table(rows), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shared = ["--learning_rate", "3e-3", "--max_seq_length", "32"]  # the batch is left to the number of rows
        for task, file, seeds, epochs in (
            ("entities", "people.jsonl", 2, 2),
            ("classification", "reviews.csv", 1, 12),
        ):
            flags = [
                "--task",
                task,
                "--train_file",
                file,
                "--num_seeds",
                str(seeds),
                "--num_train_epochs",
                str(epochs),
            ]
            patch.setattr(sys, "argv", ["finetune.py", "--work_dir", ".", *shared, *flags])
            finetune.main()
    return folder


FLAGS = ["--treatment", "fast", "--validation_share", "0.4", "--search_epochs", "1", "--num_train_epochs", "1"]
FLAGS += ["--per_device_train_batch_size", "16"]


def run_compress(monkeypatch, capsys, work, task, output, *flags):
    monkeypatch.chdir(work)
    monkeypatch.setattr(
        sys, "argv", ["compress.py", "--work_dir", ".", "--task", task, "--output_dir", output, *FLAGS, *flags]
    )
    try:
        compress.main()
        status = 0
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    return status, said.out + said.err


def without_times(choice):
    return choice | {"depths": [{k: v for k, v in each.items() if k != "seconds"} for each in choice["depths"]]}


def two_blocks_cost_too_much(patch):
    """As the search is about to compare them, and then three blocks."""
    differences = iter((-0.02, 0.0))
    patch.setattr(search_module, "compare", lambda *pair: compare(*pair) | {"difference": next(differences)})


@pytest.mark.slow
def test_the_search_is_the_same_after_an_interruption(work, monkeypatch, capsys):
    two_blocks_cost_too_much(monkeypatch)
    flags = ["--depths", "3,2,9", "--learning_rate", "1e-3"]
    status, said = run_compress(monkeypatch, capsys, work, "entities", "whole", *flags)
    assert status == 0, said
    record = read_json(work / "whole" / "record.json")
    metrics, choice = record["metrics"], record["metrics"]["choice"]
    assert [each["layers"] for each in choice["depths"]] == [2, 3]  # nine is more than there are
    assert choice["train_size"] + choice["validation_size"] == 96 and choice["validation_size"] >= 38
    for each in choice["depths"]:
        assert len(each["untrained"]) == 3 and each["blocks"] == each["untrained"][each["choice"]]["blocks"]
    assert choice["uncut"].keys() == {"score", "score_of_one_that_has_seen_them"}
    assert "keeps 3 of 4 blocks" in said and choice["chosen"] == 3
    # One choice for both seeds, and in what the runtime reads.
    assert [run["kept_blocks"] for run in metrics["runs"]] == [choice["blocks"]] * 2
    for folder in (work / "whole", work / "whole" / "seed-1"):
        facts = json.loads((folder / "compressed.json").read_text(encoding="utf-8"))
        assert facts["settings"]["keep_layers"] == choice["chosen"]
        assert facts["settings"]["kept_blocks"] == choice["blocks"]
        assert facts["decoding"] and load(folder).predict_one("田中太郎は京都市に住む。").entities is not None
    assert not (work / "whole" / "depth_search").exists()

    with monkeypatch.context() as patch:
        two_blocks_cost_too_much(patch)
        try_depth = Trials.try_depth

        def interrupted(trials, depth):
            if depth == 3:
                raise KeyboardInterrupt
            try_depth(trials, depth)

        patch.setattr(Trials, "try_depth", interrupted)
        assert run_compress(patch, capsys, work, "entities", "again", *flags)[0] == 130
    assert {path.name for path in (work / "again.partial" / "depth_search").glob("*.json")} == {
        "uncut.json",
        "costs.json",
        "2-blocks.json",
        "2.json",
    }
    two_blocks_cost_too_much(monkeypatch)
    status, said = run_compress(monkeypatch, capsys, work, "entities", "again", *flags)
    assert status == 0, said
    assert "3 blocks, for their number: step" in said
    assert "2 blocks, for their number: step" not in said and "uncut, for the number of blocks: step" not in said
    again = read_json(work / "again" / "record.json")
    assert without_times(again["metrics"]["choice"]) == without_times(choice)
    assert again["files"]["model.onnx"] == record["files"]["model.onnx"]
    status, said = run_compress(monkeypatch, capsys, work, "entities", "again", *flags)
    assert (status, "nothing to do" in said) == (0, True)


@pytest.mark.slow
def test_all_blocks_stay_where_fewer_cost_too_much(work, monkeypatch, capsys):
    def compare_with_a_loss(reference, answers):
        return compare(reference, answers) | {"difference": -0.02}

    monkeypatch.setattr(search_module, "compare", compare_with_a_loss)
    shutil.copytree(work / "finetuned" / "classification", work / "taught")  # as if it had learned from answers too
    record = read_json(work / "taught" / "record.json")
    record["settings"]["teacher_file"] = "answers.jsonl"
    (work / "taught" / "record.json").write_text(json.dumps(record), encoding="utf-8")
    flags = ["--depths", "2", "--margin", "1.9", "--model_name_or_path", "taught"]
    status, said = run_compress(monkeypatch, capsys, work, "classification", "all", *flags)
    assert status == 0, said
    assert "warning: classification: the model learned from teachers too; the search compares models without" in said
    choice = read_json(work / "all" / "record.json")["metrics"]["choice"]
    assert (choice["within_margin"], choice["chosen"], choice["blocks"]) == (False, 4, [0, 1, 2, 3])
    assert "classification: keeps all 4 blocks: with fewer, each number tried costs more than 1.9 points" in said
    assert "warning: each of 32 held-out texts weighs 3.1 points, more than --margin 1.9" in said
    assert read_json(work / "all" / "compressed.json")["settings"]["keep_layers"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "entities"])
def test_unlabelled_text_is_learned_without_any_text_of_the_parts(task, work, monkeypatch, capsys):
    """Neither the search nor the final training sees a text of the test part or of the held-out one."""
    monkeypatch.setattr(search_module, "compare", lambda *pair: compare(*pair) | {"difference": 0.0})
    kept = read_json(work / "finetuned" / task / "predictions-seed-0.json")["test"]
    file = {"classification": "reviews.csv", "entities": "people.jsonl"}[task]
    labelled = list(own_texts(work / file, "text"))
    new = [f"京都市に{number}年住む。" for number in range(20)]
    (work / "notes.csv").write_text(table([(text,) for text in (*labelled, *new, new[0])], ["memo"]), "utf-8")
    learned = []

    def spied(*given):
        learned.append([row.ids for row in given[-1]])
        return recover(*given)

    monkeypatch.setattr(recovery, "recover", spied)
    flags = ["--unlabelled_file", "notes.csv", "--text_column", "memo", "--silver_epochs", "0.5", "--depths", "2,3"]
    flags += ["--num_seeds", "1", "--num_train_epochs", "2"]
    status, said = run_compress(monkeypatch, capsys, work, task, f"unlabelled-{task}", *flags)
    assert status == 0, said
    record = read_json(work / f"unlabelled-{task}" / "record.json")
    facts, choice = record["metrics"]["unlabelled"], record["metrics"]["choice"]
    train_size = len(labelled) - len(kept)
    counts = {"in_test_part": len(kept), "in_training_part": train_size, "repeated": 1, "learned": 20}
    assert facts == {"given": len(labelled) + 21, **counts, "files": ["notes.csv"]}
    assert f"20 unlabelled texts from notes.csv beside {train_size} labelled examples" in said
    encoder = read_encoder(work / "finetuned" / task)
    assert learned == [[encoder.frame.single(encoder.ids(text)) for text in new]] * 3  # two depths, the final one
    # Ten in two passes over the labelled are five in the one of the search.
    steps = [record["metrics"]["choice"]["depths"][0]["steps"], record["metrics"]["runs"][0]["steps"]]
    assert steps == [-(-(choice["train_size"] + 5) // 16), 2 * -(-(train_size + 5) // 16)]
    assert [each["layers"] for each in choice["depths"]] == [2, 3] and choice["chosen"] == 2
    assert record["inputs"]["unlabelled_file"] and record["settings"]["silver_epochs"] == 0.5
    (work / "notes.csv").write_text(table([(text,) for text in new[:5]], ["memo"]), "utf-8")
    status, said = run_compress(monkeypatch, capsys, work, task, f"unlabelled-{task}", *flags)
    assert status == 1 and "was made otherwise (unlabelled_file was" in said


@pytest.mark.slow
def test_searches_that_the_data_or_the_model_do_not_allow(work, monkeypatch, capsys):
    for flags, words in (
        (
            ["--depths", "2", "--validation_share", "0.1"],
            "--validation_share 0.1 holds 8 of 80 training texts out; it takes 30",
        ),
        (["--depths", "4,8"], "--depths 4,8 names none below the model's 4 blocks. --keep_layers N"),
        (["--keep_ffn", "0.001", "--keep_layers", "9"], "--keep_layers must be from 2 to the model's 4, not 9."),
    ):
        status, said = run_compress(monkeypatch, capsys, work, "classification", "none", *flags)
        (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert status == 1 and words in line
    record = work / "finetuned" / "classification" / "record.json"
    known = record.read_text(encoding="utf-8")
    try:
        changed = json.loads(known)
        changed["inputs"]["model_name_or_path"] = "another"
        record.write_text(json.dumps(changed), encoding="utf-8")
        status, said = run_compress(monkeypatch, capsys, work, "classification", "none")
        assert status == 1 and "fine-tunes student anew, which is not there any more as" in said
    finally:
        record.write_text(known, encoding="utf-8")
    assert not (work / "none").exists()
