"""``side_by_side(tasks, workers, threads) -> (number, value, seconds), ...``: generators at once, each in a thread of its own.

Small operations gain nothing from torch's threads, which wait for each other at every one of them. Images that have nothing to
do with each other are better served by one thread each.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Generic, TypeVar

import torch

from .threads import set_threads, torch_threads

Value = TypeVar("Value")
Task = Callable[[], Generator[Value]]
Told = tuple[int, Value, float]

MOST = 8
"""Tasks under way at a time, however many threads torch has: each holds its images and what a backward pass needs of them."""

PATIENCE = 1.0
"""Seconds that the end waits for a task that is in the midst of something. It then ends by itself, with nobody to tell."""

_NOTICED = 0.2
"""Seconds within which who waits notices that all is over."""


def workers_for(threads: int) -> int:
    """How many tasks run at once on the CPU, with so many of torch's threads each."""
    return max(1, min(MOST, torch.get_num_threads() // threads))


def side_by_side(tasks: Sequence[Task[Value]], workers: int, threads: int) -> Generator[Told[Value], None, None]:
    """What generators yield, as it comes: the number of the task, the value, and the seconds that it took.

    Tasks are begun in their order. No task goes on beyond its next value while nobody takes what is there, so to stop asking
    lets all rest; to close this generator closes them.

    Parameters
    ----------
    workers
        How many run at once. One alone runs in the calling thread, and only while a value is asked for.
    threads
        torch's threads for each.
    """
    if workers == 1:
        for number, task in enumerate(tasks):
            with contextlib.closing(task()) as values:
                yield from ((number, value, seconds) for value, seconds in _timed(values, threads))
        return
    crew = _Crew(tasks, workers, threads)
    try:
        yield from crew.told()
    finally:
        crew.close(PATIENCE)


def _timed(values: Iterator[Value], threads: int) -> Iterator[tuple[Value, float]]:
    """Each value, and how long the iterator took for it; not how long it was left alone."""
    while True:
        begun = time.monotonic()
        with torch_threads(threads):
            try:
                value = next(values)
            except StopIteration:
                return
        yield value, time.monotonic() - begun


class _Crew(Generic[Value]):
    """Threads that take one task after the other, and hand over what these yield."""

    def __init__(self, tasks: Sequence[Task[Value]], workers: int, threads: int) -> None:
        self._next = iter(enumerate(tasks))
        self._taking = threading.Lock()
        self._told: queue.Queue[Told[Value] | _Over] = queue.Queue(maxsize=1)
        self._closed = threading.Event()
        self._threads = threads
        self._members = [
            threading.Thread(target=self._work, name=f"cnnviz-side-by-side-{number}", daemon=True)
            for number in range(min(workers, len(tasks)))
        ]
        _crews.add(self)

    def told(self) -> Iterator[Told[Value]]:
        """What the tasks yield; the first error of one of them is raised."""
        for member in self._members:
            member.start()
        working = len(self._members)
        while working:
            try:
                told = self._told.get(
                    timeout=_NOTICED
                )  # where an interrupt would not end a wait, it is noticed in between
            except queue.Empty:
                continue
            if not isinstance(told, _Over):
                yield told
            elif told.error is None:
                working -= 1
            else:
                raise told.error

    def close(self, patience: float) -> None:
        """Have all end at their next value, and wait so many seconds for that."""
        self._closed.set()
        until = time.monotonic() + patience
        for member in self._members:
            if member.ident is not None and member is not threading.current_thread():
                member.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        over = _Over(None)
        try:
            set_threads(self._threads)  # the thread ends with it
            for number, task in iter(self._task, None):
                with contextlib.closing(task()) as values:
                    for value, seconds in _timed(values, self._threads):
                        if not self._hand_over((number, value, seconds)):
                            return
        except BaseException as error:  # who reads the values is told; nothing above this thread would show it
            over = _Over(error)
        self._hand_over(over)

    def _hand_over(self, told: Told[Value] | _Over) -> bool:
        """Wait until it is taken; whether anybody wants more."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._told.put(told, timeout=_NOTICED)
                return not self._closed.is_set()
        return False

    def _task(self) -> tuple[int, Task[Value]] | None:
        with self._taking:
            return None if self._closed.is_set() else next(self._next, None)


class _Over:
    """A member has no more tasks, or one that failed."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


_crews: weakref.WeakSet[_Crew] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    """No thread is to be amidst an operation when Python goes."""
    for crew in list(_crews):
        crew.close(10 * PATIENCE)
