"""Time per text of any folders with models of one task, in turns, on your own texts and this machine's CPU.

    python scripts/measure.py latency work/finetuned/classification work/compressed/classification/{onnx,fast} \\
        --text_file titles.txt [--record latency_titles]

The folders are those of finetune.py (a large encoder's too) and of compress.py; the first is what the others are
compared with. A text per line. Prints for each folder the time from a text to its answer, tokenization included, and
how many of its answers are the first one's; keeps them as RECORDS_DIR/latency_titles.json if asked to. The times want
a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilebert_ja.bulk.texts import Texts
from mobilebert_ja.common.errors import Parser, UserError
from mobilebert_ja.common.files import read_json, require_file, require_folder, write_json
from mobilebert_ja.common.records import circumstances, command_and_time, fingerprint
from mobilebert_ja.common.text.encodings import UTF8, encoding_of_name
from mobilebert_ja.finetuning.folder import FinishedRuns, load_finetuned, record_of, require_fitting
from mobilebert_ja.inference.folder import FACTS_NAME, ONNX, read_facts, with_default_treatment
from mobilebert_ja.inference.kinds import KINDS, Kind, kind_of_config, kind_of_facts
from mobilebert_ja.measuring.latency import Timing
from mobilebert_ja.measuring.models.contenders import Contender, eager, exported, traced
from mobilebert_ja.measuring.models.speed import speedup, spread_subset, times_and_answers, timing_facts
from mobilebert_ja.measuring.runs import require_free_record, tabulate

COLUMNS = {
    "ms per text": "{median_ms:.2f}",
    "p10": "{p10_ms:.2f}",
    "p90": "{p90_ms:.2f}",
    "texts per s": "{texts_per_second:,.1f}",
    "times as fast": "{times_as_fast:.2f}",
    "MB": "{megabytes:.1f}",
    "same answers": "{agreement:.1%}",
}
# Flags of whole numbers: the default, the least, and what they are.
NUMBERS = {
    "max_items": (300, 0, "texts that are timed, spread over all of them; 0: all"),
    "repetitions": (3, 1, "passes over them"),
    "num_threads": (1, 1, "threads of a model call"),
    "turn": (20, 1, "texts that a model answers one by one before the next has its turn"),
    "seed": (0, 0, "of the order of the turns"),
}


@dataclass(frozen=True)
class Timed:
    """A folder's model, the kind of its answers, and how long an input it is given (tokens)."""

    contender: Contender
    kind: Kind
    max_seq_length: int


def read_timed(folder: Path) -> Timed:
    """The model of a folder of finetune.py or compress.py, ready to answer.

    Raises `UserError` if it holds none, or one that does not answer a single text.
    """
    name, folder = str(folder), with_default_treatment(require_folder(folder, "It is a folder with a model."))
    if (folder / FACTS_NAME).is_file() or not (folder / "config.json").is_file():
        facts = read_facts(folder)
        made = (exported if facts["runs_with"] == ONNX else traced)(folder, name, None)
        return Timed(made, kind_of_facts(facts), facts["max_seq_length"])
    kind = kind_of_config(read_json(folder / "config.json"))
    if not KINDS[kind].stored_as:
        raise UserError(f"{name} answers more than a single text ({kind}); only classes and entities are timed.")
    settings = record_of(folder.absolute()).get("settings", {})
    length = FinishedRuns(folder, settings=settings).max_seq_length
    model, ready = load_finetuned(folder, str(settings.get("task", "classification")), length, kind)
    require_fitting(model.config, ready)
    return Timed(eager(name, ready, None), kind, length)


def parser() -> Parser:
    """Flags of `measure.py latency`."""
    made = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    made.add_argument("folders", nargs="+", type=Path, help="of models, the first one to compare the others with")
    made.add_argument("--text_file", nargs="+", type=Path, required=True, help="texts, one per line")
    made.add_argument("--encoding", default=UTF8, help="of the texts, if not UTF-8: cp932 (Excel), utf-16, euc_jp")
    for name, (default, _, words) in NUMBERS.items():
        made.add_argument(f"--{name}", type=int, default=default, help=f"{words} (default: %(default)s)")
    made.add_argument("--record", help="name of a record that keeps the result, for example latency_titles")
    made.add_argument("--records_dir", type=Path, default=Path("work/records"), help="folder of that record")
    return made


def require_sound(options: argparse.Namespace) -> None:
    """Raise `UserError` for flags that make no sense."""
    for name, (_, least, _) in NUMBERS.items():
        if vars(options)[name] < least:
            raise UserError(f"--{name} must be at least {least}.")
    if len({str(folder) for folder in options.folders}) < len(options.folders):
        raise UserError("A folder is named twice.")
    require_free_record(options.record, options.records_dir)
    options.encoding = encoding_of_name(options.encoding)


def chosen_texts(files: list[Path], encoding: str, size: int, seed: int) -> list[str]:
    """`size` texts, spread over those of the files that are not blank; all if it is 0.

    Raises `UserError` if there is none.
    """
    found = [text for text in Texts([require_file(each) for each in files], encoding) if text.strip()]
    if not found:
        raise UserError(f"{', '.join(map(str, files))} holds no text.")
    return [found[index] for index in spread_subset(len(found), size, seed)]


def read_all(folders: list[Path]) -> dict[str, Timed]:
    """The models of all folders, by the folders' names. Raises `UserError` if their answers are of different kinds."""
    timed = {str(folder): read_timed(folder) for folder in folders}
    first = next(iter(timed))
    for name, each in timed.items():
        if each.kind is not timed[first].kind:
            raise UserError(
                f"{first} answers with {timed[first].kind}, {name} with {each.kind}; one kind is timed at a time."
            )
    return timed


def facts_of(
    timed: dict[str, Timed], timings: dict[str, Timing], answers: dict[str, list[Any]]
) -> dict[str, dict[str, Any]]:
    """What the record says of each model."""
    first = next(iter(timed))
    return {
        name: {
            "model": each.contender.description,
            "runs_with": each.contender.kind,
            "parameters": each.contender.parameters,
            "bytes": each.contender.bytes,
            "max_seq_length": each.max_seq_length,
            **timing_facts(timings[name]),
            "times_as_fast": None if name == first else speedup(timings[first], timings[name]),
            "agreement": statistics.fmean(
                mine == its for mine, its in zip(answers[name], answers[first], strict=True)
            ),
        }
        for name, each in timed.items()
    }


def main() -> None:
    options = parser().parse_args()
    require_sound(options)
    texts = chosen_texts(options.text_file, options.encoding, options.max_items, options.seed)
    timed = read_all(options.folders)
    timings, answers = times_and_answers(
        {name: each.contender for name, each in timed.items()},
        texts,
        options.repetitions,
        options.num_threads,
        options.seed,
        options.turn,
    )
    facts = facts_of(timed, timings, answers)
    characters = statistics.fmean(map(len, texts))
    print(f"{len(texts):,} texts of {characters:.0f} characters on average, {options.repetitions} times, in turns")
    rows = {
        name: each
        | {
            "texts_per_second": len(texts) / timings[name].median_seconds,
            "megabytes": each["bytes"] / 1e6,
            "times_as_fast": each["times_as_fast"] and each["times_as_fast"]["median"],
        }
        for name, each in facts.items()
    }
    print(tabulate(rows, COLUMNS, "model"))
    if options.record is not None:
        read = {**dict(zip(timed, options.folders, strict=True)), **{str(each): each for each in options.text_file}}
        record = {
            "stage": options.record,
            **command_and_time(),
            "settings": {name: vars(options)[name] for name in NUMBERS},
            "inputs": {name: fingerprint(path) for name, path in read.items()},
            "metrics": {"texts": len(texts), "characters": round(characters, 1), "models": facts},
            **circumstances(),
        }
        write_json(options.records_dir / f"{options.record}.json", record)
