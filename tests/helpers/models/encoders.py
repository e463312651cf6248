"""A tiny encoder with a fast tokenizer, as other people's are."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

PIECES = ["<s>", "</s>", "<pad>", "<unk>", "▁query:", "▁", *"犬猫走る寝東京大阪行く住む"]


def make_encoder(folder: Path) -> Path:
    """A BERT of two layers, 16 wide, whose tokenizer cuts into characters, with a piece for the prefix "query: "."""
    unigram = Tokenizer(models.Unigram([(piece, -float(n)) for n, piece in enumerate(PIECES)], unk_id=3))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    unigram.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=unigram,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=512,
        pad_token_id=2,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
