"""``Kept[V]``: ``get(key, make) -> V``, made once for each key, by one thread, while the others wait for it.

The decoded photographs that many crops share, and the thumbnails of a set. Nothing of it is pickled: another process makes
its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class _Place(Generic[V]):
    """Where one value is made and stays, with a lock of its own, so that different values are made at the same time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: V | None = None
        self.weight = 0


class Kept(Generic[V]):
    """Values by key, the longest unused ones forgotten when they weigh too much.

    Parameters
    ----------
    weigh
        Bytes of a value; a function that can be pickled.
    most
        Bytes that all may take together; the newest one stays however large it is. None: nothing is forgotten.

    Examples
    --------
    >>> kept = Kept(len)
    >>> kept.get("a", lambda: b"made"), kept.get("a", lambda: b"not made again")
    (b'made', b'made')
    """

    def __init__(self, weigh: Callable[[V], int], most: int | None = None) -> None:
        self.weigh = weigh
        self.most = most
        self._lock = threading.Lock()
        self._places: OrderedDict[Hashable, _Place[V]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key, made if there is none. What ``make`` raises is passed on, and the next one tries again."""
        with self._lock:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
        with place.lock:
            if place.value is None:
                place.value = make()
                place.weight = self.weigh(place.value)
                self._forget()
            return place.value

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value that was made elsewhere, in place of the one that may be there."""
        place: _Place[V] = _Place()
        place.value, place.weight = value, self.weigh(value)
        with self._lock:
            self._places[key] = place
            self._places.move_to_end(key)
        self._forget()

    def _forget(self) -> None:
        with self._lock:
            total = sum(place.weight for place in self._places.values()) if self.most is not None else 0
            while self.most is not None and total > self.most and len(self._places) > 1:
                _, place = self._places.popitem(last=False)
                total -= place.weight

    def __len__(self) -> int:
        return len(self._places)

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self.weigh, self.most)
