"""When the next frame may go to the browser, decided without talking to it.

::

    Pacer.may_send() -> bool        Pacer.sent() -> int        Pacer.acknowledge(number)

A kernel has no back-pressure of its own: a sender that does not watch the browser loses messages, those of other
cells too. A fixed cap does most of the work, the window of unacknowledged frames is the safety net, and the slow
clock keeps a picture moving where acknowledgements cannot arrive: behind a busy cell, or in a hidden tab.
"""

import time
from collections.abc import Callable


class Pacer:
    """Counts frames sent and acknowledged, and says when another one may go.

    Parameters
    ----------
    clock : callable
        Seconds that only grow.
    interval : float
        Least seconds between two frames.
    window : int
        With more frames than this unacknowledged, sending waits.
    patience : float
        Seconds of silence with a full window after which sending goes on, slowly.
    starved_interval : float
        Least seconds between two frames during that silence.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        interval: float = 1 / 30,
        window: int = 12,
        patience: float = 1.0,
        starved_interval: float = 0.5,
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._window = window
        self._patience = patience
        self._starved_interval = starved_interval
        self.restart()

    def restart(self) -> None:
        """Forget all frames; numbers begin at 1 again."""
        self.number = 0
        self.acknowledged = 0
        self._sent_at = float("-inf")
        self._quiet_since = float("-inf")

    @property
    def outstanding(self) -> int:
        """Frames sent and not yet acknowledged."""
        return self.number - self.acknowledged

    def may_send(self) -> bool:
        """Whether a frame may be sent now."""
        now = self._clock()
        if now - self._sent_at < self._interval:
            return False
        if self.outstanding <= self._window:
            return True
        return now - self._quiet_since >= self._patience and now - self._sent_at >= self._starved_interval

    def sent(self) -> int:
        """Note that a frame is being sent now and return its number."""
        self._sent_at = self._clock()
        self.number += 1
        if self.outstanding == self._window + 1:
            self._quiet_since = self._sent_at
        return self.number

    def acknowledge(self, number: int) -> bool:
        """Note that frame `number`, and so every earlier one, was drawn; whether that was news."""
        if not self.acknowledged < number <= self.number:
            return False
        self.acknowledged = number
        self._quiet_since = self._clock()
        return True
