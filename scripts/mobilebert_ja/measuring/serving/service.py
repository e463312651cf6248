"""Requests per second of the HTTP service of examples/service.py, its 99th percentile, and that nothing is lost.

    python scripts/measure.py service --model_folder work/compressed/livedoor/fast --data_dir DATA

Starts the service in a process of its own on loopback and asks it from several clients at a time, each with one title
(or sentence) per request and a connection that is kept. Every answer is compared with what the runtime says by itself.
Service and clients share the machine's cores. Writes WORK_DIR/service_load.

    python scripts/measure.py service --clients 2 --hostile_clients 5 --seconds 300 --repetitions 1

takes turns between rounds of ordinary requests alone and rounds beside clients that send others: of the longest texts
allowed, such as cost most, too long and broken ones, and halves of requests. Counts what comes back, by status, and
writes WORK_DIR/service_mixture. On a processor without VNNI the folders are service_load-avx2, service_mixture-avx2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.measuring.runs import of_a_public_task
from mobilebert_ja.measuring.serving.hostile_requests import HostileRequest, Tally, hostile_client, hostile_requests
from mobilebert_ja.measuring.turns import take_turns
from mobilebert_ja.plans import timing_stage
from mobilebert_ja.road import SCRIPTS
from mobilebert_ja.runtime import Answerer, load
from mobilebert_ja.settings import ServiceLoadSettings, parse_settings, whole_numbers
from mobilebert_ja.tasks import load_task

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


def measure_mixture(
    port: int, clients: int, hostile_clients: int, seconds: float, texts: list[str], answerer: Answerer
) -> dict[str, Any]:
    """`measure`, beside clients that send other requests; what came back to these is under "hostile"."""
    tally, requests = Tally(), hostile_requests(texts)
    wanted = {request.kind: answers(answerer, request.texts) for request in requests}

    def is_right(request: HostileRequest, content: bytes) -> bool:
        return [answer_of(each) for each in json.loads(content)] == wanted[request.kind]

    expected = answers(answerer, texts)
    until = time.perf_counter() + seconds
    threads = [
        threading.Thread(
            target=hostile_client, args=(port, requests[first:] + requests[:first], is_right, until, tally)
        )
        for first in (client % len(requests) for client in range(hostile_clients))
    ]
    for thread in threads:
        thread.start()
    try:
        measured = measure(port, clients, seconds, texts, expected)
    finally:
        for thread in threads:
            thread.join()
    return measured | {"hostile_clients": hostile_clients, "hostile": tally.facts()}


def answers(answerer: Answerer, texts: Sequence[str]) -> list[Any]:
    """What the service must say, for `answer_of`."""
    return [answer_of(dataclasses.asdict(answer)) for answer in answerer.predict(texts)]


def main() -> None:
    settings = parse_settings(ServiceLoadSettings, __doc__, section="")
    folder, facts = of_a_public_task(str(settings.model_folder))
    counts = whole_numbers("clients", settings.clients)
    hostile = settings.hostile_clients
    record = "service_mixture" if hostile else "service_load"
    stage = timing_stage(record, settings, {"model_folder": folder}, Path(settings.work_dir) / record)
    if stage.is_done(settings.overwrite):
        return
    task = load_task(facts["task"], resolve_data_dir(settings), 0)
    texts = [example.text for example in task.test]
    answerer = load(folder)
    expected = answers(answerer, texts)
    stage.begin()
    with running_service(folder) as port:
        measure(port, max(counts), min(2.0, settings.seconds), texts, expected)  # warm

        def with_clients(count: int, others: int) -> Callable[[int], dict[str, Any]]:
            if others:
                return lambda _round: measure_mixture(port, count, others, settings.seconds, texts, answerer)
            return lambda _round: measure(port, count, settings.seconds, texts, expected)

        contenders = [(count, others) for count in counts for others in ((0, hostile) if hostile else (0,))]
        measured = take_turns({each: with_clients(*each) for each in contenders}, settings.repetitions)
    rounds = [each for of_one_round in zip(*measured.values(), strict=True) for each in of_one_round]
    stage.finish({"task": facts["task"], "treatment": facts.get("treatment"), "rounds": rounds})
    for each in rounds:
        beside = f" beside {each['hostile_clients']} hostile ones" if "hostile" in each else ""
        print(
            f"{each['clients']} clients{beside}: {each['requests_per_second']:,.0f} requests/s, "
            f"median {each['median_ms']} ms, 99th percentile {each['p99_ms']} ms, "
            f"{each['wrong_or_lost']} of {each['requests']:,} wrong or lost"
        )
        if beside:
            others = each["hostile"]
            shown = ", ".join(f"{count:,} times {status}" for status, count in others["statuses"].items())
            print(f"  to the hostile ones: {shown}; {others['wrong_or_lost']} of {others['requests']:,} wrong or lost")
