"""Put the trained student into the repository's root, where `from_pretrained` finds it.

    python scripts/export_checkpoint.py --work_dir work --records_dir records

Reads WORK_DIR/student; writes config.json, vocab.txt, tokenizer_config.json and pytorch_model.bin (float16 storage,
float32 in use) into --output_dir, and a record with their checksums and what the checkpoint answers to a few masked
sentences.
"""

from __future__ import annotations

from pathlib import Path

import mobilebert_ja.training.waiting  # noqa: F401

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.common.files import read_json, sha256_of, write_json
from mobilebert_ja.common.records import circumstances, command_and_time, fingerprint
from mobilebert_ja.model.checkpoint import RELEASED_FILES, export_checkpoint, fill_mask_examples, load_pretrained
from mobilebert_ja.model.flops import forward_flops
from mobilebert_ja.model.mobilebert import parameter_counts
from mobilebert_ja.plans import checkpoint_is_there
from mobilebert_ja.settings import ExportSettings, parse_settings

SENTENCES = [  # chosen before any answer was looked at
    "東京は日本の[MASK]です。",
    "東京は日本[MASK]首都である。",
    "彼は大学を卒業し[MASK]。",
    "この映画は1990年に公開さ[MASK]た。",
    "明治時代に[MASK]が開通した。",
    "この寺は浄土宗の[MASK]である。",
    "彼は東京大学を[MASK]した。",
    "アメリカ合衆国の[MASK]はワシントンである。",
    "ファイルを[MASK]してください。",
    "富士山は日本で一番高い[MASK]です。",
]


@exit_on_user_error
def main() -> None:
    settings = parse_settings(ExportSettings, __doc__)
    if checkpoint_is_there(settings):
        return
    student, root = Path(str(settings.model_name_or_path)), Path(str(settings.output_dir))
    root.mkdir(parents=True, exist_ok=True)
    facts = export_checkpoint(student, root)
    model = load_pretrained(root)
    facts |= parameter_counts(model)
    facts["gflops_of_128_tokens"] = round(forward_flops(model.config, 128) / 1e9, 3)
    facts["fill_mask"] = fill_mask_examples(root, SENTENCES)
    record = {
        "stage": "checkpoint",
        **command_and_time(),
        "inputs": {"model_name_or_path": fingerprint(student)},
        "config": read_json(root / "config.json"),
        "metrics": facts,
        **circumstances(),
        "files": {name: sha256_of(root / name) for name in RELEASED_FILES},
    }
    write_json(Path(str(settings.records_dir)) / "checkpoint.json", record)
    print(f"{root}: {facts['bytes'] / 1e6:.1f} MB, {facts['parameters']:,} parameters")
    for example in facts["fill_mask"]:
        answers = "、".join(f"{each['token']} {each['score']:.2f}" for each in example["predictions"])
        print(f"  {example['text']} -> {answers}")


if __name__ == "__main__":
    main()
