"""A vocabulary on held-out text, and the fast encoder against transformers' own tokenizer.

    python scripts/measure.py tokenizer --config recipes/cpu.yaml --data_dir path/to/data

Reads WORK_DIR/corpus, WORK_DIR/tokenizer and the titles of DATA_DIR/livedoor; writes WORK_DIR/tokenizer_quality.
Quality: unknown tokens, tokens per word and per character on held-out encyclopedia, held-out novels and news titles,
beside a vocabulary of the same size trained on the same lines without a limit on its alphabet. Encoders: whether
their ids are the same on --sentences sentences of the corpus, and how many sentences per second each does, in turn
(`transformers`: `encode` without special tokens, its leanest; `transformers_call`: `tokenizer(text)`; `mecab_alone`:
the bound that no encoder over MeCab can pass).
"""

from __future__ import annotations

import fnmatch
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from mobilebert_ja.common.files import list_files, read_lines, write_json
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.measuring.runs import tabulate
from mobilebert_ja.measuring.turns import median_ratio, take_turns
from mobilebert_ja.plans import tokenizer_quality_stage
from mobilebert_ja.settings import TokenizerEvaluationSettings, parse_settings
from mobilebert_ja.tasks import load_task
from mobilebert_ja.tokenization.encoder import FastEncoder, load_tokenizer, save_tokenizer
from mobilebert_ja.tokenization.mecab import words_of
from mobilebert_ja.tokenization.vocabulary import count_all_words, sample_lines, train_vocabulary

UNLIMITED = 10**9  # characters in an alphabet without a limit


def heldout_sentences(corpus: Path, pattern: str) -> list[str]:
    """Held-out sentences of the parts that match; of a corpus without such a part (the embedded sample), of all."""
    files = list_files(corpus / "heldout")
    chosen = [file for file in files if fnmatch.fnmatch(file.stem.rpartition("-")[0], pattern)] or files
    return [line for file in chosen for line in read_lines(file) if line]


def quality(encoder: FastEncoder, sentences: list[str]) -> dict[str, float]:
    """Share of unknown tokens; tokens per word and per character (white space not counted)."""
    tokens = words = unknown = 0
    for sentence in sentences:
        encoding = encoder.encode(sentence)
        tokens += len(encoding.ids)
        words += len(encoding.words)
        unknown += encoding.ids.count(encoder.unk_id)
    characters = sum(len("".join(sentence.split())) for sentence in sentences)
    return {
        "sentences": len(sentences),
        "unknown_rate": unknown / tokens,
        "tokens_per_word": tokens / words,
        "tokens_per_character": tokens / characters,
    }


def spread_out(files: list[Path], count: int) -> list[str]:
    """`count` sentences at even distances over all files (all of them if there are fewer)."""
    total = sum(1 for file in files for line in read_lines(file) if line)
    step = max(1, total // count)
    return list(islice((line for file in files for line in read_lines(file) if line), 0, step * count, step))


def differing(sentences: list[str], encoder: FastEncoder, theirs: Any) -> list[str]:
    """The sentences to which the two encoders do not give the same ids."""
    return [
        sentence
        for sentence in progress_bar(sentences, desc="comparing ids", unit="sentence")
        if not encoder.ids(sentence)
        == encoder.encode(sentence).ids
        == theirs.encode(sentence, add_special_tokens=False)
    ]


def speed(encoders: dict[str, Callable[[str], Any]], sentences: list[str], rounds: int) -> dict[str, Any]:
    """Sentences per second of each encoder, each round on sentences that none has seen; the order alternates."""
    size = len(sentences) // rounds

    def rate_of(encode: Callable[[str], Any]) -> Callable[[int], float]:
        def rate(index: int) -> float:
            part = sentences[index * size : (index + 1) * size]
            started = time.perf_counter()
            for sentence in part:
                encode(sentence)
            return size / (time.perf_counter() - started)

        return rate

    rates = take_turns({name: rate_of(encode) for name, encode in encoders.items()}, rounds)
    return {
        name: {
            "sentences_per_second": each,
            "median": statistics.median(each),
            "times_as_fast": median_ratio(each, rates["transformers"]),
        }
        for name, each in rates.items()
    }


def main() -> None:
    settings = parse_settings(TokenizerEvaluationSettings, __doc__)
    stage = tokenizer_quality_stage(settings)
    corpus, tokenizer = stage.inputs["corpus_dir"], stage.inputs["tokenizer"]
    if stage.is_done(settings.overwrite):
        return
    stage.begin()
    titles = load_task("livedoor", resolve_data_dir(settings), 0)
    kinds = {
        "encyclopedia": heldout_sentences(corpus, settings.wikipedia),
        "titles": [example.text for example in (*titles.train, *titles.test)],
        "novels": heldout_sentences(corpus, settings.novels),
    }
    encoder, theirs = FastEncoder(tokenizer), load_tokenizer(tokenizer)

    files = list_files(corpus / "train") + list_files(corpus / "heldout")
    sentences = spread_out(files, settings.sentences)
    timed = sentences[:: max(1, len(sentences) // (settings.timed_sentences * settings.repetitions))]
    # In the middle of a corpus the encoder knows most words; here it has met all sentences but the timed ones.
    asked = set(timed)
    untimed = [sentence for sentence in sentences if sentence not in asked]
    different = differing(untimed, encoder, theirs)
    speeds = speed(
        {
            "transformers": lambda text: theirs.encode(text, add_special_tokens=False),
            "transformers_call": lambda text: theirs(text)["input_ids"],
            "mecab_alone": words_of,
            "ids": encoder.ids,
            "ids_and_offsets": encoder.encode,
        },
        timed,
        settings.repetitions,
    )
    different += differing(timed, encoder, theirs)
    write_json(stage.folder / "different.json", different)

    words = count_all_words(sample_lines(list_files(corpus / "train"), settings.sample_lines, settings.seed))
    unlimited = train_vocabulary(words, len(encoder.vocab), UNLIMITED, settings.min_frequency)
    save_tokenizer(unlimited, stage.folder / "unlimited")
    vocabularies = {"limited": encoder, "unlimited": FastEncoder(stage.folder / "unlimited")}
    qualities = {
        name: {kind: quality(each, lines) for kind, lines in kinds.items()} for name, each in vocabularies.items()
    }
    metrics = {
        "quality": qualities,
        "single_characters": {
            name: sum(len(token) == 1 for token in each.vocab) for name, each in vocabularies.items()
        },
        "compared_sentences": len(sentences),
        "different_sentences": len(different),
        "speed": speeds,
    }
    stage.finish(metrics)
    print(f"{len(sentences):,} sentences encoded, {len(different)} of them otherwise than transformers does")
    columns = {"sentences/s": "{median:,.0f}", "times as fast": "{times_as_fast:.1f}"}
    print(tabulate(speeds, columns, "encoder"))
    columns = {"unknown": "{unknown_rate:.4%}", "tokens per word": "{tokens_per_word:.3f}"}
    columns["per character"] = "{tokens_per_character:.3f}"
    rows = {f"{name}, {kind}": facts for name, kinds_of in qualities.items() for kind, facts in kinds_of.items()}
    print(tabulate(rows, columns, "vocabulary"))
