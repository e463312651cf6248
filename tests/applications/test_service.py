"""What the service refuses, and that one request's many texts do not keep another waiting; without a model."""

import dataclasses
import importlib
import json
import sys
import threading

import pytest
from fastapi.testclient import TestClient

from mobilebert_ja import runtime


@dataclasses.dataclass(frozen=True)
class Echo:
    label: str


class Slow:
    """Answers each text with itself, the first of them only once it may."""

    def __init__(self):
        self.may_go_on, self.asked = threading.Event(), []
        self.may_go_on.set()

    def predict_one(self, text):
        self.asked.append(text)
        self.may_go_on.wait(60)
        return Echo(text)


@pytest.fixture
def model(monkeypatch):
    made = Slow()
    monkeypatch.setattr(runtime, "load", lambda _folder: made)
    monkeypatch.setattr("mobilebert_ja.common.processor.cpu_quota", lambda: 1.0)  # of a container on a larger machine
    monkeypatch.delitem(sys.modules, "service", raising=False)
    return made


@pytest.fixture
def client(model):
    with TestClient(importlib.import_module("service").app, raise_server_exceptions=False) as client:
        yield client


def post(client, body):
    return client.post("/predict", content=body, headers={"Content-Type": "application/json"})


def test_the_longest_that_is_allowed_is_answered(client):
    given = ["長" * 2000, "…" * 1333, "か" + "\u0301\u0327" * 900] + ["短"] * 29
    assert post(client, json.dumps({"texts": given}, ensure_ascii=False).encode()).json() == [
        {"label": text} for text in given
    ]


TOO_MUCH = {"too long a text": json.dumps({"texts": ["短", "長" * 2001]}).encode(), "too long a body": b" " * 65537}


@pytest.mark.parametrize("body", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_too_much_is_413_before_any_work(client, model, body):
    answer = post(client, body)
    assert (answer.status_code, model.asked) == (413, [])
    assert "at most" in answer.json()["detail"]


@pytest.mark.parametrize("size", ["9" * 5000, "-1", "many", "65537"], ids=len)
def test_a_size_that_is_none_is_413(client, size):
    answer = client.post("/predict", content=b"{}", headers={"Content-Length": size})
    assert answer.status_code == 413 and "Content-Length of at most 65536 bytes" in answer.json()["detail"]


BROKEN = {
    "half a character": rb'{"texts": ["\ud800"]}',
    "half a character in a key": rb'{"texts": ["a"], "\udfff": 1}',
    "not a number": b'{"texts": [NaN]}',
    "infinite": b'{"texts": [1e999]}',
    "many digits": b'{"texts": [' + b"1" * 5000 + b"]}",
    "no JSON": b"{not json",
    "no UTF-8": b'{"texts": ["\xff"]}',
    "deep": b"[" * 60_000,
    "nothing": b"",
    "null": b"null",
    "no text": b'{"texts": []}',
    "33 texts": json.dumps({"texts": ["a"] * 33}).encode(),
    "thousands of keys": json.dumps({str(key): 0 for key in range(5000)}).encode(),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_no_question_is_422(client, model, body):
    answer = post(client, body)
    assert (answer.status_code, model.asked) == (422, [])
    assert isinstance(answer.json()["detail"], str)


def test_as_many_texts_at_a_time_as_the_container_has_cores(client):
    assert sys.modules["service"].cores._value == 1


def test_a_request_of_many_texts_does_not_keep_one_of_one_text_waiting(client, model):
    model.may_go_on.clear()
    many = threading.Thread(target=post, args=(client, json.dumps({"texts": ["many"] * 30}).encode()))
    one = threading.Thread(target=post, args=(client, json.dumps({"texts": ["one"]}).encode()))
    many.start()
    while not model.asked:
        many.join(0.01)
    one.start()
    while not sys.modules["service"].cores._waiters:  # until it is in line
        one.join(0.01)
    model.may_go_on.set()
    many.join()
    one.join()
    assert model.asked.index("one") <= 2
