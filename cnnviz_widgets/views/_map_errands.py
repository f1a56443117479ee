"""What the page of a map asks for, done one after the other away from its messages.

::

    Errands.put(key, work) -> nothing; work() is called soon, on another thread
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

_LOG = logging.getLogger(__name__)


class Errands:
    """Does what was asked for, one thing after the other, on a thread that ends when nothing is left to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Any, Callable[[], None]] = {}
        self._doing: Any = None

    def put(self, key: Any, work: Callable[[], None], *, urgent: bool = False) -> None:
        """Note some work; of urgent work under one key only the newest is done, of other work the first."""
        with self._lock:
            idle = not self._waiting and self._doing is None
            if urgent:
                self._waiting = {key: work} | {other: it for other, it in self._waiting.items() if other != key}
            elif key != self._doing:
                self._waiting.setdefault(key, work)
            if idle:
                self._doing = ...
                threading.Thread(target=self._run, name="image map", daemon=True).start()

    def clear(self) -> None:
        """Forget what has not begun."""
        with self._lock:
            self._waiting.clear()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._doing = None
                    return
                self._doing = next(iter(self._waiting))
                work = self._waiting.pop(self._doing)
            try:
                work()
            except Exception:  # the next errand is another matter
                _LOG.exception("an errand of a map failed")
