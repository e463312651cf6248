"""Lines of the files that a user brings: classes in a table, entities in JSONL."""

import json


def table(rows, header=("text", "label"), delimiter=","):
    """A CSV (or TSV) file's text."""
    return "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in [header, *rows])


def item(text, *spans):
    """A line of JSONL: a sentence and its entities, each (start, end, type)."""
    entities = [{"name": text[start:end], "span": [start, end], "type": kind} for start, end, kind in spans]
    return json.dumps({"text": text, "entities": entities}, ensure_ascii=False) + "\n"
