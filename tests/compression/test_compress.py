"""Pruning, quantizing, tracing: how much, how close, how small; and the stage that does it to every seed."""

import contextlib
import copy
import json
import shutil
import warnings

import pytest
import torch

import compress as stage_script
from helpers.models.fast_models import run_here, run_script, tiny_model, write_data, write_finetuned
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import write_json
from mobilebert_ja.compression.onnx.export import as_task_answer
from mobilebert_ja.compression.torchscript import (
    compress,
    example_inputs,
    expected_warnings_hidden,
    hold_zeros,
    load_compressed,
    matrices,
    prune,
    quantize,
    save_compressed,
    trace,
)
from mobilebert_ja.finetuning.folder import FinishedRuns, load_finetuned, stored_answers
from mobilebert_ja.finetuning.predictor import LogitsOf
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.runtime import load
from mobilebert_ja.tasks import Example, Task, load_task
from mobilebert_ja.tasks.intervals import compare, read_answers

VOCAB_SIZE = 300
LABELS = {"livedoor": ["a", "b", "c"], "ner": ["O", "B-人名", "I-人名"]}
TASKS = list(LABELS)


@pytest.fixture(params=TASKS)
def model(request):
    return tiny_model(request.param, LABELS[request.param], VOCAB_SIZE)


def logits(function, inputs):
    with torch.inference_mode():
        return function(*inputs)


def states(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def dequantized(pruned, quantized):
    """`pruned` in float32 with the values of the int8 matrices: all that is left out is rounding of activations."""
    reference = copy.deepcopy(pruned)
    int8 = dict(quantized.named_modules())
    with torch.no_grad():
        for name, module in matrices(reference).items():
            module.weight.copy_(int8[name].weight().dequantize())
    return LogitsOf(reference)


@pytest.mark.parametrize("amount", [0.0, 0.2, 0.5, 0.99])
def test_pruning_takes_exactly_the_smallest(model, amount):
    before = states(model)
    sparsity = prune(model, amount)
    zeros = total = 0
    for module_name, module in matrices(model).items():
        old, new = before[f"{module_name}.weight"].flatten().abs(), module.weight.flatten().abs()
        count = round(amount * old.numel())
        assert int((new == 0).sum()) == count
        assert count == 0 or old[new == 0].max() <= old[new != 0].min()
        assert torch.equal(new[new != 0], old[new != 0])
        zeros, total = zeros + count, total + old.numel()
    assert sparsity == zeros / total
    assert before.keys() == model.state_dict().keys()  # no masks left behind


def test_head_and_embeddings_stay(model):
    before = states(model)
    prune(model, 0.5)
    quantized = quantize(model)
    assert type(quantized.classifier) is torch.nn.Linear
    assert torch.equal(quantized.classifier.weight, before["classifier.weight"])
    kept = quantized.mobilebert.embeddings.word_embeddings.weight
    assert torch.equal(kept, before["mobilebert.embeddings.word_embeddings.weight"])
    linear = [module for module in quantized.modules() if isinstance(module, torch.nn.Linear)]
    assert linear == [quantized.classifier]


@pytest.mark.parametrize("amount", [-0.1, 1.0])
def test_amounts_that_make_no_sense(model, amount):
    with pytest.raises(ValueError, match="amount"):
        prune(model, amount)


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_graph_answers_as_its_weights_say(model, per_channel):
    with torch.no_grad():  # weights as large as trained ones, so that pruning shows
        for module in matrices(model).values():
            module.weight *= 5
    before = states(model)
    traced, _ = compress(model, 0.2, per_channel)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())  # a copy was changed
    pruned = copy.deepcopy(model)
    prune(pruned, 0.2)
    reference, unpruned = dequantized(pruned, quantize(pruned, per_channel)), LogitsOf(model)
    far = near = 0.0
    for rows in (1, 2, 3, 4):
        for length in (3, 5, 16, 33, 60):
            inputs = example_inputs(rows, length, VOCAB_SIZE, seed=rows * length)
            given, wanted = logits(traced, inputs), logits(reference, inputs)
            assert given.shape == wanted.shape
            near += float((given - wanted).norm() / wanted.norm())
            far += float((given - logits(unpruned, inputs)).norm() / wanted.norm())
    assert near / 20 < 0.05 and far > 2 * near  # the weights set to zero matter more than the rounding


def test_scales_by_row_are_closer(model):
    with torch.no_grad():  # rows of very different size are what one scale per matrix cannot serve
        for module in matrices(model).values():
            module.weight[::2] *= 0.05
    original = {name: module.weight[::2].detach() for name, module in matrices(model).items()}

    def error(per_channel: bool) -> float:
        small = dict(quantize(model, per_channel).named_modules())
        return sum(
            float((small[name].weight().dequantize()[::2] - weight).norm() / weight.norm())
            for name, weight in original.items()
        )

    assert error(True) < error(False) / 5


@pytest.mark.parametrize("task", TASKS)
def test_padding_does_not_change_the_answer(task):
    """Whatever stands there: int8 ranges take it in, and so the answer is not the same bit for bit."""
    # Without trigrams, a token sees others by attention alone.
    model = tiny_model(task, LABELS[task], VOCAB_SIZE, trigram_input=False)
    attention = ("self.value.weight", "attention.output.dense.weight", "output.bottleneck.dense.weight")
    with torch.no_grad():  # what attention brings weighs in the answer
        for name, parameter in model.named_parameters():
            if name.endswith(attention):
                parameter *= 10
    traced, _ = compress(model, 0.2)
    ids, mask, types = example_inputs(1, 8, VOCAB_SIZE)
    padded, _, _ = example_inputs(1, 8, VOCAB_SIZE, seed=99)
    ids_of_all, types_of_all = torch.cat([ids, padded], 1), torch.cat([types, types], 1)
    alone = logits(traced, (ids, mask, types))

    def distance(mask_of_padding):
        given = logits(traced, (ids_of_all, torch.cat([mask, mask_of_padding], 1), types_of_all))
        given = given[:, :8] if given.dim() == 3 else given
        return float((given - alone).norm() / alone.norm())

    assert distance(torch.zeros_like(mask)) < 0.15
    assert distance(torch.ones_like(mask)) > 0.5


class Branching(torch.nn.Module):
    """What a trace cannot follow: a decision by the length."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(VOCAB_SIZE, 3)

    def forward(self, input_ids, attention_mask, token_type_ids, return_dict):
        hidden = self.table(input_ids)
        return (hidden * 2 if input_ids.shape[1] > 30 else hidden,)


def test_a_trace_that_is_wrong_at_some_length_is_refused():
    with pytest.raises(UserError, match="60 tokens"):
        trace(Branching(), VOCAB_SIZE)


def test_damaged_weights_are_refused(model):
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        compress(model, 0.2)


def test_only_expected_warnings_are_hidden(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compress(model, 0.2)
    with pytest.warns(UserWarning, match="torch.jit is fine"), expected_warnings_hidden():
        warnings.warn("torch.jit is fine", stacklevel=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory, data):
    work = tmp_path_factory.mktemp("work")
    write_finetuned(work, data, "ner", [3, 5], split_seed=1)
    write_finetuned(work, data, "livedoor", [0])
    return work


@pytest.fixture
def saved(finetuned, tmp_path):
    model, ready = load_finetuned(finetuned / "finetuned" / "livedoor", "livedoor", 24)
    traced, _ = compress(model, 0.2)
    save_compressed(traced, ready, tmp_path / "fast", {"prune_amount": 0.2})
    return tmp_path / "fast", traced, ready


def test_saved_and_loaded(saved):
    folder, traced, ready = saved
    loaded = load_compressed(folder)
    inputs = example_inputs(3, 20, 200)
    assert torch.equal(logits(loaded.model, inputs), logits(traced, inputs))
    assert (loaded.labels, loaded.task, loaded.max_seq_length, loaded.parameters) == (
        ready.labels,
        "livedoor",
        24,
        ready.parameters,
    )
    assert loaded.bytes == (folder / "model.pt").stat().st_size < ready.bytes
    assert loaded.predictor().predict_one("野球の試合が話題になる") in ready.labels


def test_a_damaged_file_is_refused(saved):
    folder, _, _ = saved
    content = bytearray((folder / "model.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.pt").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_compressed(folder)


def test_a_file_that_is_no_graph_is_refused(saved):
    folder, _, _ = saved
    facts = json.loads((folder / "compressed.json").read_text(encoding="utf-8"))
    (folder / "model.pt").write_bytes(b"not a graph")
    facts["sha256"] = "9a0e0c8b3b5c0d4e"
    (folder / "compressed.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        load_compressed(folder)
    from mobilebert_ja.common.files import sha256_of

    facts["sha256"] = sha256_of(folder / "model.pt")
    (folder / "compressed.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(UserError, match="cannot read it"):
        load_compressed(folder)


@pytest.mark.parametrize("name", ["model.pt", "compressed.json", "vocab.txt"])
def test_a_missing_file_is_named(saved, name):
    folder, _, _ = saved
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        load_compressed(folder).predictor()


def test_a_folder_of_before_formats_were_counted(saved):
    folder, traced, _ = saved
    facts = json.loads((folder / "compressed.json").read_text(encoding="utf-8"))
    for name in ("format", "runs_with", "treatment", "kind", "vocab_sha256"):
        del facts[name]
    (folder / "compressed.json").write_text(json.dumps(facts), encoding="utf-8")
    inputs = example_inputs(2, 10, 200)
    assert torch.equal(logits(load_compressed(folder).model, inputs), logits(traced, inputs))


def test_missing_facts_are_named(saved):
    folder, _, _ = saved
    (folder / "compressed.json").write_text('{"task": "ner"}', encoding="utf-8")
    with pytest.raises(UserError, match="labels"):
        load_compressed(folder)


@contextlib.contextmanager
def no_warning():
    """In the block nothing is warned of that a user would see in a process of its own."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", hidden)  # as Python does by default
        yield
    assert not [str(each.message) for each in heard]


@pytest.mark.slow
def test_stage(finetuned, data, monkeypatch, capsys):
    asked = ["--task", "ner", "--treatment", "card", "--prune_amount", "0.3"]
    with no_warning():
        status, said = run_here(monkeypatch, capsys, stage_script, finetuned, data, *asked)
    assert status == 0, said
    metrics = json.loads((finetuned / "records" / "compressed_ner_card.json").read_text(encoding="utf-8"))["metrics"]
    folder = finetuned / "compressed" / "ner" / "card"
    assert [run["seed"] for run in metrics["runs"]] == [3, 5]
    assert metrics["prune_amount"] == 0.3
    assert metrics["sparsity"] == pytest.approx(0.3, abs=0.001)
    assert metrics["mean"] == pytest.approx(sum(run["score"] for run in metrics["runs"]) / 2)
    assert metrics["bytes"] == (folder / "model.pt").stat().st_size
    assert 0.5 < metrics["agreement"] <= 1
    # The numbers again, by another road: batches instead of one by one for the uncompressed model.
    task = load_task("ner", data, split_seed=1)
    texts = [example.text for example in task.test]
    for run, source, made in zip(
        metrics["runs"], ["finetuned/ner", "finetuned/ner/seed-5"], [folder, folder / "seed-5"], strict=True
    ):
        before = load_finetuned(finetuned / source, "ner", 24)[1].predictor().predict(texts, 4)
        after = [load_compressed(made).predictor().predict_one(text) for text in texts]
        assert run["score_before"] == pytest.approx(task.score(before)["f1"])
        assert run["score"] == pytest.approx(task.score(after)["f1"])
        same = sum(mine == theirs for mine, theirs in zip(before, after, strict=True))
        assert run["agreement"] == pytest.approx(same / len(texts))

    flags = ["--task", "ner", "--treatment", "card"]
    status, said = run_here(monkeypatch, capsys, stage_script, finetuned, data, *flags, "--prune_amount", "0.3")
    assert (status, "nothing to do" in said) == (0, True)
    status, said = run_here(monkeypatch, capsys, stage_script, finetuned, data, *flags)
    assert (status, "prune_amount was 0.3" in said) == (1, True)


@pytest.mark.slow
def test_pruned_and_retrained(finetuned, data, tmp_path, monkeypatch, capsys):
    """The same pruning, but trained afterwards: as many zeros, and answers nearer to those before."""
    flags = ["--task", "ner", "--treatment", "card", "--prune_amount", "0.6", "--num_seeds", "1"]
    flags += ["--learning_rate", "2e-3", "--per_device_train_batch_size", "4", "--records_dir", str(tmp_path)]
    metrics = {}
    for name, epochs in (("pruned", "0"), ("retrained", "6")):
        more = ["--prune_epochs", epochs, "--output_dir", str(tmp_path / name), "--overwrite", "true"]
        status, said = run_here(monkeypatch, capsys, stage_script, finetuned, data, *flags, *more)
        assert status == 0, said
        metrics[name] = json.loads((tmp_path / "compressed_ner_card.json").read_text(encoding="utf-8"))["metrics"]
        assert [run["seed"] for run in metrics[name]["runs"]] == [3]
    assert metrics["retrained"]["sparsity"] == metrics["pruned"]["sparsity"] == pytest.approx(0.6, abs=0.001)
    assert "steps" not in metrics["pruned"] and metrics["retrained"]["steps"] > 6
    history = metrics["retrained"]["runs"][0]["history"]
    assert history[-1]["answer_loss"] < history[0]["answer_loss"]
    assert not list(tmp_path.rglob("checkpoints"))


@pytest.mark.slow
def test_the_default_treatment(finetuned, data, monkeypatch, capsys):
    with no_warning():
        status, said = run_here(monkeypatch, capsys, stage_script, finetuned, data, "--task", "ner")
    assert status == 0, said
    metrics = json.loads((finetuned / "records" / "compressed_ner_onnx.json").read_text(encoding="utf-8"))["metrics"]
    folder = finetuned / "compressed" / "ner" / "onnx"
    assert (metrics["treatment"], metrics["engine"], metrics["per_channel"]) == ("onnx", "onnxruntime", None)
    assert [run["seed"] for run in metrics["runs"]] == [3, 5]
    assert metrics["bytes"] == (folder / "model.onnx").stat().st_size < metrics["bytes_before"] / 2
    task = load_task("ner", data, split_seed=1)
    texts = [example.text for example in task.test]
    for run, made in zip(metrics["runs"], [folder, folder / "seed-5"], strict=True):
        after = [as_task_answer(answer) for answer in load(made).predict(texts)]
        kept = read_answers(folder / f"predictions-seed-{run['seed']}.json")
        assert (kept.texts, kept.targets, kept.predictions) == (texts, task.references(), after)
        assert compare(kept, kept)["scores"]["first"] == pytest.approx(run["score"])
        assert run["score"] == pytest.approx(task.score(after)["f1"])
        assert 0 <= run["folding_error"] < 1e-4
        assert run["agreement"] > 0.8


@pytest.mark.slow
def test_missing_input_in_a_process_of_its_own(tmp_path, data):
    done = run_script("compress.py", tmp_path, data, "--task", "ner")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        f"error: {tmp_path}/finetuned/ner does not exist. finetune.py --task ner makes it."
    ]


def test_zeros_are_held_while_the_rest_is_trained():
    model = tiny_model("livedoor", ["a", "b"], VOCAB_SIZE)
    prune(model, 0.3)
    before = {name: module.weight.clone() for name, module in matrices(model).items()}
    hooks = hold_zeros(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for step in range(3):
        ids, mask, types = example_inputs(2, 9, VOCAB_SIZE, seed=step)
        model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, module in matrices(model).items():
        assert torch.equal(module.weight == 0, before[name] == 0), name
    assert any(not torch.equal(module.weight, before[name]) for name, module in matrices(model).items())
    for hook in hooks:
        hook.remove()
    first = next(iter(matrices(model).values())).weight
    first.sum().backward()
    assert (first.grad == 1).all()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task", "weather"], "'livedoor', 'ner'"),
        (["--num_seeds", "-1"], "--num_seeds must be at least 0"),
        (["--prune_epochs", "-1"], "--prune_epochs must be at least 0"),
        (["--treatment", "cake"], "'onnx', 'fast', 'card'"),
        (["--prune_amount", "1.0"], "--prune_amount"),
        (["--model_name_or_path", "WORK/finetuned/ner"], "was made for ner, not for livedoor"),
        (["--model_name_or_path", "WORK/tokenizer"], "config.json"),
        (["--data_dir", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input(finetuned, data, monkeypatch, capsys, flags, words):
    flags = [flag.replace("WORK", str(finetuned)) for flag in flags]
    status, said = run_here(monkeypatch, capsys, stage_script, finetuned, data, *flags)
    assert (status, len(said.splitlines())) == (1, 1)
    assert words in said
    assert not (finetuned / "compressed" / "livedoor" / "onnx").exists()


def test_other_data_are_refused(finetuned, data, tmp_path, monkeypatch, capsys):
    from helpers.files.task_data import write_livedoor

    write_livedoor(tmp_path, {"sports-watch": 10, "movie-enter": 10, "smax": 10})
    status, said = run_here(monkeypatch, capsys, stage_script, finetuned, tmp_path)
    assert (status, "other data" in said) == (1, True)


def test_a_model_for_the_other_kind_of_task_is_refused(finetuned, data, tmp_path, monkeypatch, capsys):
    shutil.copytree(finetuned / "finetuned" / "ner", tmp_path / "model")
    (tmp_path / "model" / "record.json").unlink()
    status, said = run_here(
        monkeypatch, capsys, stage_script, tmp_path, data, "--model_name_or_path", str(tmp_path / "model")
    )
    assert (status, "labels" in said) == (1, True)


def test_kept_answers_are_used_only_for_the_same_texts(tmp_path):
    task = Task("ner", Kind.ENTITIES, LABELS["ner"], [], [Example("田中は", [(0, 2, "人名")]), Example("雨", [])])
    runs = FinishedRuns(tmp_path, {"runs": [{"seed": 3}]})
    assert stored_answers(runs, 0, task) is None
    kept = [{"text": "田中は", "prediction": [[0, 2, "人名"]]}, {"text": "雨", "prediction": []}]
    write_json(tmp_path / "predictions-seed-3.json", {"test": kept})
    assert stored_answers(runs, 0, task) == [[(0, 2, "人名")], []]
    write_json(tmp_path / "predictions-seed-3.json", {"test": kept[::-1]})
    assert stored_answers(runs, 0, task) is None
