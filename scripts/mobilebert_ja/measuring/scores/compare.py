"""Whether two models' answers to the same test part differ by more than chance. Times nothing.

    python scripts/measure.py compare A/predictions-seed-0.json B/predictions-seed-0.json [--record comparison_ner]

Prints the difference of the scores, its interval and its p value, and keeps them as RECORDS_DIR/comparison_ner.json if
asked to.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mobilebert_ja.common.errors import Parser, UserError, warn
from mobilebert_ja.common.files import write_json
from mobilebert_ja.common.records import circumstances, command_and_time, fingerprint
from mobilebert_ja.measuring.runs import require_free_record
from mobilebert_ja.tasks.intervals import FEW_ITEMS, RESAMPLES, compare, read_answers


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("first", type=Path, help="predictions-seed-N.json of one model")
    parser.add_argument("second", type=Path, help="the same of another model, over the same test part")
    parser.add_argument(
        "--resamples", type=int, default=10 * RESAMPLES, help="draws of the bootstrap (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: %(default)s)")
    parser.add_argument("--record", help="name of a record that keeps the result, for example comparison_ner")
    parser.add_argument("--records_dir", type=Path, default=Path("work/records"), help="folder of that record")
    options = parser.parse_args()
    if options.resamples < 1 or options.seed < 0:
        raise UserError("--resamples must be at least 1 and --seed at least 0.")
    require_free_record(options.record, options.records_dir)
    found = compare(read_answers(options.first), read_answers(options.second), options.resamples, options.seed)
    low, high = found["interval"]
    print(f"{found['metric']} over {found['items']} test items")
    print(f"  A  {found['scores']['first']:.2%}  {options.first}")
    print(f"  B  {found['scores']['second']:.2%}  {options.second}")
    print(f"  B - A  {100 * found['difference']:+.2f} points, 95 % interval [{100 * low:+.2f}, {100 * high:+.2f}]")
    if "only_first" in found:
        print(f"  right in A alone {found['only_first']}, in B alone {found['only_second']}")
    print(f"  p = {found['p']:.2g} ({found['test']}, two-sided)")
    if found["items"] < FEW_ITEMS:
        warn(f"{found['items']} test items are too few for a bootstrap; its interval is too narrow")
    if options.record is not None:
        paths = {"first": options.first, "second": options.second}
        record = {
            "stage": options.record,
            **command_and_time(),
            "settings": {"resamples": options.resamples, "seed": options.seed},
            "inputs": {name: fingerprint(path) for name, path in paths.items()},
            "metrics": found | {name: str(path) for name, path in paths.items()},
            **circumstances(),
        }
        write_json(options.records_dir / f"{options.record}.json", record)
