"""Replaced-token detection: whole words beside the masked ones, samples of a frozen generator, labels, a loss that
falls, and runs that go on as if undisturbed."""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from transformers import MobileBertForPreTraining

import pretrain
from helpers.running.processes import call_entry, one_sentence
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.plans import pretraining_stage
from mobilebert_ja.pretraining.masked_lm import (
    PretrainingModel,
    batch_function,
    evaluate_pretraining,
    pretraining_loss,
)
from mobilebert_ja.pretraining.masking.whole_words import IGNORED
from mobilebert_ja.pretraining.replaced_tokens import Generator, ReplacedTokenHead, sample, with_replaced_words
from mobilebert_ja.pretraining.run import run_pretraining
from mobilebert_ja.pretraining.shards import Shards, write_index, write_source
from mobilebert_ja.settings import PretrainSettings
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, save_tokenizer
from mobilebert_ja.training.optimizers import make_optimizers

ENTRIES = [*SPECIAL_TOKENS, *(f"w{n}" for n in range(45)), *(f"##{n}" for n in range(50))]
VOCABULARY = {token: number for number, token in enumerate(ENTRIES)}
SPECIAL, MASK = len(SPECIAL_TOKENS), VOCABULARY["[MASK]"]  # the ids below SPECIAL
SIZES = {"num_hidden_layers": 2, "hidden_size": 64, "intra_bottleneck_size": 32, "intermediate_size": 32}
CPU = torch.device("cpu")


def settings_of(**changed) -> PretrainSettings:
    usual = {"max_seq_length": 32, "per_device_train_batch_size": 4, "eval_rows": 4, "learning_rate": 3e-3}
    return PretrainSettings(**usual | changed)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A work folder with shards, of a text in which each token has two followers, and a tokenizer."""
    folder = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(0)
    (folder / "shards").mkdir()
    (folder / "tokenizer").mkdir()
    save_tokenizer(ENTRIES, folder / "tokenizer")
    counts = {}
    for split in ("train", "heldout"):
        walk = SPECIAL + (np.cumsum(rng.choice([7, 20], 3000)) % (100 - SPECIAL))
        documents = [[part.tolist() for part in np.split(each, 10)] for each in np.split(walk, 20)]
        counts[f"{split}-made"] = write_source(folder / "shards", split, "made", documents)
    write_index(folder / "shards", VOCABULARY, counts)
    return folder


def bare(seed: int = 0, entries: int = 100) -> MobileBertForPreTraining:
    torch.manual_seed(seed)
    return MobileBertForPreTraining(mobilebert_config(entries, embedding_size=32, **SIZES))


@pytest.fixture(scope="module")
def generator(work) -> Generator:
    save_model(bare(1).eval(), work / "tokenizer", work / "made")
    return make_generator(work)


def make_generator(work: Path, folder: str = "made", length: int = 32) -> Generator:
    return Generator(work / folder, work / "tokenizer", length, CPU, Accelerator().autocast)


def batches(work: Path, settings: PretrainSettings):
    """Micro-batch index -> what training saw without a generator, and what the generator gets."""
    shards = Shards(work / "shards", "train")
    plain = batch_function(shards, settings)
    return plain, with_replaced_words(plain, shards.index, settings)


def tensors(batch):
    return {key: torch.from_numpy(value) for key, value in batch.items()}


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("replacement", ["bert", "mask"])
def test_words_to_replace_are_whole_and_none_is_masked(work, pairs, replacement):
    settings = settings_of(
        next_sentence_prediction=pairs, mask_replacement=replacement, per_device_train_batch_size=64
    )
    plain, more = batches(work, settings)
    before, after = plain(3), more(3)
    for key, array in before.items():  # the masked words are those of a run without a generator
        assert array.dtype == after[key].dtype and array.tobytes() == after[key].tobytes()
    assert set(after) - set(before) == {"generator_ids", "replaced_positions", "replaced_targets"}
    original = before["input_ids"].copy()
    masked, chosen = (np.zeros(original.shape, bool) for _ in range(2))
    for marks, kind in ((masked, ""), (chosen, "replaced_")):
        targets, positions = after[f"{kind}targets"], after[f"{kind}positions"]
        used = np.nonzero(targets != IGNORED)
        marks[used[0], positions[used]] = True
        original[used[0], positions[used]] = targets[used]
    assert not (masked & chosen).any()
    assert 0.1 < chosen.mean() <= 5 / 32  # less where the last word would not fit
    assert (after["input_ids"] == original)[chosen].all()  # they are replaced later
    assert (original[chosen] >= SPECIAL).all()
    assert ((after["generator_ids"] == MASK) == (masked | chosen)).all()
    assert (after["generator_ids"] == original)[~(masked | chosen)].all()
    continues = (original[:, 1:] >= 50) & (original[:, :-1] >= SPECIAL)
    assert (chosen[:, 1:] == chosen[:, :-1])[continues].all()
    again, other = batches(work, settings)[1](3), more(4)
    assert all((again[key] == after[key]).all() for key in after)
    assert (other["replaced_positions"] != after["replaced_positions"]).any()


def test_only_the_chosen_are_replaced_and_the_labels_say_which(work, generator):
    batch = tensors(batches(work, settings_of(per_device_train_batch_size=64))[1](0))
    torch.manual_seed(7)
    out = generator.replace(batch)
    torch.manual_seed(7)
    assert torch.equal(out["input_ids"], generator.replace(batch)["input_ids"])
    assert not torch.equal(out["input_ids"], generator.replace(batch)["input_ids"])  # other random numbers
    assert not {"generator_ids", "replaced_positions", "replaced_targets"} & set(out)
    used = batch["replaced_targets"] != IGNORED
    chosen = torch.zeros_like(batch["input_ids"]).scatter(1, batch["replaced_positions"], used.long()).bool()
    changed = out["input_ids"] != batch["input_ids"]
    assert not changed[~chosen].any()
    assert changed[chosen].float().mean() > 0.9  # of a hundred tokens, one is the original
    assert (out["input_ids"][chosen] >= SPECIAL).all()
    masked = (batch["generator_ids"] == MASK) & ~chosen
    left_out = masked | (batch["input_ids"] < SPECIAL)
    assert masked.any() and (out["replaced"][left_out] == IGNORED).all()
    assert torch.equal(out["replaced"][~left_out], changed[~left_out].long())
    assert all(torch.equal(out[key], batch[key]) for key in ("positions", "targets", "token_type_ids"))


def test_a_sample_that_is_the_original_counts_as_original(work, generator):
    batch = tensors(batches(work, settings_of())[1](0))
    decoder = generator.model.model.cls.predictions.decoder
    kept = decoder.bias.detach().clone()
    token = int(batch["replaced_targets"][batch["replaced_targets"] != IGNORED][0])
    with torch.no_grad():
        decoder.bias[token] = 1e4
        out = generator.replace(batch)
        decoder.bias.copy_(kept)
    used = batch["replaced_targets"] != IGNORED
    drawn = torch.gather(out["input_ids"], 1, batch["replaced_positions"])[used]
    labels = torch.gather(out["replaced"], 1, batch["replaced_positions"])[used]
    assert (drawn == token).all()
    assert torch.equal(labels, (batch["replaced_targets"][used] != token).long()) and (labels == 0).any()


def test_the_generator_sees_none_of_the_words_in_question(work, generator):
    batch = tensors(batches(work, settings_of(mask_replacement="bert"))[1](0))
    others = batch | {"input_ids": batch["input_ids"].where(batch["generator_ids"] != MASK, SPECIAL)}
    out = []
    for each in (batch, others):
        torch.manual_seed(0)
        out.append(torch.gather(generator.replace(each)["input_ids"], 1, batch["replaced_positions"]))
    used = batch["replaced_targets"] != IGNORED
    assert torch.equal(out[0][used], out[1][used])


def test_samples_follow_their_distribution():
    torch.manual_seed(0)
    logits = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0, 0.0]).log()
    drawn = sample(logits.expand(100, 400, -1))
    shares = torch.bincount(drawn.flatten(), minlength=6) / drawn.numel()
    assert drawn.shape == (100, 400)
    assert shares[[1, 4, 5]].sum() == 0
    assert shares[[0, 2, 3]].tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


def test_the_heads_loss_by_hand():
    head = ReplacedTokenHead(8)
    hidden = torch.randn(1, 4, 8)
    replaced = torch.tensor([[IGNORED, 1, 0, 0]])
    first = head(hidden, replaced)
    assert first["replaced_token_loss"].item() == pytest.approx(np.log(2))
    assert first["replaced_token_share"].item() == pytest.approx(1 / 3)
    assert first["replaced_token_accuracy"].item() == pytest.approx(2 / 3)
    with torch.no_grad():
        head.project.bias.fill_(2.0)
    loss = (np.log1p(np.exp(-2.0)) + 2 * np.log1p(np.exp(2.0))) / 3
    assert head(hidden, replaced)["replaced_token_loss"].item() == pytest.approx(loss)
    assert head(hidden, torch.full((1, 4), IGNORED))["replaced_token_loss"].item() == 0  # and not undefined


def test_masked_words_are_learned_as_before_and_the_weight_counts(work, generator):
    batch = generator.replace(tensors(batches(work, settings_of())[1](0)))
    model = PretrainingModel(bare(), replaced_head=ReplacedTokenHead(64)).eval()
    loss, values = pretraining_loss(model, batch, replaced_token_weight=10.0)
    parts = values["mlm_loss"] + values["nsp_loss"] + 10 * values["replaced_token_loss"]
    assert loss.item() == pytest.approx(parts.item(), rel=1e-6)
    without = {key: value for key, value in batch.items() if key != "replaced"}
    assert pretraining_loss(model, without)[1]["mlm_loss"].item() == pytest.approx(values["mlm_loss"].item())


@pytest.mark.slow
def test_a_model_learns_which_tokens_were_replaced_and_the_generator_does_not(work, generator):
    settings = settings_of(per_device_train_batch_size=32)
    _, make = batches(work, settings)
    model = PretrainingModel(bare(), replaced_head=ReplacedTokenHead(64)).train(False)
    frozen = {name: each.clone() for name, each in generator.model.state_dict().items()}
    (optimizer,) = make_optimizers(model, settings, "adamw")
    loss_function = generator.before(partial(pretraining_loss, replaced_token_weight=10.0))
    points = []
    for step in range(200):
        torch.manual_seed(step)
        loss, values = loss_function(model, tensors(make(step)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        points.append({name: float(value.detach()) for name, value in values.items()})
    last = {name: np.mean([each[name] for each in points[-10:]]) for name in points[0]}
    share = last["replaced_token_share"]
    guess = -share * np.log(share) - (1 - share) * np.log(1 - share)  # of a head that knows the share alone
    assert last["replaced_token_loss"] < 0.75 * guess
    assert last["replaced_token_accuracy"] > 1 - share
    assert all(torch.equal(each, frozen[name]) for name, each in generator.model.state_dict().items())
    assert all(each.grad is None for each in generator.model.parameters())


def train(work: Path, folder: Path, stop_at: int | None = None) -> PretrainingModel:
    """Six steps of two micro-batches with dropout; asked to stop when batch `stop_at` is made."""
    settings = settings_of(max_steps=6, gradient_accumulation_steps=2, optimizer="muon", save_seconds=1e9)
    _, make = batches(work, settings)

    def batch(number: int):
        if number == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return make(number)

    model = PretrainingModel(bare(), replaced_head=ReplacedTokenHead(64))
    accelerator, heldout = Accelerator(gradient_accumulation_steps=2), Shards(work / "shards", "heldout")
    run_pretraining(accelerator, model, batch, heldout, settings, folder, "pretrain", make_generator(work))
    return model


@pytest.mark.slow
def test_interrupted_it_is_the_undisturbed_run(tmp_path, work, generator):
    undisturbed = train(work, tmp_path / "whole").state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(work, tmp_path / "stopped", stop_at=5)
    (stopped,) = (tmp_path / "stopped" / "checkpoints").glob("step-*")
    saved = load_file(stopped / "model.safetensors")
    assert [name for name in saved if "replaced_head" in name]  # the head is gone on with
    assert {name.removeprefix("model.") for name in saved} <= set(undisturbed)  # and nothing of the generator is there
    resumed = train(work, tmp_path / "stopped").state_dict()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)
    assert undisturbed["replaced_head.project.weight"].any()


def test_the_evaluation_knows_nothing_of_it(work):
    heldout = Shards(work / "shards", "heldout")
    measured = [
        evaluate_pretraining(PretrainingModel(bare(), replaced_head=head), heldout, settings_of(), CPU)
        for head in (None, ReplacedTokenHead(64))
    ]
    assert measured[0] == measured[1]


def test_shares_that_leave_no_word(work):
    batches(work, settings_of(mlm_probability=0.4, replaced_token_probability=0.4))
    for changed, words in (
        (
            {"mlm_probability": 0.5},
            "--mlm_probability 0.5 and --replaced_token_probability 0.5 leave no word of a row",
        ),
        ({"final_mlm_probability": 0.6, "mlm_probability_steps": 2}, "--final_mlm_probability 0.6 and"),
    ):
        with pytest.raises(UserError, match=words):
            batches(work, settings_of(replaced_token_probability=0.5, **changed))


def test_generators_that_cannot_be(work, generator, tmp_path):
    with pytest.raises(UserError, match="--max_seq_length 1000 exceeds the 512 of --generator"):
        make_generator(work, length=1000)
    turned = tmp_path / "turned"  # as many entries, in another order
    turned.mkdir()
    save_tokenizer([*SPECIAL_TOKENS, *ENTRIES[:4:-1]], turned)
    save_model(bare(1), turned, tmp_path / "other")
    with pytest.raises(UserError, match="other has another vocabulary than"):
        make_generator(work, str(tmp_path / "other"))
    with pytest.raises(UserError, match="No MobileBERT at"):
        make_generator(work, "tokenizer")


def test_a_stage_knows_its_generator(work, generator):
    def stage(**changed):
        places = {"shards_dir": str(work / "shards"), "tokenizer": str(work / "tokenizer")}
        return pretraining_stage(PretrainSettings(work_dir=str(work), **places, **changed))

    own = {"generator", "replaced_token_weight", "replaced_token_probability"}
    plain, replacing = stage(), stage(generator=str(work / "made"), replaced_token_weight=20.0)
    assert not own & set(plain.settings) and "generator" not in plain.inputs  # outputs made before stay valid
    assert own <= set(replacing.settings) and replacing.inputs["generator"] == work / "made" / "model.safetensors"
    with pytest.raises(UserError, match=r"shallow does not exist\. pretrain\.py --model shallow makes it"):
        stage(generator="shallow")
    with pytest.raises(UserError, match="--replaced_token_probability needs a --generator"):
        stage(replaced_token_probability=0.3)


@pytest.mark.slow
def test_a_shallow_student_makes_the_replacements(work, tmp_path):
    flags = ["--work_dir", tmp_path, "--shards_dir", work / "shards", "--tokenizer", work / "tokenizer"]
    flags += [part for name, value in (SIZES | {"embedding_size": 8}).items() for part in (f"--{name}", value)]
    flags += ["--max_seq_length", 32, "--per_device_train_batch_size", 8, "--eval_rows", 4, "--logging_steps", 1]
    flags += ["--learning_rate", "3e-3"]
    done = call_entry(pretrain, *flags, "--generator", "shallow")
    assert "pretrain.py --model shallow makes it" in one_sentence(done)
    done = call_entry(pretrain, *flags, "--model", "shallow", "--num_hidden_layers", 1, "--max_steps", 30)
    assert done.returncode == 0, done.stderr
    flags += ["--generator", "shallow"]
    assert "leave no word" in one_sentence(call_entry(pretrain, *flags, "--replaced_token_probability", 0.9))
    done = call_entry(pretrain, *flags, "--max_steps", 40)  # with next sentences
    assert done.returncode == 0, done.stderr
    record = read_json(tmp_path / "student" / "record.json")
    assert "generator" in record["inputs"] and record["settings"]["replaced_token_weight"] == 10.0
    history = record["metrics"]["history"]
    assert history[0]["replaced_token_loss"] == pytest.approx(np.log(2), rel=1e-3)
    assert history[-1]["replaced_token_loss"] < 0.9 * history[0]["replaced_token_loss"]
    assert all({"replaced_token_accuracy", "replaced_token_share", "nsp_loss"} <= set(point) for point in history)
    assert not [name for name in load_file(tmp_path / "student" / "model.safetensors") if "replaced" in name]
    parts = ["--next_sentence_prediction", "false", "--overwrite", "true", "--max_steps", 2]
    done = call_entry(pretrain, *flags, *parts)
    assert done.returncode == 0, done.stderr
