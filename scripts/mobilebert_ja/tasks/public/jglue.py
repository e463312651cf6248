"""JGLUE: JSTS, JNLI, JCommonsenseQA (an object per line) and JSQuAD (as SQuAD 1.1), from its own files or the Hub.

train is learned, valid is the test part: the answers of JGLUE's test set are not public. The Hub's copy is the one
that the Hub itself has converted to Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.text_files import json_lines, require_text, text_lines

JGLUE = ("jsts", "jnli", "jcommonsenseqa", "jsquad")
JNLI_LABELS = ["contradiction", "entailment", "neutral"]
HUB_DATASET, HUB_REVISION = "shunk031/JGLUE", "refs/convert/parquet"
_HUB_FOLDERS = {"jsts": "JSTS", "jnli": "JNLI", "jcommonsenseqa": "JCommonsenseQA", "jsquad": "JSQuAD"}
_HUB_TIMEOUT_SECONDS = 5.0
_CHOICES = [f"choice{number}" for number in range(5)]
_BY_HAND = "It comes from https://github.com/yahoojapan/JGLUE (datasets/); --data_dir names the folder above {}/."
Item = dict[str, Any]


def jglue_files(task: str, data_dir: Path | None) -> dict[str, Path]:
    """{"train_data", "test_data"}: the one train-*.json and the one valid-*.json of a task, of whatever version.

    Without a `data_dir` they are fetched from the Hub, or taken from its cache. Raises `UserError` if one is missing
    or cannot be had, or if several versions are there.
    """
    if data_dir is None:
        return _hub_files(task)
    folders = [each for each in [data_dir / task, *sorted(data_dir.glob(f"{task}-v*"))] if each.is_dir()]
    if len(folders) != 1:
        what = "holds several versions of it" if folders else f"holds no folder {task}"
        raise UserError(f"{data_dir} {what}. " + _BY_HAND.format(task))
    files = {}
    for name, start in (("train_data", "train"), ("test_data", "valid")):
        found = sorted(folders[0].glob(f"{start}-*.json"))
        if len(found) != 1:
            what = "holds several versions of" if found else "lacks"
            raise UserError(f"{folders[0]} {what} {start}-v1.1.json. " + _BY_HAND.format(task))
        files[name] = found[0]
    return files


def _hub_files(task: str) -> dict[str, Path]:
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    parts = {"train_data": "train", "test_data": "validation"}
    names = {key: f"{_HUB_FOLDERS[task]}/{part}/0000.parquet" for key, part in parts.items()}
    where: dict[str, Any] = {"repo_type": "dataset", "revision": HUB_REVISION}
    try:
        kept = {key: try_to_load_from_cache(HUB_DATASET, name, **where) for key, name in names.items()}
        if all(isinstance(path, str) for path in kept.values()):
            return {key: Path(str(path)) for key, path in kept.items()}
        HfApi().dataset_info(HUB_DATASET, timeout=_HUB_TIMEOUT_SECONDS)  # fails at once, where a download retries
        return {key: Path(hf_hub_download(HUB_DATASET, name, **where)) for key, name in names.items()}
    except Exception as error:  # every HTTP library below has exceptions of its own
        reason = first_line(error)
        raise UserError(
            f"The Hub data set {HUB_DATASET} cannot be read ({reason}). " + _BY_HAND.format(task)
        ) from None


def _rows(path: Path) -> Iterator[tuple[str, Item]]:
    """(where, object) of every line of JGLUE's own file or every row of the Hub's, in the form of the former."""
    if path.suffix != ".parquet":
        yield from ((f"{path}, line {number}", item) for number, item in json_lines(path, encoding=None))
        return
    from datasets import ClassLabel, Features
    from pyarrow import parquet

    try:
        table = parquet.read_table(str(path))  # Dataset.from_parquet would write a copy to HF_HOME
        named = Features.from_arrow_schema(table.schema).get("label")
    except Exception as error:  # what the libraries below raise for a damaged file
        raise UserError(f"{path} is no Parquet file that can be read: {first_line(error)}.") from None
    for number, row in enumerate(table.to_pylist()):
        if isinstance(named, ClassLabel) and set(named.names) == set(JNLI_LABELS):  # JGLUE's own files hold the names
            row["label"] = named.int2str(row["label"])
        yield f"{path}, row {number}", row


def _text(item: Mapping[str, Any], key: str, where: str) -> str:
    if not isinstance(item.get(key), str):
        raise UserError(f"{where} must have '{key}', a string.")
    return require_text(item[key], where, key)


def _similarity(item: Item, where: str) -> Example:
    label = item.get("label")
    if isinstance(label, bool) or not isinstance(label, int | float) or not 0 <= label <= 5:
        raise UserError(f"{where} must have 'label', a number from 0 to 5.")
    return Example(_text(item, "sentence1", where), float(label), _text(item, "sentence2", where))


def _inference(item: Item, where: str) -> Example:
    if item.get("label") not in JNLI_LABELS:
        raise UserError(f"{where} must have 'label', one of {', '.join(JNLI_LABELS)}.")
    return Example(_text(item, "sentence1", where), item["label"], _text(item, "sentence2", where))


def _commonsense(item: Item, where: str) -> Example:
    choices = tuple(_text(item, key, where) for key in _CHOICES)
    label = item.get("label")
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(choices):
        raise UserError(f"{where} must have 'label', a whole number from 0 to {len(choices) - 1}.")
    return Example(_text(item, "question", where), _CHOICES[label], choices)


def _question(item: Item, where: str) -> Example:
    """A question with its "context" and "answers", [{"answer_start", "text"}, ...]."""
    context = _text(item, "context", where)
    answers = tuple((answer["answer_start"], answer["text"]) for answer in item["answers"])
    for start, text in answers:
        if type(start) is not int or start < 0 or not text or context[start : start + len(text)] != text:
            raise UserError(f"{where}: its answer '{text}' does not stand at {start} in its context.")
    if not answers:
        raise UserError(f"{where} has no answer.")
    return Example(_text(item, "question", where), answers, context)


def _squad(path: Path) -> Iterator[tuple[str, Item]]:
    """(where, question) of a file in SQuAD's form, each question with its context."""
    if path.suffix == ".parquet":
        for where, row in _rows(path):
            columns = row["answers"]
            pairs = zip(columns["answer_start"], columns["text"], strict=True)
            yield where, row | {"answers": [{"answer_start": start, "text": text} for start, text in pairs]}
        return
    for article in json.loads("".join(text_lines(path, encoding=None)))["data"]:
        for paragraph in article["paragraphs"]:
            for number, item in enumerate(paragraph["qas"]):
                yield f"{path}: question {item.get('id', number)}", {**item, "context": paragraph["context"]}


def read_examples(path: Path, example: Callable[[Item, str], Example]) -> list[Example]:
    """Every line of a file as an example. Raises `UserError` naming the line at fault."""
    examples = [example(item, where) for where, item in _rows(path)]
    if not examples:
        raise UserError(f"{path} is empty.")
    return examples


def read_questions(path: Path) -> list[Example]:
    """Every question of a file in SQuAD's form: text, its context as `second`, and ((start, answer), ...) as target.

    Raises `UserError` naming the question whose answer does not stand where it is said to.
    """
    try:
        examples = [_question(item, where) for where, item in _squad(path)]
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    except (KeyError, TypeError, AttributeError, ValueError):  # the last of a number of too many digits
        raise UserError(f"{path} is not in SQuAD's form: data, paragraphs, context, qas, question, answers.") from None
    if not examples:
        raise UserError(f"{path} holds no questions.")
    return examples


def load_jglue(task: str, files: Mapping[str, Path]) -> Task:
    """Read a task's two files. Raises `UserError` for what is wrong in them."""
    if task == "jsquad":
        train, test = read_questions(files["train_data"]), read_questions(files["test_data"])
        return Task(task, Kind.ANSWERS, [], train, test)
    example = {"jsts": _similarity, "jnli": _inference, "jcommonsenseqa": _commonsense}[task]
    train, test = (read_examples(files[name], example) for name in ("train_data", "test_data"))
    if task == "jsts":
        return Task(task, Kind.NUMBER, ["similarity"], train, test)
    if task == "jnli":
        return Task(task, Kind.CLASSES, JNLI_LABELS, train, test)
    return Task(task, Kind.CHOICES, _CHOICES, train, test)
