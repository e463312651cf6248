"""Render the model card, the report and their figures from records, and print the benchmark table.

    python scripts/render_card.py --config recipes/tiny.yaml
    python scripts/render_card.py --records_dir records --output_dir . --figures_dir records/figures \\
        --report_file records/README.md --guide_file scripts/README.md

The first writes WORK_DIR/card, the second the repository's own README.md and records/README.md, and the scores in the
table of scripts/README.md. What no record tells shows as 未測定.
"""

from __future__ import annotations

from pathlib import Path

from mobilebert_ja.card.figures import draw_figures
from mobilebert_ja.card.render import Page, load_records, relative_address, render_card, render_report, with_table
from mobilebert_ja.card.tables.speed import plain_table
from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.common.files import require_file, require_folder, write_atomically
from mobilebert_ja.settings import CardSettings, parse_settings


@exit_on_user_error
def main() -> None:
    settings = parse_settings(CardSettings, __doc__)
    output = Path(str(settings.output_dir))
    folder = Path(settings.figures_dir) if settings.figures_dir else output / "figures"
    card = output / "README.md"
    report = Path(settings.report_file) if settings.report_file else output / "report.md"
    records = load_records(
        require_folder(str(settings.records_dir), "The stages of the road write their records there.")
    )
    drawn = draw_figures(records, folder)
    for path, other, render in ((card, report, render_card), (report, card, render_report)):
        page = Page(
            figures={name: relative_address(figure, path.parent) for name, figure in drawn.items()},
            root=relative_address(output, path.parent),
            other=relative_address(other, path.parent),
        )
        with write_atomically(path) as stream:
            stream.write(render(records, page))
    if settings.guide_file:
        guide = require_file(settings.guide_file)
        text = with_table(guide.read_text(encoding="utf-8"), records, settings.guide_file)
        with write_atomically(guide) as stream:
            stream.write(text)
    print(plain_table(records))
    print(f"\n{card}, {report} and {len(drawn)} figures in {folder}")


if __name__ == "__main__":
    main()
