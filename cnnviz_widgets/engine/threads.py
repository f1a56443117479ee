"""``with torch_threads(1): ...``: how many threads an operation of torch takes in the calling thread, others left alone.

``torch.set_num_threads`` sets the number of the calling thread, and with it the one that threads begin with which are new to
torch. The latter is a matter of the user's, so it is put back at once, by a thread that ends with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_lock = threading.Lock()


def set_threads(number: int) -> None:
    """Have what torch does in the calling thread use so many threads, and that of other threads as many as before."""
    if torch.get_num_threads() == number:
        return
    with _lock:
        usual = _elsewhere(torch.get_num_threads)
        torch.set_num_threads(number)
        _elsewhere(torch.set_num_threads, usual)


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """`set_threads` for as long as it lasts."""
    before = torch.get_num_threads()
    try:
        set_threads(number)
        yield
    finally:
        set_threads(before)


def _elsewhere(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives in a thread of its own."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call(*arguments)))
    thread.start()
    thread.join()
    return found[0]
