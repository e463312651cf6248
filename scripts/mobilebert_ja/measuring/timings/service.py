"""Requests per second of the HTTP service of examples/service.py, its 99th percentile, and that nothing is lost.

    python scripts/measure.py service --model_folder work/compressed/livedoor/fast --data_dir DATA

Starts the service in a process of its own on loopback and asks it from several clients at a time, each with one title
(or sentence) per request and a connection that is kept. Every answer is compared with what the runtime says by itself.
Service and clients share the machine's cores. Writes WORK_DIR/service_load.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.inference.folder import ONNX, read_facts
from mobilebert_ja.measuring.turns import take_turns
from mobilebert_ja.plans import stage_of
from mobilebert_ja.road import SCRIPTS
from mobilebert_ja.runtime import ClassAnswer, load
from mobilebert_ja.settings import ServiceLoadSettings, parse_settings, whole_numbers
from mobilebert_ja.tasks import PUBLIC_TASKS, load_task

EXAMPLES = SCRIPTS.parent / "examples"
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running_service(model_folder: Path) -> Iterator[int]:
    """The service on a port of loopback, for as long as the block lasts. Raises `UserError` if it does not start."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "warning", "service:app"], env=os.environ | {"MODEL": str(model_folder.resolve())}
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise UserError("The service did not start; requirements-demo.txt names what it needs.")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, Any]:
    """Status and content of one answer."""
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def client(port: int, texts: list[str], expected: list[Any], until: float, results: list[tuple[float, bool]]) -> None:
    """Ask for one text after another until `until`; notes the seconds of each and whether the right answer came.

    A dropped connection or an answer that cannot be read counts as not right; the next request connects anew.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    index = 0
    while time.perf_counter() < until:
        text, wanted = texts[index % len(texts)], expected[index % len(texts)]
        begun = time.perf_counter()
        try:
            status, content = ask(connection, json.dumps({"texts": [text]}).encode())
            right = status == 200 and answer_of(content[0]) == wanted
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
            right = False
            connection.close()
            time.sleep(0.01)  # a service that is gone is not asked without pause
        results.append((time.perf_counter() - begun, right))
        index += 1
    connection.close()


def answer_of(content: dict[str, Any]) -> Any:
    """What is compared: a class, or the entities with their positions."""
    return content["label"] if "label" in content else content["entities"]


def measure(port: int, clients: int, seconds: float, texts: list[str], expected: list[Any]) -> dict[str, Any]:
    """One round with a number of clients at a time. Times and rate are those of right answers.

    Raises `UserError` if there was none.
    """
    results: list[list[tuple[float, bool]]] = [[] for _ in range(clients)]
    begun = time.perf_counter()
    threads = [
        threading.Thread(target=client, args=(port, texts[n:], expected[n:], begun + seconds, results[n]))
        for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    each = [one for of_client in results for one in of_client]
    times = 1000 * np.array([seconds for seconds, right in each if right])
    if not len(times):
        raise UserError(f"The service gave no right answer to {len(each)} requests.")
    return {
        "clients": clients,
        "requests": len(each),
        "requests_per_second": round(len(times) / took, 1),
        "median_ms": round(float(np.median(times)), 2),
        "p99_ms": round(float(np.percentile(times, 99)), 2),
        "wrong_or_lost": len(each) - len(times),
    }


def main() -> None:
    settings = parse_settings(ServiceLoadSettings, __doc__, section="")
    folder = Path(str(settings.model_folder))
    facts = read_facts(folder, ONNX)
    counts = whole_numbers("clients", settings.clients)
    if facts["task"] not in PUBLIC_TASKS:
        raise UserError(f"{folder} is of the task {facts['task']}; the load is made of the public tasks' test parts.")
    stage = stage_of("service_load", settings, {"model_folder": folder})
    if stage.is_done(settings.overwrite):
        return
    task = load_task(facts["task"], resolve_data_dir(settings), 0)
    texts = [example.text for example in task.test]
    answerer = load(folder)
    expected = [
        answer.label if isinstance(answer, ClassAnswer) else [vars(entity) for entity in answer.entities]
        for answer in answerer.predict(texts)
    ]
    stage.begin()
    with running_service(folder) as port:
        measure(port, max(counts), min(2.0, settings.seconds), texts, expected)  # warm

        def with_clients(count: int) -> Callable[[int], dict[str, Any]]:
            return lambda _round: measure(port, count, settings.seconds, texts, expected)

        measured = take_turns({count: with_clients(count) for count in counts}, settings.repetitions)
    rounds = [each for of_one_round in zip(*measured.values(), strict=True) for each in of_one_round]
    stage.finish({"task": facts["task"], "recipe": facts.get("recipe"), "rounds": rounds})
    for each in rounds:
        print(
            f"{each['clients']} clients: {each['requests_per_second']:,.0f} requests/s, "
            f"median {each['median_ms']} ms, 99th percentile {each['p99_ms']} ms, "
            f"{each['wrong_or_lost']} of {each['requests']:,} wrong or lost"
        )
