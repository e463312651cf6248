"""Settings of the way from raw text to packed shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mobilebert_ja.settings.base import StageSettings, setting


@dataclass
class CorpusSettings(StageSettings):
    """build_corpus.py"""

    places: ClassVar[dict[str, str]] = {"output_dir": "corpus"}  # under work_dir, unless given
    source: str = setting("text", "What kind of text --input is.", choices=("text", "cirrussearch", "hub"))
    input: str | None = setting(None, "Files, folders, globs or URLs, comma separated; none: DATA_DIR/corpus.")
    checksum: str | None = setting(None, "ALGORITHM:HEX that a file downloaded from a URL must have.")
    output_dir: str | None = setting(None, "Folder for the sentences.")
    min_chars: int = setting(10, "Shorter sentences are dropped (characters).", minimum=0)
    max_chars: int = setting(200, "Longer sentences are dropped (characters).", minimum=1)
    heldout_every: int = setting(100, "One document in this many goes to the held-out part.", minimum=2)
    exclude: str | None = setting(
        None,
        "Evaluation files whose sentences are removed, comma separated: JSON, or the livedoor archive for its titles; "
        "none: both of DATA_DIR. With --input and without --data_dir nothing is kept out, unless given here.",
    )
    near_duplicates: bool = setting(True, "Drop documents nearly the same as another one (MinHash).")
    piece_chars: int = setting(2_000_000, "Characters that a task works on.", minimum=1)
    num_workers: int = setting(2, "Tasks at work at a time.", minimum=1)
    executor: str = setting("local", "Where the tasks run.", choices=("local", "slurm", "ray"))
    executor_options: str | None = setting(
        None, "Arguments of datatrove's executor, as JSON (in a recipe: keys).", keys=True
    )


@dataclass
class TokenizerSettings(StageSettings):
    """train_tokenizer.py"""

    places: ClassVar[dict[str, str]] = {
        "corpus_dir": "corpus",
        "output_dir": "tokenizer",
    }  # under work_dir, unless given
    corpus_dir: str | None = setting(None, "Output of build_corpus.py.")
    output_dir: str | None = setting(None, "Folder for the tokenizer.")
    tokenizer: str | None = setting(None, "An existing tokenizer (folder or Hub name) to take; none: train one.")
    vocab_size: int = setting(32768, "Entries of the vocabulary, special ones included.", minimum=1)
    limit_alphabet: int = setting(6129, "Distinct characters kept.", minimum=1)
    min_frequency: int = setting(2, "A merge must be seen this often.", minimum=1)
    sample_lines: int = setting(1_000_000, "Lines drawn from the corpus for training.", minimum=1)


@dataclass
class PackSettings(StageSettings):
    """pack_corpus.py"""

    places: ClassVar[dict[str, str]] = {
        "corpus_dir": "corpus",
        "tokenizer": "tokenizer",
        "output_dir": "shards",
    }  # under work_dir, unless given
    corpus_dir: str | None = setting(None, "Output of build_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer folder or Hub name.")
    output_dir: str | None = setting(None, "Folder for the packed shards.")
    num_workers: int = setting(2, "Worker processes.", minimum=1)


@dataclass
class WordVectorSettings(StageSettings):
    """embed_words.py"""

    places: ClassVar[dict[str, str]] = {
        "shards_dir": "shards",
        "tokenizer": "tokenizer",
        "output_dir": "embeddings",
    }  # under work_dir, unless given
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer that goes with the shards.")
    output_dir: str | None = setting(None, "Folder for the vectors.")
    embedding_size: int = setting(128, "Dimensions of a vector: the model's embedding width.", minimum=1)
    window: int = setting(5, "Neighbours on either side that count, the one d tokens away as 1/d.", minimum=1)
    mixture: str = setting("", "Weights of sources, for example 'aozora=0.3'; the others have 1.")
    encoder_name_or_path: str | None = setting(
        None,
        "A larger encoder (folder or Hub name, with a fast tokenizer) that is asked what each entry means; its "
        "vectors are joined with the counted ones. None: counted ones alone.",
    )
    encoder_layer: int = setting(4, "The encoder's hidden layer that is read; 0: its embeddings.", minimum=0)
    encoder_prefix: str = setting("", "What the encoder wants before a text, for example 'query: '.")


@dataclass
class GuideSettings(StageSettings):
    """guide_corpus.py"""

    places: ClassVar[dict[str, str]] = {
        "shards_dir": "shards",
        "tokenizer": "tokenizer",
        "output_dir": "guide",
    }  # under work_dir, unless given
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer that goes with the shards.")
    output_dir: str | None = setting(None, "Folder for the guide's answers.")
    guide_model_name_or_path: str | None = setting(
        None, "The encoder to ask: any with a fast tokenizer, a folder or a Hub name."
    )
    guide_layer: int = setting(8, "The encoder's hidden layer that is read; 0: its embeddings.", minimum=0)
    guide_prefix: str = setting("", "What the encoder wants before a text, for example 'query: '.")
    guide_dimensions: int = setting(128, "Numbers kept per token, a byte each: principal components.", minimum=1)
    sources: str = setting("", "Parts of the corpus to ask about, for example 'wikipedia_*,wikinews'; none: all.")
    max_tokens: int = setting(
        126, "Tokens given to the encoder at a time: whole sentences of one document.", minimum=1
    )
    batch_size: int = setting(32, "Stretches per batch.", minimum=1)
    dataloader_num_workers: int = setting(
        0, "Processes that make batches; 0: the asking one, which is enough for a CPU.", minimum=0
    )
    sample_tokens: int = setting(200_000, "Tokens that the principal components are taken from.", minimum=1)


@dataclass
class TagSettings(StageSettings):
    """tag_corpus.py"""

    places: ClassVar[dict[str, str]] = {
        "shards_dir": "shards",
        "tokenizer": "tokenizer",
        "output_dir": "tags",
    }  # under work_dir, unless given
    shards_dir: str | None = setting(None, "Output of pack_corpus.py.")
    tokenizer: str | None = setting(None, "Tokenizer that goes with the shards.")
    output_dir: str | None = setting(None, "Folder for the tags.")
    sources: str = setting("", "Parts of the corpus to tag, for example 'wikipedia_*,wikinews'; none: all.")
    min_count: int = setting(
        100,
        "Words that a class must have; those of a rarer one count as their part of speech without its finer kind.",
        minimum=1,
    )
    num_workers: int = setting(2, "Worker processes; 1: none but this one.", minimum=1)
