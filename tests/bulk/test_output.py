"""An output file that a run which was killed at any moment goes on with, and what is refused."""

import json
import os

import pytest

from mobilebert_ja.bulk import output as parts
from mobilebert_ja.bulk.output import ResumableFile
from mobilebert_ja.common.errors import UserError

MADE_FROM = {"model": "a", "batch_size": 1}
TEXTS = [f"文{number}" for number in range(10)]


@pytest.fixture(autouse=True)
def noted_always(monkeypatch):
    monkeypatch.setattr(parts, "SECONDS_BETWEEN_NOTES", 0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


def answers(texts):
    return "".join(f'"{text}"\n' for text in texts).encode()


def begin(path, texts=TEXTS, made_from=MADE_FROM, overwrite=False):
    """A run that has passed over what is done, and the texts that are left for it."""
    left = iter(texts)
    return ResumableFile(path, made_from, left, overwrite), left


def killed_after(path, count, noted, torn=b'"torn', **options):
    """Leave what a run leaves that is killed after `count` texts, of which its last note knows `noted`."""
    run, left = begin(path, **options)
    done = [next(left) for _ in range(count)]
    run.write(done[:noted], answers(done[:noted]))
    run._stream.write(answers(done[noted:]) + torn)
    run._stream.close()


def finish(path, **options):
    run, left = begin(path, **options)
    begun_at = run.texts_done
    for text in left:
        run.write([text], answers([text]))
    run.finish()
    return begun_at


@pytest.mark.parametrize(("count", "noted"), [(0, 0), (1, 0), (5, 5), (7, 4), (10, 10)])
def test_a_killed_run_is_gone_on_with(path, count, noted):
    killed_after(path, count, noted)
    assert not path.exists()
    assert finish(path) == noted
    assert path.read_bytes() == answers(TEXTS) and os.listdir(path.parent) == [path.name]


def test_killed_again_and_again(path):
    for count in (2, 3, 0):
        killed_after(path, count, count)
    assert finish(path) == 5 and path.read_bytes() == answers(TEXTS)


def test_what_was_lost_with_the_power_is_done_anew(path):
    killed_after(path, 6, 6)
    os.truncate(f"{path}.partial", 10)
    assert finish(path) == 0 and path.read_bytes() == answers(TEXTS)
    path.unlink()
    killed_after(path, 6, 6)
    os.unlink(f"{path}.partial")
    assert finish(path) == 0 and path.read_bytes() == answers(TEXTS)


def test_output_that_is_there_is_replaced_only_if_that_is_asked_for(path):
    path.write_text("mine")
    with pytest.raises(UserError, match=r"answers\.jsonl exists; --overwrite replaces it"):
        begin(path)
    assert os.listdir(path.parent) == [path.name]
    killed_after(path, 3, 3, overwrite=True)
    assert path.read_text() == "mine"  # until there is something whole
    assert finish(path, overwrite=True) == 3 and path.read_bytes() == answers(TEXTS)


@pytest.mark.parametrize(
    ("made_from", "name"),
    [({"model": "b", "batch_size": 1}, "model"), ({"model": "a", "batch_size": 8}, "batch_size")],
)
def test_another_model_does_not_go_on(path, made_from, name):
    killed_after(path, 3, 3)
    with pytest.raises(UserError, match=rf"partial was begun with another {name}; --overwrite begins anew"):
        begin(path, made_from=made_from)
    assert finish(path, made_from=made_from, overwrite=True) == 0 and path.read_bytes() == answers(TEXTS)


@pytest.mark.parametrize("texts", [["other", *TEXTS[1:]], [*TEXTS[:2], "other"], TEXTS[:2], [], ["文0\n文1", *TEXTS]])
def test_other_texts_are_refused(path, texts):
    killed_after(path, 3, 3)
    before = (path.parent / "answers.jsonl.partial").read_bytes()
    with pytest.raises(UserError, match="holds answers to other texts than the first 3 of these"):
        begin(path, texts=texts)
    assert (path.parent / "answers.jsonl.partial").read_bytes() == before
    assert finish(path) == 3


def test_more_texts_behind_those_that_are_done_are_answered(path):
    killed_after(path, 3, 3)
    assert finish(path, texts=[*TEXTS, "more"]) == 3 and path.read_bytes() == answers([*TEXTS, "more"])


def test_two_runs_do_not_write_the_same_file(path):
    run, _ = begin(path)
    with pytest.raises(UserError, match="Another run is writing"):
        begin(path)
    run._stream.close()


@pytest.mark.parametrize("note", [None, "[]", json.dumps({"bytes": 3})])
def test_what_is_of_somebody_else_is_left_alone(path, note):
    (path.parent / "answers.jsonl.partial").write_text("mine")
    if note is not None:
        (path.parent / "answers.jsonl.partial.json").write_text(note)
    with pytest.raises(UserError, match=r"is not of predict\.py's making; move it"):
        begin(path)
    assert (path.parent / "answers.jsonl.partial").read_text() == "mine"


def test_no_place_for_a_file(tmp_path):
    with pytest.raises(UserError, match="is a folder; --output_file names a file"):
        begin(tmp_path)
    with pytest.raises(UserError, match="nowhere, where --output_file is to stand, is no folder"):
        begin(tmp_path / "nowhere" / "answers.jsonl")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path, overwrite):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "link"):
        with pytest.raises(UserError, match=f"{name} is a device or a pipe; leave --output_file out"):
            begin(tmp_path / name, overwrite=overwrite)
    assert (tmp_path / "pipe").is_fifo() and sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_link_to_another_disk_stays_and_what_it_leads_to_is_written(path, tmp_path):
    (tmp_path / "disk").mkdir()
    path.symlink_to(tmp_path / "disk" / "answers.jsonl")
    finish(path)
    assert path.is_symlink() and (tmp_path / "disk" / "answers.jsonl").read_bytes() == answers(TEXTS)
    assert sorted(os.listdir(tmp_path)) == ["answers.jsonl", "disk"] and os.listdir(tmp_path / "disk") == [path.name]
