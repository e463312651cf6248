"""Render the model card and its figures from records, and print the benchmark table.

    python scripts/render_card.py --config recipes/tiny.yaml
    python scripts/render_card.py --records_dir records --output_dir . --figures_dir records/figures

The first writes WORK_DIR/card, the second the repository's own README.md. A record that is missing shows as 未測定.
"""

from __future__ import annotations

from pathlib import Path

from mobilebert_ja.card.figures import draw_figures
from mobilebert_ja.card.render import load_records, plain_table, relative_address, render_card
from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.common.files import require_folder, write_atomically
from mobilebert_ja.settings import CardSettings, parse_settings


@exit_on_user_error
def main() -> None:
    settings = parse_settings(CardSettings, __doc__)
    output = Path(str(settings.output_dir))
    folder = Path(settings.figures_dir) if settings.figures_dir else output / "figures"
    records = load_records(
        require_folder(str(settings.records_dir), "The stages of the road write their records there.")
    )
    drawn = draw_figures(records, folder)
    card = render_card(records, {name: relative_address(path, output) for name, path in drawn.items()})
    with write_atomically(output / "README.md") as stream:
        stream.write(card)
    print(plain_table(records))
    print(f"\n{output / 'README.md'} and {len(drawn)} figures in {folder}")


if __name__ == "__main__":
    main()
