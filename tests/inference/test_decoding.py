"""Viterbi and the CRF against every path enumerated, the choice of a decoding, and folders that hold one."""

import itertools
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2
from transformers import AutoModelForTokenClassification, pipeline

import finetune
from helpers.files.task_data import sentence, write_ner, write_student, write_tokenizer
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.compression.onnx.export import export
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.finetuning.modelling.crf import LinearChainCRF
from mobilebert_ja.finetuning.modelling.rows import IGNORED
from mobilebert_ja.finetuning.predictor import Predictor
from mobilebert_ja.finetuning.run import choose_decoding
from mobilebert_ja.inference.decoding import (
    allowed_transitions,
    bio_labels,
    constrained_decoder,
    read_decoder,
    spans_of_tags,
)
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.runtime import load as load_runtime
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks import Example, Task
from mobilebert_ja.tasks.intervals import read_answers
from mobilebert_ja.tasks.metrics import entity_scores
from mobilebert_ja.tokenization.encoder import FastEncoder

LABELS = bio_labels(["a", "b"])


def path_score(decoder, scores, path):
    total = decoder.start[path[0]] + decoder.end[path[-1]] + sum(scores[place, tag] for place, tag in enumerate(path))
    return total + sum(decoder.transitions[pair] for pair in itertools.pairwise(path))


def random_crf(seed=0, gain=10.0):
    torch.manual_seed(seed)
    crf = LinearChainCRF(LABELS, gain)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=2.0 / gain)
    return crf


@pytest.mark.parametrize("length", [1, 2, 4])
def test_viterbi_finds_the_best_of_all_paths(length):
    generator = np.random.default_rng(length)
    for decoder in (constrained_decoder(LABELS), random_crf().decoder()):
        for _ in range(20):
            scores = generator.normal(size=(length, 5)) * 3
            paths = list(itertools.product(range(5), repeat=length))
            assert tuple(decoder.best(scores)) == max(paths, key=lambda path: path_score(decoder, scores, path))
    assert decoder.best(np.zeros((0, 5))) == []


def test_constrained_paths_are_strict_iob2():
    """seqeval in its strict mode drops malformed entities; here there are none, so it agrees with the spans."""
    generator = np.random.default_rng(1)
    decoder = constrained_decoder(LABELS)
    tags = [[LABELS[tag] for tag in decoder.best(generator.normal(size=(9, 5)))] for _ in range(300)]
    gold = [[LABELS[tag] for tag in decoder.best(generator.normal(size=(9, 5)))] for _ in range(300)]
    gold = [mine if number % 2 else theirs for number, (mine, theirs) in enumerate(zip(tags, gold, strict=True))]
    offsets = [(place, place + 1) for place in range(9)]
    mine = entity_scores([spans_of_tags(offsets, each) for each in tags], [spans_of_tags(offsets, g) for g in gold])
    assert mine["f1"] == pytest.approx(f1_score(gold, tags, mode="strict", scheme=IOB2))
    assert 0.5 < mine["f1"] < 1
    for each in tags:
        for before, after in itertools.pairwise(["O", *each]):
            assert not after.startswith("I-") or before[1:] == after[1:]


def test_allowed_transitions_by_hand():
    begins, follows = allowed_transitions(LABELS)
    assert begins.tolist() == [True, True, False, True, False]
    assert [LABELS[after] for after in np.flatnonzero(follows[1])] == ["O", "B-a", "I-a", "B-b"]
    assert [LABELS[after] for after in np.flatnonzero(follows[0])] == ["O", "B-a", "B-b"]


def test_crf_is_the_share_of_the_path_among_all():
    crf = random_crf()
    torch.manual_seed(1)
    logits = torch.randn(3, 6, 5)
    tags = [[1, 2, 0, 3], [0, 0], []]  # [CLS] before, [SEP] and padding after
    labels = torch.full((3, 6), IGNORED)
    for row, each in enumerate(tags):
        labels[row, 1 : len(each) + 1] = torch.tensor(each, dtype=torch.long)
    decoder, wanted = crf.decoder(), 0.0
    for row, each in enumerate(tags[:2]):
        scores = logits[row, 1 : len(each) + 1].double().numpy()
        every = [path_score(decoder, scores, path) for path in itertools.product(range(5), repeat=len(each))]
        wanted += np.logaddexp.reduce(every) - path_score(decoder, scores, each)
    assert crf(logits, labels).item() == pytest.approx(wanted / 6, rel=1e-4)
    assert crf(logits, torch.full((3, 6), IGNORED)).item() == 0


def test_marginals_are_the_shares_of_all_paths_through_a_tag():
    for decoder in (random_crf().decoder(), constrained_decoder(LABELS)):
        scores = np.random.default_rng(2).normal(size=(4, 5))
        paths = list(itertools.product(range(5), repeat=4))
        shares = np.exp([path_score(decoder, scores, path) for path in paths])
        wanted = np.zeros((4, 5))
        for path, share in zip(paths, shares / shares.sum(), strict=True):
            wanted[range(4), path] += share
        assert np.allclose(decoder.marginals(scores), wanted)
        assert decoder.marginals(scores[:1]).sum() == pytest.approx(1)
        assert decoder.marginals(scores[:0]).shape == (0, 5)


def test_crf_learns_a_transition_that_no_token_shows():
    """Every token looks alike; only the order tells B-a, I-a, O from the rest."""
    crf = LinearChainCRF(LABELS, 100.0)
    labels = torch.tensor([[IGNORED, 1, 2, 0, 1, 2, 0, IGNORED]])
    logits = torch.zeros(1, 8, 5)
    optimizer = torch.optim.AdamW(crf.parameters(), lr=1e-3)
    losses = []
    for _ in range(60):
        loss = crf(logits, labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    assert crf.decoder().best(np.zeros((6, 5))) == [1, 2, 0, 1, 2, 0]


def test_decoders_survive_their_file(tmp_path):
    assert read_decoder(tmp_path, LABELS) is None
    for decoder in (constrained_decoder(LABELS), random_crf().decoder()):
        decoder.save(tmp_path, LABELS)
        again = read_decoder(tmp_path, LABELS)
        assert again.method == decoder.method
        for name in ("start", "transitions", "end"):
            assert np.array_equal(getattr(again, name), getattr(decoder, name))
    with pytest.raises(UserError, match="other labels"):
        read_decoder(tmp_path, bio_labels(["a", "c"]))
    (tmp_path / "decoding.json").write_text(json.dumps({"method": "crf"}))
    with pytest.raises(UserError, match="damaged"):
        read_decoder(tmp_path, LABELS)


def test_predictor_keeps_offsets_whatever_the_decoding(tmp_path):
    """A model sure of I-地名 at the last token: alone it is a span; with Viterbi the one before begins it."""
    labels = bio_labels(["人名", "地名"])
    encoder = FastEncoder(write_tokenizer(tmp_path))

    def model(input_ids, attention_mask, token_type_ids):
        logits = torch.zeros(*input_ids.shape, 5)
        logits[..., 0] = 1.0
        logits[:, -2, 4] = 3.0
        return logits

    text = "㍿は　京都市"
    *_, before, last = encoder.encode(text).offsets
    assert last[1] == len(text)
    plain = Predictor(model, encoder, Kind.ENTITIES, labels, 32)
    strict = Predictor(model, encoder, Kind.ENTITIES, labels, 32, constrained_decoder(labels))
    assert plain.predict_one(text) == [(*last, "地名")]
    assert strict.predict_one(text) == [(before[0], last[1], "地名")]
    assert strict.predict([text, text], 2) == [strict.predict_one(text)] * 2


# --- from end to end


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    write_ner(folder / "data", 60)
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    return folder


def run(work, *more):
    values = ["--work_dir", work, "--data_dir", work / "data", "--task", "ner", "--num_train_epochs", 6]
    values += ["--num_seeds", 1]
    values += ["--learning_rate", 3e-3, "--per_device_train_batch_size", 8, "--max_seq_length", 32, *more]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", ["finetune.py", *map(str, values)])
        threads = torch.get_num_threads()
        finetune.main()
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_the_choice_is_made_on_training_data(work, capfd):
    output = work / "auto"
    run(work, "--decoding", "auto", "--validation_share", 0.25, "--output_dir", output)
    metrics = read_json(output / "record.json")["metrics"]
    choice = metrics["choice"]
    assert set(choice["f1"]) == {"plain", "constrained", "crf"} and choice["validation_size"] == 8  # 9 of 36, but for
    # texts that stand there twice
    assert choice["f1"][choice["chosen"]] == max(choice["f1"].values()) and metrics["decoding"] == choice["chosen"]
    assert "by 8 held-out training sentences" in capfd.readouterr().out
    assert metrics["runs"][0]["steps"] == 6 * 5  # the model that is kept learned from all 36 sentences
    assert not [path for path in output.iterdir() if path.is_dir()]


def test_the_choice_needs_two_different_texts(tmp_path):
    for examples in ([Example("文", []), Example(" 文", [])], [Example("文", [])]):
        task = Task("mine", Kind.ENTITIES, ["O"], examples, [Example("別の文", [])])
        job = SimpleNamespace(settings=FinetuneSettings(validation_share=0.5), task=task)
        with pytest.raises(UserError, match="needs two different sentences"):
            choose_decoding(job, tmp_path)


@pytest.mark.slow
def test_a_crf_is_kept_beside_an_ordinary_model(work):
    output = work / "crf"
    run(work, "--decoding", "crf", "--output_dir", output)
    metrics = read_json(output / "record.json")["metrics"]
    assert metrics["decoding"] == "crf" and metrics["mean"] > 0.5
    model, report = AutoModelForTokenClassification.from_pretrained(str(output), output_loading_info=True)
    assert not report["unexpected_keys"] and not report["missing_keys"]
    assert sum(each.numel() for each in model.parameters()) == metrics["parameters"]
    learned = read_decoder(output, ["O", "B-人名", "I-人名", "B-地名", "I-地名"])
    finite = learned.transitions[np.isfinite(learned.transitions)]
    assert learned.method == "crf" and np.abs(finite).max() > 0.5  # it did learn
    predictor = load_finetuned(output, "ner", 32)[1].predictor()
    kept = read_answers(output / "predictions-seed-0.json")
    assert [predictor.predict_one(text) for text in kept.texts] == kept.predictions
    assert entity_scores(kept.predictions, kept.targets)["f1"] == pytest.approx(metrics["mean"])
    assert pipeline("token-classification", model=str(output), device="cpu")(sentence(1)["text"])
    decoding = (output / "decoding.json").read_bytes()
    run(work, "--decoding", "plain", "--output_dir", output, "--rescore", "true")  # what was made with a CRF has one
    assert read_json(output / "record.json")["metrics"] == metrics
    assert (output / "decoding.json").read_bytes() == decoding
    assert read_answers(output / "predictions-seed-0.json") == kept


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--decoding", "viterbi"], "--decoding must be one of 'plain', 'constrained', 'crf', 'auto'"),
        (["--decoding", "auto", "--task", "livedoor"], "--decoding auto goes with --task ner or entities"),
        (["--validation_share", "1.0"], "--validation_share must be more than 0"),
        (["--crf_gain", "0"], "--crf_gain must be more than 0"),
    ],
)
def test_mistakes(work, capfd, flags, words):
    with pytest.raises(SystemExit):
        run(work, *flags)
    assert words in capfd.readouterr().err


@pytest.mark.slow
def test_a_sped_up_model_decodes_alike(work, tmp_path):
    """The CRF goes along into the folders of both kinds, and is used there."""
    run(work, "--decoding", "crf", "--output_dir", work / "for_speed", "--num_train_epochs", 4)
    model, ready = load_finetuned(work / "for_speed", "ner", 32)
    assert ready.decoder is not None and ready.decoder.method == "crf"
    export(model, ready, tmp_path / "onnx", "onnx", {})
    answerer = load_runtime(tmp_path / "onnx")
    assert answerer.facts["decoding"]["method"] == "crf"
    same = 0
    texts = [sentence(number)["text"] for number in range(40)]
    for text in texts:
        spans = [(each.start, each.end, each.type) for each in answerer.predict_one(text).entities]
        same += spans == ready.predictor().predict_one(text)
    assert same >= 36  # of 40; int8 rounds
    # With transitions that forbid every tag but O, nothing can be found: the decoder is what decides.
    facts = json.loads((tmp_path / "onnx" / "compressed.json").read_text())
    facts["decoding"]["start"] = [0.0, None, None, None, None]
    facts["decoding"]["transitions"] = [[0.0, None, None, None, None] for _ in range(5)]
    (tmp_path / "onnx" / "compressed.json").write_text(json.dumps(facts))
    assert not any(load_runtime(tmp_path / "onnx").predict_one(text).entities for text in texts)
    facts["decoding"]["labels"][0] = "X"
    (tmp_path / "onnx" / "compressed.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="other labels"):
        load_runtime(tmp_path / "onnx")
