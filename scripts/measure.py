"""Measure: how fast models answer or train, how good a vocabulary or a checkpoint is, what a setting changes.

    python scripts/measure.py                     # the names of the measurements
    python scripts/measure.py models --help       # what one of them reads, writes and can be told
    python scripts/measure.py models --config recipes/tiny.yaml --task livedoor

Those that train are started by `accelerate launch scripts/measure.py NAME` as well.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import sys
from pathlib import Path

import mobilebert_ja.training.waiting  # noqa: F401

from mobilebert_ja.common.errors import UserError, exit_on_user_error

_PACKAGE = "mobilebert_ja.measuring"
MEASUREMENTS = {
    "models": "timings.models",
    "latency": "timings.folders",
    "compare": "scores.compare",
    "variants": "timings.variants",
    "profile": "timings.profile",
    "service": "serving.service",
    "bulk": "serving.bulk",
    "training": "timings.training",
    "finetuning": "timings.finetuning",
    "corpus": "timings.corpus",
    "cost": "timings.cost",
    "ablation": "scores.ablation",
    "trials": "scores.trials",
    "cuts": "scores.cuts",
    "learning_curve": "scores.learning_curve",
    "tokenizer": "scores.tokenizer",
    "checkpoint": "scores.checkpoint",
}


def first_line(module: str) -> str:
    """The first line of a module's docstring, read from its source: nothing that the module needs is imported."""
    spec = importlib.util.find_spec(f"{_PACKAGE}.{module}")
    assert spec is not None and spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    return (text or "").partition("\n")[0]


def listing() -> str:
    """Every name with one line on what it measures."""
    width = max(map(len, MEASUREMENTS))
    lines = [f"  {name:{width}}  {first_line(module)}" for name, module in MEASUREMENTS.items()]
    return "\n".join(["usage: measure.py NAME [flags]   (measure.py NAME --help shows the flags)", "", *lines])


@exit_on_user_error
def main() -> None:
    name, flags = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if name in ("-h", "--help"):
        print(listing())
        return
    if name not in MEASUREMENTS:
        near = difflib.get_close_matches(name, MEASUREMENTS, n=1, cutoff=0.75)
        if not near:
            print(listing(), file=sys.stderr)
        raise UserError(f"There is no measurement '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""))
    # The name belongs to the command: help texts and records show "measure.py NAME", and flags alone are parsed.
    sys.argv = [f"{sys.argv[0]} {name}", *flags]
    importlib.import_module(f"{_PACKAGE}.{MEASUREMENTS[name]}").main()


if __name__ == "__main__":
    main()
