"""Put the trained student into the repository's root, where `from_pretrained` finds it.

    python scripts/export_checkpoint.py --work_dir work --records_dir records

Reads WORK_DIR/student; writes config.json, vocab.txt, tokenizer_config.json and pytorch_model.bin (float16 storage,
float32 in use) into --output_dir, and a record with their checksums and what the checkpoint answers to a few masked
sentences.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.common.files import read_json, require_folder, sha256_of, write_json
from mobilebert_ja.common.records import fingerprint, git_commit, hardware, library_versions, same_command_line
from mobilebert_ja.model.checkpoint import (
    RELEASED_FILES,
    WEIGHTS_NAME,
    export_checkpoint,
    fill_mask_examples,
    load_pretrained,
)
from mobilebert_ja.model.flops import forward_flops
from mobilebert_ja.model.mobilebert import parameter_counts
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
    settings = parse_settings(ExportSettings, __doc__, "export_checkpoint")
    student, root = Path(str(settings.model_name_or_path)), Path(str(settings.output_dir))
    require_folder(student, "pretrain.py --model student makes it.")
    record_file = Path(str(settings.records_dir)) / "checkpoint.json"
    inputs = {"model_name_or_path": fingerprint(student)}
    if (root / WEIGHTS_NAME).exists() and not settings.overwrite:
        if record_file.is_file() and read_json(record_file).get("inputs") == inputs:
            print(f"{root / WEIGHTS_NAME} is already there, nothing to do (--overwrite makes it anew)")
            return
        raise UserError(f"{root / WEIGHTS_NAME} exists and holds another checkpoint; --overwrite replaces it.")
    root.mkdir(parents=True, exist_ok=True)
    facts = export_checkpoint(student, root)
    model = load_pretrained(root)
    facts |= parameter_counts(model)
    facts["gflops_of_128_tokens"] = round(forward_flops(model.config, 128) / 1e9, 3)
    facts["fill_mask"] = fill_mask_examples(root, SENTENCES)
    record = {
        "stage": "checkpoint",
        "command": same_command_line(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "inputs": inputs,
        "config": read_json(root / "config.json"),
        "metrics": facts,
        "git_commit": git_commit(),
        "versions": library_versions(),
        "hardware": hardware(),
        "files": {name: sha256_of(root / name) for name in RELEASED_FILES},
    }
    write_json(record_file, record)
    print(f"{root}: {facts['bytes'] / 1e6:.1f} MB, {facts['parameters']:,} parameters")
    for example in facts["fill_mask"]:
        answers = "、".join(f"{each['token']} {each['score']:.2f}" for each in example["predictions"])
        print(f"  {example['text']} -> {answers}")


if __name__ == "__main__":
    main()
