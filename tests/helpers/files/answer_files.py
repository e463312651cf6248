"""Files of answers as finetune.py and baseline.py leave them."""

from mobilebert_ja.common.files import write_json


def write_answers(path, predictions, references, texts=None):
    texts = texts or [f"題{number}" for number in range(len(references))]
    rows = zip(texts, references, predictions, strict=True)
    write_json(
        path, {"run": {}, "test": [dict(zip(("text", "target", "prediction"), row, strict=True)) for row in rows]}
    )
    return path
