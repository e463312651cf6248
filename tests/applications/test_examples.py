"""The examples as they stand: the notebook executed from top to bottom, the service asked over HTTP."""

import http.client
import http.server
import itertools
import json
import threading
from typing import ClassVar

import nbformat
import pytest
from nbclient import NotebookClient

import compress
from helpers.fast_models import run_script, write_data, write_finetuned
from helpers.paths import ROOT
from helpers.processes import call_entry
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.measuring.timings.service import measure, running_service
from mobilebert_ja.runtime import load

NOTEBOOK = ROOT / "examples" / "own_classifier.ipynb"


@pytest.mark.slow
def test_notebook_runs_as_it_stands(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # The kernel is this Python, whatever kernels are registered on the machine.
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
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


@pytest.mark.slow
def test_load_is_measured_and_nothing_is_lost(work):
    done = run_script(
        "measure.py service", work, work / "data", "--clients", "1,3", "--seconds", "1", "--repetitions", "1"
    )
    assert done.returncode == 0, done.stderr
    rounds = read_json(work / "records" / "service_load.json")["metrics"]["rounds"]
    assert [each["clients"] for each in rounds] == [1, 3]
    for each in rounds:
        assert each["requests"] > 0 and each["wrong_or_lost"] == 0 and each["p99_ms"] >= each["median_ms"] > 0
    assert "0 of" in done.stdout
    refused = run_script("measure.py service", work, work / "data", "--clients", "none")
    assert refused.returncode == 1 and "--clients takes whole numbers" in refused.stderr
