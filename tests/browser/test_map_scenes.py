"""Scenes of a map in the browser: where one looked, what was chosen, and how far it was on the way to the grid."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.test_map import Walk, differ, walk

__all__ = ["walk"]


@pytest.mark.long
def test_a_scene_brings_back_the_part_of_the_map_that_was_seen(walk: Walk) -> None:
    notebook = walk.notebook
    walk.drawn()
    notebook.python("", "scenes = cnn.Scenes(panel); panel.view.choose(range(0, 40, 3))")
    expect(walk.canvas).to_have_attribute("data-chosen", "14")
    walk.box.locator(".cnnviz-map-slider").fill("1")
    walk.press("Zoom in")
    walk.press("Zoom in")
    notebook.until("panel.view.morph == 1 and len(panel.view.camera) == 3")
    walk.drawn()
    notebook.python("", "scenes.keep('near')")
    near = walk.drawn()
    notebook.python("", "scenes.reset()")
    expect(walk.canvas).to_have_attribute("data-chosen", "0")
    whole = walk.drawn()
    assert differ(near, whole) > 0.1
    notebook.until("panel.view.camera == [] and panel.view.morph == 0")
    notebook.python("", "scenes.go('near')")
    expect(walk.canvas).to_have_attribute("data-chosen", "14")
    assert differ(near, walk.drawn()) < 0.01
    camera = notebook.python("panel.view.camera")
    notebook.reload()
    walk.canvas.scroll_into_view_if_needed()
    walk.drawn()
    x, y, _ = map(float, str(walk.canvas.get_attribute("data-view")).split())
    assert [x, y] == pytest.approx(camera[:2], abs=1e-6)
    assert notebook.python("panel.view.camera") == pytest.approx(camera, abs=1e-6)
