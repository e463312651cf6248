"""What the page asks for: which models there are, and their answers with the time they took. Nothing of a page."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import numpy as np  # noqa: E402

from mobilebert_ja.common.errors import UserError  # noqa: E402
from mobilebert_ja.common.files import read_json  # noqa: E402

MASK = "[MASK]"
LONGEST_AROUND_MASK = 509  # tokens: with the mask and two at the ends as many as the model has positions for
LONGEST = 2000  # characters that the page takes; the models read 128 tokens of a title, and all of a text with names
# From the checkpoint in the root, with the settings of the card.
MAKE = """\
python scripts/download_data.py --data_dir data
python scripts/finetune.py --config recipes/gpu.yaml --work_dir work --task {task} --model_name_or_path . \\
    --data_dir data --num_seeds 1
python scripts/compress.py --config recipes/gpu.yaml --work_dir work --task {task} --data_dir data
"""
# From labelled rows, text that nobody labelled and a large model to a small one that is fast.
OWN_DATA = """\
python scripts/finetune.py --task classification --train_file reviews.csv \\
    --model_name_or_path intfloat/multilingual-e5-small --output_dir work/large
python scripts/finetune.py --task classification --train_file reviews.csv --model_name_or_path . \\
    --teacher work/large,svm --unlabelled_file texts.txt
python scripts/compress.py --task classification --model_name_or_path work/finetuned/classification-silver
echo "画面がきれいで満足" | python scripts/predict.py work/compressed/classification/onnx
"""


@dataclass(frozen=True)
class Timed:
    """An answer, and the milliseconds from text to answer with the model in memory."""

    answer: Any
    milliseconds: float


@dataclass(frozen=True)
class Models:
    """Folders of one task: the fine-tuned model and its sped-up form, None where there is none.

    `practice`: they come from the embedded sample and are small.
    """

    plain: Path | None
    fast: Path | None
    practice: bool


def training_minutes(task: str) -> int:
    """What one training of a task took where the card's model was made, on one core."""
    return round(read_json(ROOT / "records" / f"{task}.json")["metrics"]["train_seconds"] / 60)


def work_dirs() -> list[Path]:
    """Folders in which the road may have left models, the real ones before the tiny ones."""
    known = [ROOT / "work" / name for name in ("gpu", "cpu")] + [ROOT / "work", ROOT / "work" / "tiny"]
    return [folder for folder in known if folder.is_dir()]


def find_models(task: str, work_dirs: list[Path]) -> Models | None:
    """The first of `work_dirs` with a model of the task; None if there is none."""
    for work in work_dirs:
        plain: Path | None = work / "finetuned" / task
        fast = next((path for name in ("fast", "onnx") if (path := work / "compressed" / task / name).is_dir()), None)
        plain = plain if plain is not None and (plain / "config.json").is_file() else None
        if plain or fast:
            return Models(plain, fast, work.name == "tiny")
    return None


def checked(text: str) -> str:
    """The text as given. Raises `UserError`, in the page's language, if there is none or too much of it."""
    if not text.strip():
        raise UserError("文を入力してください。")
    if len(text) > LONGEST:
        raise UserError(f"{LONGEST}文字までにしてください(今は{len(text)}文字です)。")
    return text


def timed(ask: Callable[[], Any]) -> Timed:
    begun = time.perf_counter()
    answer = ask()
    return Timed(answer, 1000 * (time.perf_counter() - begun))


@cache
def plain_predictor(folder: Path, task: str) -> Any:
    """A fine-tuned model with torch, once for the whole process."""
    from mobilebert_ja.common.files import read_json
    from mobilebert_ja.finetuning.folder import load_finetuned

    record = folder / "record.json"
    settings = read_json(record).get("settings", {}) if record.is_file() else {}
    return load_finetuned(folder, task, int(settings.get("max_seq_length", 128)))[1].predictor()


@cache
def fast_answerer(folder: Path) -> Any:
    """A sped-up model with onnxruntime, once for the whole process."""
    from mobilebert_ja.runtime import load

    return load(folder)


def classify(models: Models, text: str, fast: bool) -> Timed:
    """Probability of each class of a title: {class: probability}."""
    text = checked(text)
    if fast and models.fast:
        answerer = fast_answerer(models.fast)
        return timed(lambda: answerer.predict_one(text).probabilities)
    if models.plain is None:
        raise UserError("微調整したモデルがありません。")
    predictor = plain_predictor(models.plain, "livedoor")

    def ask() -> dict[str, float]:
        rows = predictor.rows(text)
        shares = predictor.logits(rows)[0].softmax(-1).tolist()
        return dict(zip(predictor.labels, shares, strict=True))

    return timed(ask)


def find_names(models: Models, text: str, fast: bool) -> Timed:
    """Names in a text: [(start, end, type)] in characters of it."""
    text = checked(text)
    if fast and models.fast:
        answerer = fast_answerer(models.fast)
        return timed(lambda: [(each.start, each.end, each.type) for each in answerer.predict_one(text).entities])
    if models.plain is None:
        raise UserError("微調整したモデルがありません。")
    predictor = plain_predictor(models.plain, "ner")
    return timed(lambda: predictor.predict_one(text))


@cache
def mask_pipeline(root: Path) -> Any:
    """transformers' own fill-mask pipeline."""
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()  # it would report the NSP head, which filling a mask does not use
    return pipeline("fill-mask", model=str(root), device="cpu", top_k=5)


@cache
def mask_encoder(root: Path) -> Any:
    """What turns the text around a mask into the model's numbers."""
    from mobilebert_ja.tokenization.encoder import FastEncoder

    return FastEncoder(root)


@cache
def mask_session(root: Path, folder: Path) -> Any:
    """The int8 model that fills masks; it is made from the checkpoint when first asked for."""
    import onnxruntime

    from mobilebert_ja.common.files import write_atomically

    weights = root / "pytorch_model.bin"
    model = folder / "model_quantized.onnx"
    if not model.is_file() or (weights.is_file() and model.stat().st_mtime < weights.stat().st_mtime):
        import torch
        from transformers import MobileBertForMaskedLM

        from mobilebert_ja.compression.onnx.models import to_onnx

        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = MobileBertForMaskedLM.from_pretrained(str(root), dtype=torch.float32).eval()
        with write_atomically(model, "wb") as stream:
            stream.write(to_onnx(checkpoint, "int8", reduce_range=True).SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def fill_mask(text: str, fast: bool, root: Path = ROOT, folder: Path = ROOT / "work" / "demo") -> Timed:
    """The five likeliest tokens for the one [MASK] of a text: {token: probability}."""
    text = checked(text)
    if text.count(MASK) != 1:
        raise UserError(f"文のどこか1か所を {MASK} にしてください。")
    encoder = mask_encoder(root)
    if sum(len(encoder.ids(part)) for part in text.split(MASK)) > LONGEST_AROUND_MASK:
        raise UserError("文が長すぎます。")
    if not fast:
        pipe = mask_pipeline(root)
        return timed(lambda: {each["token_str"]: each["score"] for each in pipe(text)})
    session = mask_session(root, folder)

    def ask() -> dict[str, float]:
        before, after = (encoder.ids(part) for part in text.split(MASK))
        ids = np.array([[encoder.vocab["[CLS]"], *before, encoder.vocab[MASK], *after, encoder.vocab["[SEP]"]]])
        logits = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        scores = logits[0, 1 + len(before)].astype(np.float64)
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        words = {number: token for token, number in encoder.vocab.items()}
        return {words[number]: float(shares[number]) for number in np.argsort(-shares)[:5]}

    return timed(ask)
