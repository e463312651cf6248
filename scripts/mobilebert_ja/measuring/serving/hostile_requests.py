"""Requests that a service must bear beside ordinary ones: the longest that are allowed, those that cost most, what is
too much and what is broken; and clients that send them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

LONGEST = 2000  # characters of a text, and
LARGEST = 64 * 1024  # bytes of a request, that examples/service.py takes
_PATIENCE = 300  # seconds that an answer may take


@dataclass(frozen=True)
class HostileRequest:
    """A request and the answer it should have.

    Attributes:
        texts: what the body asks, if it is allowed; its answers are compared.
    """

    kind: str
    body: bytes
    status: int
    texts: tuple[str, ...] = ()


def _question(texts: Sequence[str]) -> bytes:
    return json.dumps({"texts": list(texts)}, ensure_ascii=False).encode()


def hostile_requests(ordinary: Sequence[str]) -> list[HostileRequest]:
    """One of each sort.

    Args:
        ordinary: texts of which the longest ones are put together.
    """
    prose = "".join(ordinary)
    prose *= -(-10 * LONGEST // len(prose))
    costly = [
        "か" + "\u0301\u0327\u0323\u1dce" * (LONGEST // 4 - 1),  # marks that are not in their order
        "カ" * LONGEST,  # MeCab takes the square of a run of one kind
        "a1" * (LONGEST // 2),
        "㌖" * (LONGEST // 3),  # six characters each after NFKC
        "\0\u2028" * (LONGEST // 2),
    ]
    allowed = {
        "longest": [prose[start : start + LONGEST] for start in range(0, 10 * LONGEST, LONGEST)],
        "most texts": [prose[start : start + 20] for start in range(0, 32 * 20, 20)],
    } | {f"costly {number}": [text] for number, text in enumerate(costly, start=1)}
    too_much = {
        "a character too long": _question(["短", "長" * (LONGEST + 1)]),
        "too long after NFKC": _question(["ﷺ" * LONGEST]),
        "too large": b" " * (LARGEST + 1),
    }
    broken = {
        "no JSON": b"{not json",
        "no UTF-8": b'{"texts": ["\xff"]}',
        "half a character": rb'{"texts": ["\ud800"]}',
        "deep": b"[" * 60_000,
        "no text": _question([]),
        "too many texts": _question(["a"] * 33),
        "a number": b'{"texts": [1e999]}',
        "empty": b"",
    }
    return [
        *(HostileRequest(kind, _question(texts), 200, tuple(texts)) for kind, texts in allowed.items()),
        *(HostileRequest(kind, body, 413) for kind, body in too_much.items()),
        *(HostileRequest(kind, body, 422) for kind, body in broken.items()),
    ]


@dataclass
class Tally:
    """What came back, counted by kind of request: statuses, and what was wrong or did not come at all."""

    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: Counter[str] = field(default_factory=Counter)
    broken_off: int = 0  # requests of which half was sent; nothing answers them
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, status: str, right: bool) -> None:
        with self._lock:
            self.statuses[kind][status] += 1
            self.wrong[kind] += not right

    def note_broken_off(self) -> None:
        with self._lock:
            self.broken_off += 1

    def facts(self) -> dict[str, Any]:
        """For a record."""
        total: Counter[str] = Counter()
        for each in self.statuses.values():
            total += each
        return {
            "requests": total.total(),
            "statuses": dict(sorted(total.items())),
            "wrong_or_lost": self.wrong.total(),
            "wrong_or_lost_by_kind": {kind: count for kind, count in self.wrong.items() if count},
            "broken_off": self.broken_off,
            "requests_by_kind": {kind: each.total() for kind, each in sorted(self.statuses.items())},
        }


def break_off(port: int) -> None:
    """Send half a request and go."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        connection.sendall(head + b'{"texts": [')


def hostile_client(
    port: int,
    requests: Sequence[HostileRequest],
    is_right: Callable[[HostileRequest, bytes], bool],
    until: float,
    tally: Tally,
) -> None:
    """Send one after another until `until` (of `time.perf_counter`); after each round of them, half of one.

    Args:
        is_right: whether these are the answers to an allowed request.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    index = 0
    while time.perf_counter() < until:
        request = requests[index % len(requests)]
        try:
            connection.request("POST", "/predict", request.body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
            right = response.status == request.status and (response.status != 200 or is_right(request, content))
            tally.note(request.kind, str(response.status), right)
        except (OSError, http.client.HTTPException) as error:
            tally.note(request.kind, type(error).__name__, False)
            connection.close()
            time.sleep(0.01)
        index += 1
        if index % len(requests) == 0:
            break_off(port)
            tally.note_broken_off()
    connection.close()
