"""Walk the whole road of a recipe, from raw text to the rendered card.

    python scripts/reproduce.py --config recipes/tiny.yaml
    python scripts/reproduce.py --config recipes/cpu.yaml --data_dir DATA --work_dir work/cpu

Started again, it goes on where it stopped: finished stages are passed over, an interrupted one resumes. With --seed,
sections that have a seed of their own keep their distance from the recipe's.
"""

from __future__ import annotations

import resource
import time

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.road import walk
from mobilebert_ja.settings import StageSettings, load_recipe, parse_settings


@exit_on_user_error
def main() -> None:
    settings = parse_settings(StageSettings, __doc__, section="")
    if settings.config is None:
        raise UserError("--config names the recipe, for example recipes/tiny.yaml.")
    flags = {"work_dir": settings.work_dir, "records_dir": str(settings.records_dir)}
    if settings.data_dir is not None:
        flags["data_dir"] = settings.data_dir
    if settings.overwrite:
        flags["overwrite"] = "true"
    if settings.seed != int(load_recipe(settings.config).get("seed", 0)):
        flags["seed"] = str(settings.seed)
    started = time.monotonic()
    if not walk(settings.config, flags):
        print("\nEverything was there already.")
        return
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\nThe whole road took {time.monotonic() - started:.0f} s; peak memory of a process {peak:.2f} GiB.")


if __name__ == "__main__":
    main()
