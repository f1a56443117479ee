"""When a frame may be sent: the cap, the window, starvation, recovery."""

from __future__ import annotations

from cnnviz_widgets.views._pacing import Pacer


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def sent_during(pacer: Pacer, clock: Clock, seconds: float, tick: float = 0.01, ack: bool = False) -> int:
    """Frames sent when a frame is on offer at each tick."""
    count = 0
    for _ in range(round(seconds / tick)):
        clock.now += tick
        if pacer.may_send():
            number = pacer.sent()
            count += 1
            if ack:
                pacer.acknowledge(number)
    return count


def test_thirty_a_second_at_most_while_acknowledged():
    clock = Clock()
    assert 24 <= sent_during(Pacer(clock), clock, 1.0, tick=0.001, ack=True) <= 30


def test_window_closes_after_twelve_unacknowledged_and_one_more():
    clock = Clock()
    pacer = Pacer(clock)
    assert sent_during(pacer, clock, 1.0) == 13
    assert pacer.outstanding == 13


def test_two_a_second_after_one_second_without_a_word():
    clock = Clock()
    pacer = Pacer(clock)
    sent_during(pacer, clock, 0.5)
    filled = pacer.number
    assert sent_during(pacer, clock, 0.8) == 0
    assert 15 <= sent_during(pacer, clock, 8.0) <= 17
    assert pacer.number > filled


def test_silence_before_the_window_filled_does_not_count():
    clock = Clock()
    pacer = Pacer(clock)
    pacer.acknowledge(pacer.sent())
    clock.now += 60
    assert sent_during(pacer, clock, 1.2) == 13


def test_an_acknowledgement_opens_the_window_again():
    clock = Clock()
    pacer = Pacer(clock)
    sent_during(pacer, clock, 1.0)
    assert pacer.acknowledge(10)
    assert pacer.outstanding == 3
    assert sent_during(pacer, clock, 0.9) == 10


def test_late_repeated_and_unknown_acknowledgements_change_nothing():
    clock = Clock()
    pacer = Pacer(clock)
    for _ in range(5):
        pacer.sent()
    assert pacer.acknowledge(4)
    assert not pacer.acknowledge(4)
    assert not pacer.acknowledge(2)
    assert not pacer.acknowledge(99)
    assert pacer.outstanding == 1


def test_a_lost_acknowledgement_is_made_good_by_the_next():
    clock = Clock()
    pacer = Pacer(clock)
    for _ in range(8):
        pacer.sent()
    pacer.acknowledge(8)
    assert pacer.outstanding == 0


def test_restart_counts_from_one():
    pacer = Pacer(Clock())
    pacer.sent()
    pacer.restart()
    assert pacer.may_send()
    assert pacer.sent() == 1
