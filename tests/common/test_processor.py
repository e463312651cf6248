"""What is told of the processor, and what records of int8 timings are called on either kind."""

import pytest

from helpers.running.processors import WITH_VNNI, WITHOUT_VNNI, pretend
from mobilebert_ja.common import processor
from mobilebert_ja.common.records import hardware


@pytest.mark.parametrize(
    ("flags", "vnni", "name"),
    [
        (WITH_VNNI, True, "speed_ner"),
        ("avx2 avx_vnni", True, "speed_ner"),
        (WITHOUT_VNNI, False, "speed_ner_avx2"),
        ("avx2 avx512f avx512_bf16", False, "speed_ner_avx2"),
    ],
)
def test_the_name_of_a_record_tells_the_kind_of_processor(tmp_path, monkeypatch, flags, vnni, name):
    pretend(monkeypatch, tmp_path, flags)
    facts = hardware()
    assert facts["processor"] == "A Processor @ 2 GHz" and facts["instructions"] == sorted(flags.split())
    assert processor.has_vnni(facts) is vnni
    assert processor.by_processor("speed_ner") == processor.by_processor("speed_ner", facts) == name


def test_an_unknown_processor_has_the_plain_name(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "none")
    assert processor.described() == {} and processor.has_vnni(hardware()) is None
    assert hardware()["processor"] == hardware()["machine"]  # something to call it by
    assert processor.by_processor("speed_ner") == "speed_ner"
