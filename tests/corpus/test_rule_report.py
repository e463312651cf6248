"""Reports of parts merge to the report of the whole."""

from mobilebert_ja.corpus.rule_report import EXAMPLES, RuleReport


def test_merged_parts_are_the_whole(tmp_path):
    whole, parts = RuleReport(), [RuleReport() for _ in range(3)]
    for number in range(200):
        for report in (whole, parts[number % 3]):
            report.add(
                "short" if number % 2 else "long", f"文{number % 50}", removed=number % 2, became=f"後{number % 50}"
            )
    merged = RuleReport()
    for number, part in enumerate(parts):
        part.save(tmp_path / f"{number}.json")
        merged.merge(RuleReport.load(tmp_path / f"{number}.json"))
    assert merged.rules() == whole.rules()
    assert {entry["rule"]: entry["count"] for entry in whole.rules()} == {"short": 100, "long": 100}
    assert {entry["rule"]: entry["removed_sentences"] for entry in whole.rules()} == {"short": 100, "long": 0}
    for entry in whole.rules():
        texts = [example["text"] for example in entry["examples"]]
        assert len(texts) == len(set(texts)) == EXAMPLES
        assert all(example["became"] == example["text"].replace("文", "後") for example in entry["examples"])
