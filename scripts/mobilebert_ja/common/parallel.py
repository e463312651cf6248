"""A process pool's map that reads its input only as fast as results are taken, so that memory stays bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], pending: int = 8
) -> Iterator[Result]:
    """Results in the order of `items`, at most `pending` of them under way."""
    futures: deque[Future[Result]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) >= pending:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()
