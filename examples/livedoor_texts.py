"""The texts of livedoor's training articles, for adapt.py: of no article whose title stands in the test part.

    python examples/livedoor_texts.py DATA_DIR > livedoor_texts.txt
    accelerate launch scripts/adapt.py --text_file livedoor_texts.txt --max_train_seconds 600
    accelerate launch scripts/finetune.py --task livedoor --data_dir DATA_DIR --model_name_or_path work/adapted

The articles are under CC BY-ND 2.1 JP: learn from what this writes, and do not pass it on.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.data.livedoor_archive import LIVEDOOR_FILE, read_texts
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks.base import Example
from mobilebert_ja.tasks.parts import what_is_read
from mobilebert_ja.tasks.public.livedoor import load_livedoor


@exit_on_user_error
def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    archive = Path(sys.argv[1]) / LIVEDOOR_FILE
    held_out = {what_is_read(example) for example in load_livedoor(archive, FinetuneSettings().split_seed).test}
    for category, title, text in read_texts(archive):
        if what_is_read(Example(title, category)) not in held_out:
            print("\n".join(text), end="\n\n")


if __name__ == "__main__":
    main()
