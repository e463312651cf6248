"""The files of recipes/accelerate: what accelerate itself reads from them, and what the loop can do with it."""

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from helpers.paths import RECIPES

FOLDER = RECIPES / "accelerate"
EXPECTED = {"one_gpu": ("NO", 1), "eight_gpus": ("MULTI_GPU", 8), "fsdp2": ("FSDP", 8), "tpu": ("XLA", 8)}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_accelerate_reads_it(name):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))  # refuses keys that it does not know
    assert (str(config.distributed_type).removeprefix("DistributedType."), config.num_processes) == EXPECTED[name]
    assert config.mixed_precision == "bf16"  # never fp16: MobileBERT overflows in it


def test_no_file_is_untested():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(EXPECTED)
