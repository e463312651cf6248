"""The examples as they stand: the notebook executed from top to bottom, the service asked over HTTP."""

import http.client
import http.server
import itertools
import json
import re
import threading
from collections import Counter
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import ClassVar

import nbformat
import pytest
from nbclient import NotebookClient

import compress
from helpers.models.families import make_family
from helpers.models.fast_models import write_data, write_finetuned
from helpers.paths import ROOT
from helpers.running.measurements import run_measurement
from helpers.running.processes import call_entry
from helpers.running.processors import timings_in
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.processor import by_processor
from mobilebert_ja.common.text.normalization import nfkc
from mobilebert_ja.measuring.serving.hostile_requests import LARGEST, LONGEST, HostileRequest, hostile_requests
from mobilebert_ja.measuring.serving.service import measure, measure_mixture, running_service
from mobilebert_ja.runtime import ClassAnswer, load

SERVICE = ROOT / "examples" / "service.py"
NOTEBOOK = ROOT / "examples" / "own_classifier.ipynb"


@pytest.mark.slow
def test_notebook_runs_as_it_stands(monkeypatch, tmp_path):
    """All but the name of the large model, which nobody has without a network: a tiny one of its family; and what is
    taught by it makes one pass over the texts instead of three, which the first fine-tuning makes as it stands."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # The kernel is this Python, whatever kernels are registered on the machine.
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = [each for each in notebook.cells if each.source.startswith('LARGE = ""')]
    cell.source = cell.source.replace('LARGE = ""', f"LARGE = {str(make_family('e5', tmp_path / 'large'))!r}", 1)
    assert cell.source.count('"--num_train_epochs", 3') == 1
    cell.source = cell.source.replace('"--num_train_epochs", 3', '"--num_train_epochs", 1')
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    client.execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    assert "正解率" in printed and "信頼区間" in printed and "1文" in printed
    assert "良い(" in printed or "悪い(" in printed
    record = read_json(ROOT / "work" / "notebook" / "finetuned" / "classification" / "record.json")
    assert record["metrics"]["mean"] > 0.6  # opinions of four kinds of ending: a coin would have a half
    taught = read_json(ROOT / "work" / "notebook" / "finetuned" / "classification-silver" / "record.json")
    assert taught["settings"]["teacher"] == f"svm,{ROOT / 'work' / 'notebook' / 'large'}"
    assert taught["metrics"]["silver"]["learned"] > 0 and taught["metrics"]["mean"] > 0.6 and "B - A" in printed


def test_notebook_shows_what_the_scripts_warn_of(monkeypatch, capsys):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cell = next(each for each in notebook.cells if "def run(" in each.source)
    monkeypatch.chdir(NOTEBOOK.parent)
    told: dict = {}
    exec(cell.source, told)
    said = CompletedProcess([], 0, "the score", "texts: 50%\rtexts: 100%\nwarning: 2 texts are cut\n")
    told["subprocess"] = SimpleNamespace(run=lambda *_command, **_options: said)
    told["run"]("finetune.py")
    assert capsys.readouterr().out == "the score\nwarning: 2 texts are cut\n"


def test_notebook_is_committed_without_output():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook["cells"])


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    data = write_data(folder / "data")
    for task in ("livedoor", "ner"):
        write_finetuned(folder, data, task, [0])
        done = call_entry(compress, "--work_dir", folder, "--data_dir", data, "--task", task)
        assert done.returncode == 0, done.stderr
    return folder


def post(port: int, body: bytes, **headers: str) -> tuple[int, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"} | headers)
    response = connection.getresponse()
    content = json.loads(response.read() or b"null")
    connection.close()
    return response.status, content


def chunked(port: int, body: bytes, **headers: str) -> tuple[int, bytes]:
    """A body in chunks, which says its size nowhere."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.putrequest("POST", "/predict")
    for name, value in ({"Content-Type": "application/json", "Transfer-Encoding": "chunked"} | headers).items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders([body], encode_chunked=True)
    response = connection.getresponse()
    status, content = response.status, response.read()
    connection.close()
    return status, content


@pytest.mark.slow
def test_service_answers_and_refuses(work):
    folder = work / "compressed" / "ner" / "onnx"
    texts = ["田中太郎は京都市に住む。", "昨日は大阪府で雨が降った。"]
    with running_service(folder) as port:
        status, content = post(port, json.dumps({"texts": texts}).encode())
        assert status == 200
        expected = load(folder).predict(texts)
        assert [[each["text"] for each in one["entities"]] for one in content] == [
            [entity.text for entity in one.entities] for one in expected
        ]
        assert post(port, b"{not json")[0] == 422
        assert post(port, json.dumps({"texts": []}).encode())[0] == 422
        assert post(port, json.dumps({"texts": ["a"] * 33}).encode())[0] == 422
        assert post(port, json.dumps({"texts": ["長" * 2001]}).encode())[0] == 413
        assert post(port, json.dumps({"texts": [3]}).encode())[0] == 422
        assert post(port, json.dumps({"text": "a"}).encode())[0] == 422
        assert post(port, b" " * 70_000)[0] == 413
        body = json.dumps({"texts": texts}).encode()
        assert chunked(port, body)[0] == 413  # whatever its size: it says none
        assert chunked(port, body, Content_Length="9")[0] in (400, 413)  # nor is a false size believed
        found = measure_mixture(port, 1, 3, 2.0, texts, load(folder))
        assert found["wrong_or_lost"] == found["hostile"]["wrong_or_lost"] == 0 < found["requests"]
        assert set(found["hostile"]["statuses"]) <= {"200", "413", "422"}
        assert post(port, json.dumps({"texts": texts}).encode())[0] == 200  # still there


class Unreliable(http.server.BaseHTTPRequestHandler):
    """Answers "yes", but of each seven requests drops one, breaks off one, answers one with an error, one with no
    JSON, one with JSON of another form and one wrongly."""

    protocol_version = "HTTP/1.1"
    asked = itertools.count()
    lost: ClassVar[list[int]] = []

    def log_message(self, *_args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        kind = next(self.asked) % 7
        if kind:
            self.lost.append(kind)
        if kind == 1:
            self.close_connection = True
            return
        body = {4: b"{not json", 5: b"[]", 6: b'[{"label": "no"}]'}.get(kind, b'[{"label": "yes"}]')
        self.send_response(500 if kind == 3 else 200)
        self.send_header("Content-Length", str(len(body) + 100 * (kind == 2)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = kind == 2


def test_what_is_lost_is_counted():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unreliable)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        found = measure(server.server_port, 2, 1.0, ["a", "b"], ["yes", "yes"])
    finally:
        server.shutdown()
        server.server_close()
    assert set(Unreliable.lost) == {1, 2, 3, 4, 5, 6}
    assert found["wrong_or_lost"] == len(Unreliable.lost) < found["requests"] == next(Unreliable.asked)
    # Nobody listens there any more.
    with pytest.raises(UserError, match="no right answer to"):
        measure(server.server_port, 1, 0.2, ["a"], ["yes"])


TEXTS = ["題名", "見出し"]
HOSTILE = hostile_requests(TEXTS)


class Faulty(http.server.BaseHTTPRequestHandler):
    """Answers as it should, but for four kinds of requests; says nothing of half a request."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[Counter[str]] = Counter()

    def log_message(self, *_args: object) -> None:
        pass

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        body = self.rfile.read(size)
        if len(body) < size:
            self.asked["half"] += 1
            return
        request = next((each for each in HOSTILE if each.body == body), HostileRequest("ordinary", body, 200, ("a",)))
        self.asked[request.kind] += 1
        if request.kind == "no text":
            self.close_connection = True
            return
        status = {"deep": 500, "empty": 200}.get(request.kind, request.status)
        label = "no" if request.kind == "longest" else "yes"
        content = json.dumps([{"label": label} for _ in request.texts]).encode() if status == 200 else b"no JSON"
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def test_what_comes_back_to_hostile_clients_is_counted():
    answerer = SimpleNamespace(predict=lambda texts: [ClassAnswer("yes", 1.0, {}, False) for _ in texts])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        found = measure_mixture(server.server_port, 1, 2, 2.0, TEXTS, answerer)
    finally:
        server.shutdown()
        server.server_close()
    hostile, asked = found["hostile"], Faulty.asked
    assert (found["wrong_or_lost"], found["requests"]) == (0, asked["ordinary"])
    kinds = {each.kind: asked[each.kind] for each in HOSTILE}
    assert hostile["requests_by_kind"] == dict(sorted(kinds.items())) and min(kinds.values()) > 0
    faults = {"no text", "deep", "empty", "longest"}
    assert hostile["wrong_or_lost_by_kind"] == {kind: kinds[kind] for kind in kinds if kind in faults}
    assert hostile["wrong_or_lost"] == sum(kinds[kind] for kind in faults) < hostile["requests"] == sum(kinds.values())
    lost = {"RemoteDisconnected": kinds["no text"], "500": kinds["deep"]}
    assert {status: hostile["statuses"][status] for status in lost} == lost
    assert hostile["broken_off"] >= asked["half"] > 0


def test_hostile_requests_are_what_they_are_called():
    for request in HOSTILE:
        assert (request.status == 200) == bool(request.texts)
        assert len(request.body) <= LARGEST or request.kind == "too large"
        assert all(len(text) <= LONGEST and len(nfkc(text)) <= 2 * LONGEST for text in request.texts)
    told = dict(re.findall(r"^(LARGEST|LONGEST) = (.+?) +#", SERVICE.read_text(encoding="utf-8"), re.MULTILINE))
    assert told == {"LARGEST": "64 * 1024", "LONGEST": "2000"} and (LARGEST, LONGEST) == (64 * 1024, 2000)


@pytest.mark.slow
def test_load_is_measured_and_nothing_is_lost(work, capsys):
    flags = ("--seconds", "1", "--repetitions", "1")
    places = {"work": work, "data": work / "data"}
    done = run_measurement(capsys, "service", "--clients", "1,3", *flags, **places)
    assert done.status == 0, done.err
    rounds = read_json(work / "records" / f"{by_processor('service_load')}.json")["metrics"]["rounds"]
    assert [each["clients"] for each in rounds] == [1, 3]
    for each in rounds:
        assert each["requests"] > 0 and each["wrong_or_lost"] == 0 and each["p99_ms"] >= each["median_ms"] > 0
    assert "0 of" in done.out
    done = run_measurement(capsys, "service", *flags, "--clients", 1, "--hostile_clients", 2, **places)
    assert done.status == 0, done.err
    alone, beside = read_json(timings_in(work / "service_mixture") / "record.json")["metrics"]["rounds"]
    assert "hostile" not in alone and set(beside["hostile"]["statuses"]) <= {"200", "413", "422"}
    assert alone["wrong_or_lost"] == beside["wrong_or_lost"] == beside["hostile"]["wrong_or_lost"] == 0
    assert "1 clients beside 2 hostile ones:" in done.out and "to the hostile ones:" in done.out
    refused = run_measurement(capsys, "service", "--clients", "none", **places)
    assert "--clients takes whole numbers" in refused.error
