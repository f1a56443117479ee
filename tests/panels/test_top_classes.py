"""The classes of a run's frames, which go with the network that gave them."""

from __future__ import annotations

import pytest

from cnnviz_widgets.engine.ascent import ascend
from cnnviz_widgets.panels._top_classes import SHOWN, TopClasses
from tests.panels.networks import convolutional, grey


@pytest.fixture
def shown() -> TopClasses:
    """Those of a grey network, after two steps."""
    classes, network = TopClasses(), grey()
    classes.begin(network)
    for frame in ascend(network, network.output[1], "none", steps=2):
        classes.look(frame, at_once=True)
    classes.show(2)
    return classes


def test_the_most_probable_come_first(shown):
    assert 0 < len(shown.bars.labels) <= SHOWN
    assert shown.bars.values == sorted(shown.bars.values, reverse=True)
    assert shown.bars.caption == "what the network sees at step 2"


def test_a_network_without_classes_has_none(shown):
    shown.begin(convolutional())
    assert (shown.bars.labels, shown.bars.values, shown.bars.caption) == ([], [], "")
