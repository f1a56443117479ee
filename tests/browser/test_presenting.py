"""A clicker in JupyterLab: its keys lead through scenes, not to the notebook's commands, and cells are typed into as ever."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.notebook import Notebook
from tests.browser.scenes import GREY

SCENES = """
import ipywidgets
from cnnviz_widgets.panels._scenes import Scenes

a = cnn.ActivationPanel(net, images, selection=selection)
scenes = Scenes(a)
scenes.keep("first layer")
selection.unit = net["3"][5]
scenes.keep("second layer")
box = ipywidgets.VBox([scenes, a])
box
"""
COUNT = "() => window.notebookPanel.content.model.cells.length"


def test_keys_lead_through_scenes_and_cells_keep_theirs(notebook: Notebook) -> None:
    notebook.open([GREY, SCENES, ""])
    notebook.run_all()
    page, place = notebook.page, notebook.locator(".cnnviz-presenter-place")
    expect(place).to_have_text("2 of 2: second layer")
    cells = page.evaluate(COUNT)
    notebook.locator(".cnnviz-presenter").get_by_role("button", name="Have a clicker").click()
    expect(notebook.locator(".cnnviz-presenter-keys")).to_contain_text("Page Down")
    page.evaluate("() => { window.notebookPanel.content.mode = 'command'; window.notebookPanel.content.activate(); }")
    page.keyboard.press("PageUp")
    expect(place).to_have_text("1 of 2: first layer")
    expect(notebook.locator("[role=treeitem][aria-selected=true]")).to_contain_text("8 × 8 × 8")
    page.keyboard.press("b")
    expect(notebook.locator(".cnnviz-presenter-black")).to_be_visible()
    page.keyboard.press("b")
    expect(notebook.locator(".cnnviz-presenter-black")).to_have_count(0)
    assert page.evaluate(COUNT) == cells
    editor = notebook.locator(".jp-Notebook .jp-Cell").last.locator(".cm-content")
    editor.click()
    page.keyboard.type("b = 0.5 # for")
    page.keyboard.press("Home")
    page.keyboard.type("a")
    expect(editor).to_have_text("ab = 0.5 # for")
    expect(place).to_have_text("1 of 2: first layer")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(notebook.locator(".cnnviz-presenter-keys")).to_have_text("")
    page.keyboard.press("b")
    page.wait_for_function(f"({COUNT})() === {cells + 1}")


def test_scenes_are_kept_by_hand_and_come_back_in_large_type_after_a_reload(notebook: Notebook) -> None:
    notebook.open([GREY, SCENES])
    notebook.run_all()
    page, box = notebook.page, notebook.locator(".cnnviz-scenes")
    box.get_by_text("Scenes", exact=True).click()
    box.get_by_placeholder("name of the scene").fill("third <b>")
    box.get_by_role("button", name="Save scene").click()
    expect(notebook.locator(".cnnviz-presenter-place")).to_have_text("3 of 3: third <b>")
    box.locator("select").select_option(label="first layer")
    expect(notebook.locator("[role=treeitem][aria-selected=true]")).to_contain_text("8 × 8 × 8")
    with page.expect_download() as waiting:
        box.get_by_role("button", name="Save file").click()
    assert waiting.value.suggested_filename == "scenes.json"
    box.get_by_role("button", name="Write everything larger").click()
    notebook.until("scenes.presenter.large")
    notebook.reload()
    expect(notebook.locator(".cnnviz-panel .cnnviz-tree")).to_be_visible()
    size = "() => parseFloat(getComputedStyle(document.querySelector('.cnnviz-panel .cnnviz-tree')).fontSize)"
    page.wait_for_function(f"({size})() > 20")
    expect(notebook.locator(".cnnviz-presenter-place")).to_have_text("1 of 3: first layer")
