"""Tiny pretrained encoders of other people's families, each with a tokenizer of its kind, trained on the spot."""

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from helpers.files.task_data import SUBJECTS, article, sentence
from mobilebert_ja.tokenization.folders import save_tokenizer

LINES = [article(category, number).split("\n")[2] for category in SUBJECTS for number in range(60)]
LINES += [sentence(number)["text"] for number in range(60)]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
BERT_NAMES = {"unk": "[UNK]", "begin": "[CLS]", "end": "[SEP]", "pad": "[PAD]"}
ROBERTA_NAMES = {"unk": "<unk>", "begin": "<s>", "end": "</s>", "pad": "<pad>"}


def _save(tokenizer: Tokenizer, folder: Path, names: dict[str, str], pair: str) -> PreTrainedTokenizerFast:
    """Frame it, and write it as tokenizers of this family are written."""
    special = [(names[each], tokenizer.token_to_id(names[each])) for each in ("begin", "end")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names['begin']} $A {names['end']}", pair=pair, special_tokens=special
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=names["begin"],
        cls_token=names["begin"],
        eos_token=names["end"],
        sep_token=names["end"],
        pad_token=names["pad"],
        unk_token=names["unk"],
        model_max_length=512,
    )
    made.save_pretrained(folder)
    return made


def unigram(folder: Path, names: dict[str, str], pair: str) -> int:
    """SentencePiece's Unigram after NFKC, as XLM-R, multilingual-e5 and DeBERTa have it; returns its size."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    specials = [names[each] for each in ("begin", "pad", "end", "unk")]
    tokenizer.train_from_iterator(
        LINES, trainers.UnigramTrainer(vocab_size=300, special_tokens=specials, unk_token=names["unk"])
    )
    return len(_save(tokenizer, folder, names, pair))


def byte_level_bpe(folder: Path) -> int:
    """BPE of bytes, as ModernBERT and RoBERTa have it: a character may be several tokens; returns its size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = list(BERT_NAMES.values())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        LINES[:60], trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet)
    )
    return len(_save(tokenizer, folder, BERT_NAMES, "[CLS] $A [SEP] $B [SEP]"))


def characters(folder: Path) -> int:
    """MeCab's words cut into characters, as cl-tohoku's char models; returns its size."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set("".join(LINES)))]
    save_tokenizer(vocabulary, folder, method={"subword_tokenizer_type": "character"})
    return len(vocabulary)


def _xlm_roberta(folder: Path):
    size = unigram(folder, ROBERTA_NAMES, "<s> $A </s> </s> $B </s>")
    return XLMRobertaModel(
        XLMRobertaConfig(vocab_size=size, pad_token_id=1, max_position_embeddings=130, type_vocab_size=1, **SIZES)
    )


def _e5(folder: Path):
    size = unigram(folder, ROBERTA_NAMES, "<s> $A </s> </s> $B </s>")
    config = BertConfig(vocab_size=size, pad_token_id=1, max_position_embeddings=128, **SIZES)
    return BertModel(config, add_pooling_layer=False)


def _deberta(folder: Path):
    size = unigram(folder, BERT_NAMES, "[CLS] $A [SEP] $B:1 [SEP]:1")
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
    return DebertaV2Model(
        DebertaV2Config(
            vocab_size=size, pad_token_id=1, max_position_embeddings=128, type_vocab_size=0, **relative, **SIZES
        )
    )


def _modernbert(folder: Path):
    size = byte_level_bpe(folder)
    ids = {"pad_token_id": 3, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
    return ModernBertModel(ModernBertConfig(vocab_size=size, max_position_embeddings=256, **ids, **SIZES))


def _roberta(folder: Path):
    size = byte_level_bpe(folder)
    config = RobertaConfig(vocab_size=size, pad_token_id=3, max_position_embeddings=260, type_vocab_size=1, **SIZES)
    return RobertaModel(config)


def _characters(folder: Path):
    return BertModel(BertConfig(vocab_size=characters(folder), max_position_embeddings=256, **SIZES))


FAMILIES = {
    "xlm-roberta": _xlm_roberta,
    "e5": _e5,
    "deberta": _deberta,
    "modernbert": _modernbert,
    "roberta": _roberta,
    "characters": _characters,
}


def make_family(family: str, folder: Path) -> Path:
    """A pretrained folder with random weights, of one of `FAMILIES`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    FAMILIES[family](folder).save_pretrained(folder)
    return folder


def name_tokenizer_class(folder: Path, name: str) -> None:
    """Have tokenizer_config.json name a class, as the folders of the Hub do."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": name}))
