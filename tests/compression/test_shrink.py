"""Cutting a model and training it to answer as before: what is kept is exact, what is trained gets closer."""

import contextlib
import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import compress as stage_script
from helpers.models.fast_models import run_here, tiny_model, write_data, write_finetuned
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.compression import treatments
from mobilebert_ja.compression.cutting import recovery
from mobilebert_ja.compression.cutting.recovery import (
    TAUGHT,
    Teacher,
    answer_loss,
    collate_taught,
    feature_loss,
    inputs_of,
    recover,
)
from mobilebert_ja.compression.cutting.shrink import kept_blocks, kept_width, neuron_weights, shrink
from mobilebert_ja.compression.onnx.export import as_task_answer
from mobilebert_ja.compression.treatments import check_cut, training_accelerator
from mobilebert_ja.finetuning.modelling.rows import Row, collate
from mobilebert_ja.model.mobilebert import initialise_student, mobilebert_config
from mobilebert_ja.runtime import load
from mobilebert_ja.settings import CompressSettings
from mobilebert_ja.tasks import load_task
from mobilebert_ja.training.curve import fingerprint_of

VOCAB_SIZE, BLOCKS, WIDTH = 300, 5, 64
INNER = ("intermediate", "ffn.0.intermediate", "ffn.1.intermediate", "ffn.2.intermediate")


def weighty_model(per_token=False):
    """Five blocks whose norms scale and shift and whose products weigh, as those of a trained model do."""
    from transformers import MobileBertForSequenceClassification, MobileBertForTokenClassification

    torch.manual_seed(0)
    sizes = {"num_hidden_layers": BLOCKS, "hidden_size": 64, "intermediate_size": WIDTH, "num_labels": 3}
    config = mobilebert_config(VOCAB_SIZE, intra_bottleneck_size=32, embedding_size=32, **sizes)
    model = (MobileBertForTokenClassification if per_token else MobileBertForSequenceClassification)(config)
    initialise_student(model, 33.0)
    nn.init.normal_(model.classifier.weight)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "encoder" in name and "LayerNorm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            elif "encoder" in name and name.endswith("weight"):
                parameter.mul_(6)
    return model.eval()


@pytest.fixture
def model():
    return weighty_model()


def inputs(seed=0, rows=4, length=12):
    ids = torch.randint(5, VOCAB_SIZE, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[rows // 2 :, 7:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def logits(model):
    with torch.inference_mode():
        return model(**inputs()).logits


def test_what_is_kept():
    assert kept_blocks(24, 24) == list(range(24))
    assert kept_blocks(5, 2) == [0, 4] and kept_blocks(5, 3) == [0, 2, 4]
    for keep in range(2, 25):
        kept = kept_blocks(24, keep)
        assert len(set(kept)) == keep and kept == sorted(kept) and (kept[0], kept[-1]) == (0, 23)
    assert [kept_width(512, share) for share in (1.0, 0.8, 0.5, 0.01)] == [512, 416, 256, 16]
    for blocks in (1, 25):
        with pytest.raises(UserError, match="--keep_layers must be from 2 to the model's 24"):
            kept_blocks(24, blocks)
    for share in (0.0, 1.1):
        with pytest.raises(UserError, match="--keep_ffn"):
            kept_width(512, share)


def test_keeping_all_changes_nothing(model):
    small = shrink(model, range(BLOCKS), 1.0, neuron_weights(model, [inputs()]))
    assert torch.equal(logits(small), logits(model))


def test_a_block_that_adds_nothing_is_left_out_exactly(model):
    """But for what it adds, a block scales and shifts the stream; that must stay."""
    with torch.no_grad():
        for number in (1, 3):
            dense = model.mobilebert.encoder.layer[number].output.bottleneck.dense
            dense.weight.zero_()
            dense.bias.zero_()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    small = shrink(model, [0, 2, 4], 1.0, neuron_weights(model, [inputs()]))
    assert len(small.mobilebert.encoder.layer) == small.config.num_hidden_layers == 3
    assert (logits(small) - logits(model)).abs().max() < 1e-4 * logits(model).abs().max()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.config.num_hidden_layers == BLOCKS


def test_neurons_that_add_nothing_are_left_out_exactly(model):
    for layer in model.mobilebert.encoder.layer:
        for path in INNER:
            up = layer.get_submodule(path).dense
            with torch.no_grad():  # half of them never fire
                dead = torch.randperm(WIDTH, generator=torch.Generator().manual_seed(len(path)))[: WIDTH // 2]
                up.weight[dead] = 0
                up.bias[dead] = -1
    small = shrink(model, range(BLOCKS), 0.5, neuron_weights(model, [inputs(), inputs(1)]))
    first = small.mobilebert.encoder.layer[0]
    assert first.intermediate.dense.weight.shape == (32, 32) == first.ffn[2].output.dense.weight.shape
    assert small.config.intermediate_size == 32
    assert (logits(small) - logits(model)).abs().max() < 1e-4 * logits(model).abs().max()


def test_padding_does_not_weigh(model):
    one = inputs(rows=2, length=6)
    padded = {name: torch.cat([each, torch.zeros_like(each)], 1) for name, each in one.items()}
    model.config.trigram_input = False  # else the last token sees what is beyond it
    alone, together = neuron_weights(model, [one]), neuron_weights(model, [padded])
    for up in alone:
        assert torch.allclose(alone[up], together[up], rtol=1e-3, atol=1e-4 * float(alone[up].max()))


def test_other_models_are_refused():
    bert = tiny_model("livedoor", ["a", "b"], VOCAB_SIZE, bert=True)
    with pytest.raises(UserError, match="BertForSequenceClassification cannot be cut"):
        shrink(bert, [0, 1], 1.0, {})


def test_losses_by_hand():
    half, sure = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, float(torch.tensor(3.0).log())]])
    # KL of (1/4, 3/4) from (1/2, 1/2): 1/4 ln(1/2) + 3/4 ln(3/2)
    wanted = 0.25 * torch.tensor(0.5).log() + 0.75 * torch.tensor(1.5).log()
    assert answer_loss(half, sure, torch.tensor([True])) == pytest.approx(float(wanted))
    both = torch.cat([half, half]), torch.cat([sure, half])
    assert answer_loss(*both, torch.tensor([True, False])) == pytest.approx(float(wanted))
    assert answer_loss(*both, torch.tensor([True, True])) == pytest.approx(float(wanted) / 2)
    assert answer_loss(*both, torch.tensor([False, False])) == 0
    teacher, mask = torch.tensor([[[3.0, 4.0], [9.0, 9.0]]]), torch.tensor([[1, 0]])
    assert feature_loss(torch.zeros_like(teacher), teacher, mask) == pytest.approx(1)
    assert feature_loss(teacher + torch.tensor([1.0, 0.0]), teacher, mask) == pytest.approx(1 / 25)


@pytest.mark.slow
def test_recovery_brings_the_answers_back(model, tmp_path):
    settings = CompressSettings(
        treatment="fast", num_train_epochs=20, learning_rate=2e-3, per_device_train_batch_size=8, save_seconds=1e9
    )
    generator = torch.Generator().manual_seed(0)
    rows = [Row(torch.randint(5, VOCAB_SIZE, (10,), generator=generator).tolist(), [], 0) for _ in range(64)]
    kept = kept_blocks(BLOCKS, 3)
    small = shrink(model, kept, 0.5, neuron_weights(model, [inputs()]))
    start = copy.deepcopy(small)
    state = recover(training_accelerator(settings), small, model, kept, rows, 0, settings, tmp_path, "recovery")

    def distance(student):
        with torch.inference_mode():
            ids = torch.tensor([row.ids for row in rows])
            mask = torch.ones_like(ids)
            pair = [each(input_ids=ids, attention_mask=mask).logits for each in (student, model)]
        return float(answer_loss(*pair, torch.ones(len(rows), dtype=torch.bool)))

    assert state.step == 20 * 8
    assert distance(small) < distance(start) / 3
    assert {"answer_loss", "feature_loss"} <= state.history[-1].keys()


@pytest.mark.parametrize("per_token", [False, True])
def test_a_teacher_that_is_asked_once_says_the_same(per_token, tmp_path, monkeypatch):
    model, generator = weighty_model(per_token), torch.Generator().manual_seed(0)
    model.config.trigram_input = False  # else the last token sees whether there is padding behind it
    lengths = (9, 4, 12, 7, 5)
    ids = [torch.randint(5, VOCAB_SIZE, (length,), generator=generator).tolist() for length in lengths]
    rows = [Row(each, [], [0] * len(each) if per_token else 0) for each in ids]
    teacher = Teacher(training_accelerator(CompressSettings(treatment="fast")), model, [2, 4, BLOCKS])
    batch = collate_taught(teacher.ask_once(rows, 0, 2, tmp_path)[1:], 0)  # other batches than it was asked in
    plain = {name: torch.from_numpy(array) for name, array in collate(rows[1:], 0).items()}
    assert batch.keys() - plain.keys() == set(TAUGHT)
    mask = plain["attention_mask"].bool()
    logits, streams = teacher.ask(inputs_of(plain))
    assert streams.shape == (4, 12, 3, 64) and streams[mask].std() > 0.1
    assert torch.allclose(batch["teacher_streams"][mask], streams[mask], rtol=1e-4, atol=1e-4)
    kept, said = (each[mask] if per_token else each for each in (batch["teacher_logits"], logits))
    assert torch.allclose(kept, said, rtol=1e-4, atol=1e-3)
    assert not list(tmp_path.iterdir())  # nothing to be cleared away
    in_bf16 = SimpleNamespace(mixed_precision="bf16", device=torch.device("cpu"), autocast=contextlib.nullcontext)
    half = collate_taught(replace(teacher, accelerator=in_bf16).ask_once(rows, 0, 2, tmp_path)[1:], 0)
    assert torch.equal(half["teacher_streams"], batch["teacher_streams"].bfloat16().float())
    assert len(fingerprint_of(half)) == 64  # as of any other batch, for the case that the loss is not finite

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recovery.os, "posix_fallocate", full)
        assert teacher.ask_once(rows, 0, 2, tmp_path) is None
    monkeypatch.setattr(recovery, "KEPT_BYTES", sum(lengths) * 3 * 64 * 4 - 1)
    assert teacher.ask_once(rows, 0, 2, tmp_path) is None and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_recovery_is_the_same_whether_the_teacher_is_asked_once_or_always(model, tmp_path, monkeypatch):
    settings = CompressSettings(treatment="fast", num_train_epochs=2, silver_epochs=1, save_seconds=1e9)
    settings.per_device_train_batch_size = 8
    generator = torch.Generator().manual_seed(0)
    rows = [Row(torch.randint(5, VOCAB_SIZE, (10,), generator=generator).tolist(), [], 0) for _ in range(24)]
    kept, asked, students = kept_blocks(BLOCKS, 3), [], []
    ask = Teacher.ask
    monkeypatch.setattr(Teacher, "ask", lambda *given: (asked.append(1), ask(*given))[1])
    for limit in (recovery.KEPT_BYTES, 0):
        monkeypatch.setattr(recovery, "KEPT_BYTES", limit)
        students.append(shrink(model, kept, 0.5, neuron_weights(model, [inputs()])))
        accelerator, folder = training_accelerator(settings), tmp_path / str(limit)
        recover(accelerator, students[-1], model, kept, rows[:16], 0, settings, folder, "recovery", rows[16:])
        asked.append(0)
    assert asked == [1] * 3 + [0] + [1] * 6 + [0]  # 24 rows once, or in two epochs of 16 and a half of 8
    assert torch.allclose(*map(logits, students), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("per_token", [False, True])
def test_answers_to_unlabelled_rows_are_learned(per_token, tmp_path):
    """Of rows that have not a token in common with the training part, more is learned by who is given them."""
    model = weighty_model(per_token)
    with torch.no_grad():  # not so sure of everything that every cut model gives the same answers
        model.classifier.weight.div_(logits(model).std())
    generator = torch.Generator().manual_seed(0)

    def rows(lowest, highest):
        ids = torch.randint(lowest, highest, (32, 10), generator=generator).tolist()
        return [Row(each, [], [0] * len(each) if per_token else 0) for each in ids]

    labelled, others, kept = rows(5, 100), rows(100, VOCAB_SIZE), kept_blocks(BLOCKS, 3)
    settings = CompressSettings(treatment="fast", num_train_epochs=10, silver_epochs=10, learning_rate=2e-3)
    settings.per_device_train_batch_size, settings.save_seconds = 8, 1e9
    losses, ids = [], torch.tensor([row.ids for row in others])
    for number, given in enumerate(((), others)):
        small = shrink(model, kept, 0.5, neuron_weights(model, [inputs()]))
        accelerator, folder = training_accelerator(settings), tmp_path / str(number)
        state = recover(accelerator, small, model, kept, labelled, 0, settings, folder, "recovery", given)
        assert state.step == 10 * (32 + len(given)) // 8
        with torch.inference_mode():
            pair = [each(input_ids=ids, attention_mask=torch.ones_like(ids)).logits for each in (small, model)]
        losses.append(float(answer_loss(*pair, torch.ones(pair[0].shape[:-1], dtype=torch.bool))))
    assert losses[1] < losses[0] / 2


@pytest.mark.slow
def test_the_fast_treatment(tmp_path, monkeypatch, capsys):
    data = write_data(tmp_path / "data")
    write_finetuned(tmp_path, data, "ner", [0])
    flags = ["--task", "ner", "--treatment", "fast", "--keep_layers", "2", "--keep_ffn", "0.5"]
    flags += ["--num_train_epochs", "2", "--per_device_train_batch_size", "4"]
    with monkeypatch.context() as patch:  # interrupted when the training is done and nothing is saved yet

        def interrupted(*arguments, **named):
            raise KeyboardInterrupt

        patch.setattr(treatments, "export", interrupted)
        assert run_here(patch, capsys, stage_script, tmp_path, data, *flags)[0] == 130
    status, said = run_here(monkeypatch, capsys, stage_script, tmp_path, data, *flags)
    assert (status, "goes on from step 12" in said) == (0, True), said
    folder = tmp_path / "compressed" / "ner" / "fast"
    record = json.loads((tmp_path / "records" / "compressed_ner_fast.json").read_text(encoding="utf-8"))
    metrics, run = record["metrics"], record["metrics"]["runs"][0]
    assert metrics["kept_blocks"] == [0, 1] and metrics["intermediate_size"] == 32 and run["steps"] == 12
    facts = json.loads((folder / "compressed.json").read_text(encoding="utf-8"))
    assert (facts["treatment"], facts["settings"]["keep_layers"], facts["parameters"]) == (
        "fast",
        2,
        run["parameters"],
    )
    task = load_task("ner", data, split_seed=0)
    answers = [as_task_answer(answer) for answer in load(folder).predict([each.text for each in task.test])]
    assert run["score"] == pytest.approx(task.score(answers)["f1"])
    assert not list(folder.rglob("checkpoints"))
    status, said = run_here(monkeypatch, capsys, stage_script, tmp_path, data, *flags)
    assert (status, "nothing to do" in said) == (0, True)


@pytest.mark.parametrize(
    ("change", "words"), [({"keep_layers": "9"}, "--keep_layers"), ({"keep_ffn": 2.0}, "--keep_ffn")]
)
def test_cuts_that_cannot_be_made(model, change, words):
    with pytest.raises(UserError, match=words):
        check_cut(CompressSettings(**{"keep_layers": "3", **change}), model.config)
