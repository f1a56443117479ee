"""Runs of `MaximizationPanel` and what they show."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import Tensor

from cnnviz_widgets import MaximizationPanel, Recipe, Result
from cnnviz_widgets.views import FramePlayer
from tests.panels.waiting import reach

ENDLESS = Recipe(steps=1_000_000)


def paused(panel: MaximizationPanel) -> MaximizationPanel:
    """The panel with a run that rests after a few steps."""
    panel.run()
    panel.pause()
    reach(panel, "paused")
    return panel


def still_of(player: FramePlayer) -> np.ndarray:
    with Image.open(io.BytesIO(player.still)) as picture:
        return np.asarray(picture)


def moving(panel: MaximizationPanel) -> Tensor:
    """The image of the run's newest frame."""
    run = panel._run
    assert run is not None
    assert run.frame is not None
    return run.frame.image


def finished(panel: MaximizationPanel) -> MaximizationPanel:
    """The panel with a run that has come to its end."""
    panel.run()
    reach(panel, "finished")
    return panel


def result_of(panel: MaximizationPanel) -> Result:
    """What the panel's run has found."""
    result = panel.result
    assert result is not None
    return result
