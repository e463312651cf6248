"""A guide: the packed corpus as stretches of text, an encoder's states per token, kept as bytes, and learned."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import BertModel

import guide_corpus
import pretrain
from helpers.files.random_shards import write_sources
from helpers.models.encoders import PIECES, make_encoder
from helpers.running.processes import call_entry
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.pretraining.losses import masked_lm_loss
from mobilebert_ja.pretraining.run import PretrainingLoss
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.pretraining.vectors.answers import GuideHead, GuideVectors
from mobilebert_ja.pretraining.vectors.guide import Guide, Reduction, write_guide
from mobilebert_ja.pretraining.vectors.stretches import Stretch, Stretches
from mobilebert_ja.settings import GuideSettings, PretrainSettings
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, save_tokenizer

WORDS = ["犬", "猫", "走る", "寝る", "東京", "##大阪", "行く", "住む", "New", "York", "##er"]
VOCABULARY = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *WORDS])}
ENTRIES = list(VOCABULARY)
UNKNOWN = VOCABULARY["[UNK]"]


def ids(*words: str) -> list[int]:
    return [VOCABULARY[word] for word in words]


def make_shards(folder, **sources):
    write_sources(folder, VOCABULARY, **sources)
    return Shards(folder, "train")


NEWS = [
    [ids("犬", "走る"), ids("猫", "寝る")],
    [ids("東京", "##大阪", "行く")],
    [ids("犬", "猫", "走る", "寝る", "住む")],
]


def test_stretches_hold_every_token_once_and_keep_documents_apart(tmp_path):
    (source,) = make_shards(tmp_path / "s", news=NEWS).sources
    found = list(Stretches([source], ENTRIES, 4))
    assert [each.text for each in found] == ["犬走る猫寝る", "東京大阪行く", "犬猫走る寝る", "住む"]
    assert [each.first for each in found] == [0, 4, 7, 11]
    assert [len(each.spans) for each in found] == [4, 3, 4, 1]
    assert found[1].spans.tolist() == [[0, 2], [2, 4], [4, 6]]
    # A sentence that does not fit beside the one before begins a stretch of its own.
    assert [each.text for each in Stretches([source], ENTRIES, 3)][:3] == ["犬走る", "猫寝る", "東京大阪行く"]


def test_latin_words_get_their_space_back_and_unknown_tokens_have_no_text(tmp_path):
    documents = [[[*ids("New", "York", "##er"), UNKNOWN, *ids("犬")]]]
    (source,) = make_shards(tmp_path / "s", news=documents).sources
    (found,) = Stretches([source], ENTRIES, 10)
    assert found.text == "New Yorker犬"
    assert found.spans.tolist() == [[0, 3], [4, 8], [8, 10], [10, 10], [10, 11]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder"))


def guide_of(encoder, layer=1):
    return Guide(str(encoder), layer, "query: ", torch.device("cpu"), "no")


def test_states_are_means_over_characters(encoder):
    stretch = Stretch(0, "東京大阪行く", np.array([[0, 2], [2, 3], [3, 3], [3, 6]]))
    short = Stretch(0, "犬", np.array([[0, 1]]))
    guide = guide_of(encoder)
    states = guide.states(guide.question([stretch, short])).numpy()  # the shorter one is padded
    assert len(states) == 5
    model = BertModel.from_pretrained(encoder, add_pooling_layer=False).eval()
    pieces = [PIECES.index(piece) for piece in ("<s>", "▁query:", "▁", *"東京大阪行く", "</s>")]
    with torch.inference_mode():
        wanted = model(torch.tensor([pieces]), output_hidden_states=True).hidden_states[1][0].numpy()
    assert np.allclose(states[0], wanted[3:5].mean(0), atol=1e-5)
    assert np.allclose(states[1], wanted[5], atol=1e-5)
    assert not states[2].any()  # no text, no state
    assert np.allclose(states[3], wanted[6:9].mean(0), atol=1e-5)


def test_layers_above_are_not_computed(encoder):
    guide = guide_of(encoder, layer=1)
    assert len(guide.model.encoder.layer) == 1
    with pytest.raises(UserError, match="between 0 and the encoder's 2 layers, not 3"):
        guide_of(encoder, layer=3)


def test_bytes_keep_what_varies():
    rng = np.random.default_rng(0)
    states = (rng.normal(size=(500, 3)) * [5, 2, 0.01]) @ np.linalg.qr(rng.normal(size=(8, 8)))[0][:3] + 7
    reduction = Reduction.fitted(states.astype(np.float32), 2)
    kept = reduction.from_bytes(reduction.to_bytes(torch.from_numpy(states)))
    unexplained = np.square(kept - states).sum() / np.square(states - states.mean(0)).sum()
    assert unexplained < 1e-3  # the third direction, what was clipped, and rounding
    assert reduction.unexplained == pytest.approx(unexplained, rel=1e-3)
    with pytest.raises(UserError, match="--guide_dimensions 9"):
        Reduction.fitted(states.astype(np.float32), 9)


SETTINGS = GuideSettings(guide_dimensions=4, max_tokens=4, batch_size=2)


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on(encoder, tmp_path, monkeypatch):
    shards = make_shards(tmp_path / "s", news=NEWS, wiki=NEWS[::-1])
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    counts = write_guide(whole, shards, ENTRIES, guide_of(encoder), SETTINGS)
    assert counts["tokens"] == 24 and counts["sources"] == 2 and 0 < counts["unexplained"] < 1
    guide = guide_of(encoder)
    ask, asked = guide.ask, []

    def stops(*question):
        asked.append(question)
        if len(asked) == 3:  # after the sample and the first source
            raise KeyboardInterrupt
        return ask(*question)

    monkeypatch.setattr(guide, "ask", stops)
    with pytest.raises(KeyboardInterrupt):
        write_guide(resumed, shards, ENTRIES, guide, SETTINGS)
    assert (resumed / "news.npy").is_file() and not (resumed / "wiki.npy").exists()
    monkeypatch.undo()
    others = dataclasses.replace(SETTINGS, dataloader_num_workers=2)  # who makes the texts changes nothing
    assert write_guide(resumed, shards, ENTRIES, guide_of(encoder), others) == counts
    assert sorted(path.name for path in resumed.iterdir()) == sorted(path.name for path in whole.iterdir())
    for path in whole.glob("*.npy"):
        assert path.read_bytes() == (resumed / path.name).read_bytes()


def test_rows_of_answers(encoder, tmp_path):
    shards = make_shards(tmp_path / "s", news=NEWS, wiki=NEWS)
    folder = tmp_path / "guide"
    folder.mkdir()
    write_guide(folder, shards, ENTRIES, guide_of(encoder), GuideSettings(**{**vars(SETTINGS), "sources": "wik*"}))
    vectors = GuideVectors(folder, shards)
    news, wiki = shards.sources
    row = vectors.row(wiki, 4, 3)
    assert row.shape == (5, 4) and row.dtype == np.int8
    assert not row[[0, -1]].any() and np.array_equal(row[1:-1], np.load(folder / "wiki.npy")[4:7])
    assert not vectors.row(news, 4, 3).any()  # the guide was not asked about it
    with pytest.raises(UserError, match=r"guide holds no answer about .*others; ask the guide about these shards"):
        GuideVectors(folder, make_shards(tmp_path / "others", news=NEWS))
    (folder / "wiki.npy").write_bytes(b"else")
    with pytest.raises(UserError, match="missing or damaged"):
        GuideVectors(folder, shards)
    with pytest.raises(UserError, match=r"--sources book\*: no source matches; there are news, wiki"):
        write_guide(folder, shards, ENTRIES, guide_of(encoder), GuideSettings(sources="book*"))


def answers_about_news(encoder, folder):
    """Shards of the news and what the guide says of them."""
    shards = make_shards(folder / "s", news=NEWS)
    (folder / "guide").mkdir()
    write_guide(folder / "guide", shards, ENTRIES, guide_of(encoder), SETTINGS)
    return shards, GuideVectors(folder / "guide", shards)


def test_the_head_learns_what_the_guide_says(encoder, tmp_path):
    shards, vectors = answers_about_news(encoder, tmp_path)
    torch.manual_seed(0)
    head = GuideHead(8, vectors)
    answers = torch.from_numpy(vectors.row(shards.sources[0], 0, 12))[None]
    hidden = 100 * torch.randn(1, 14, 8)  # as large as without norms
    assert head(hidden, answers)["guide_loss"].item() == pytest.approx(1.0)
    solution = torch.linalg.lstsq(hidden[0, 1:-1], answers[0, 1:-1].float() * head.scale).solution
    head.project.weight.data = solution.T.contiguous()
    assert head(hidden, answers)["guide_loss"].item() < 0.9
    # Nothing known, nothing to learn, whatever the head says.
    assert head(hidden, torch.zeros_like(answers))["guide_loss"].item() == 0
    assert "guide_row_loss" not in head(hidden, answers)


def test_the_first_token_learns_the_mean_of_what_is_known_of_its_row(encoder, tmp_path):
    shards, vectors = answers_about_news(encoder, tmp_path)
    torch.manual_seed(0)
    head = GuideHead(8, vectors, whole_rows=True)
    assert head.project_row is not None
    hidden = torch.randn(3, 6, 8)
    answers = torch.from_numpy(np.stack([vectors.row(shards.sources[0], start, 4) for start in (0, 4, 7)]))
    answers[0, 2] = 0  # one token of the first row is not known
    answers[2] = 0  # nothing is known of the last row
    wanted = torch.stack([answers[0, [1, 3, 4]].float().mean(0), answers[1, 1:5].float().mean(0)]) * head.scale
    assert head(hidden, answers)["guide_row_loss"].item() == pytest.approx(1.0)
    solution = torch.linalg.lstsq(hidden[:2, 0], wanted).solution
    head.project_row.weight.data = solution.T.contiguous()
    assert head(hidden, answers)["guide_row_loss"].item() < 1e-6
    hidden[:, 1:] = torch.randn(3, 5, 8)  # no other token has a part in it
    assert head(hidden, answers)["guide_row_loss"].item() < 1e-6


def test_the_guides_losses_count_by_their_weights():
    logits, targets = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0)), torch.tensor([[1, 2, 3]] * 2)
    guide_losses = {"guide_loss": torch.tensor(3.0), "guide_row_loss": torch.tensor(10.0)}

    def model(*_arguments):
        return logits, torch.zeros(2, 2), guide_losses

    batch = dict.fromkeys(("input_ids", "token_type_ids", "positions", "guide"), targets) | {"targets": targets}
    settings = PretrainSettings(guide_weight=2.0, guide_row_weight=0.5)
    loss, values = PretrainingLoss(SimpleNamespace(hard_masking=None), settings)(model, batch)
    assert loss.item() == pytest.approx(masked_lm_loss(logits, targets).item() + 2 * 3 + 0.5 * 10)
    assert {name: values[name] for name in guide_losses} == guide_losses


@pytest.mark.slow
def test_from_shards_to_a_guide(encoder, tmp_path):
    make_shards(tmp_path / "shards", news=NEWS * 2)
    (tmp_path / "tokenizer").mkdir()
    save_tokenizer(ENTRIES, tmp_path / "tokenizer")
    flags = ("--work_dir", str(tmp_path), "--guide_layer", "1", "--guide_dimensions", "4")
    done = call_entry(guide_corpus, *flags)
    assert done.returncode == 1 and "--guide_model_name_or_path names the encoder" in done.stderr
    done = call_entry(guide_corpus, *flags, "--guide_model_name_or_path", str(encoder))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "guide" / "record.json").read_text())
    assert record["metrics"]["tokens"] == 24 and "guide_model_name_or_path" in record["inputs"]

    sizes = ("--num_hidden_layers", "1", "--hidden_size", "64", "--intra_bottleneck_size", "32", "--eval_rows", "2")
    sizes += ("--intermediate_size", "32", "--embedding_size", "8", "--max_seq_length", "8")
    training = ("--per_device_train_batch_size", "4", "--max_steps", "150", "--learning_rate", "5e-3")
    done = call_entry(pretrain, "--work_dir", str(tmp_path), *sizes, *training, "--guide_row_weight", "1")
    assert done.returncode == 1 and "--guide_row_weight needs a --guide" in done.stderr
    training += ("--logging_steps", "1", "--guide", "guide", "--guide_row_weight", "1")
    done = call_entry(pretrain, "--work_dir", str(tmp_path), *sizes, *training)
    assert done.returncode == 1 and "--next_sentence_prediction false" in done.stderr
    done = call_entry(pretrain, "--work_dir", str(tmp_path), *sizes, *training, "--next_sentence_prediction", "false")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "student" / "record.json").read_text())
    for name in ("guide_loss", "guide_row_loss"):
        losses = [each[name] for each in record["metrics"]["history"]]
        assert losses[0] == pytest.approx(1.0), name
        assert np.mean(losses[-30:]) < 0.8, name  # of four rows each, and so of many batches
    assert "guide" in record["inputs"]
    weights = load_file(tmp_path / "student" / "model.safetensors")
    assert not [name for name in weights if "guide" in name]  # an ordinary model, without the head
