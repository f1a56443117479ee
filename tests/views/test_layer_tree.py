"""The tree of layers: its rows, search, folding, keys and selection."""

from __future__ import annotations

import pytest

from cnnviz_widgets.views import LayerTree

TREE = "[role=tree]"
SEARCH = "input[type=search]"


def layer(name: str, kind: str = "Conv2d", main: bool = False) -> dict[str, object]:
    return {"name": name, "kind": kind, "shape": "64 × 55 × 55", "main": main}


def tree(selected: str = "", **traits) -> LayerTree:
    view = LayerTree(**traits)
    layers = [
        layer("stem"),
        layer("blocks.0.conv"),
        layer("blocks.0.relu", "ReLU", main=True),
        layer("blocks.0", "Block", main=True),
        layer("blocks.1.conv"),
        layer("blocks.1.relu", "ReLU", main=True),
        layer("head", "Linear", main=True),
    ]
    view.show(layers, selected=selected)
    return view


def visible(shown) -> list[str]:
    return shown.page.locator("[role=treeitem]:visible").evaluate_all("(all) => all.map((node) => node.dataset.path)")


def cursor(shown) -> str:
    described = shown.locator(TREE).get_attribute("aria-activedescendant")
    return shown.page.locator(f"#{described}").get_attribute("data-path")


ALL = [
    "stem",
    "blocks",
    "blocks.0",
    "blocks.0.conv",
    "blocks.0.relu",
    "blocks.1",
    "blocks.1.conv",
    "blocks.1.relu",
    "head",
]


@pytest.mark.parametrize(
    ("layers", "selected", "message"),
    [
        ([layer("a"), layer("a")], "", "'a' is listed twice"),
        ([{"kind": "Conv2d"}], "", "needs a name"),
        ([layer("a")], "b", "no layer 'b' among the 1"),
    ],
)
def test_show_refuses_what_does_not_fit(layers, selected, message):
    with pytest.raises(ValueError, match=message):
        LayerTree().show(layers, selected=selected)


@pytest.mark.browser
def test_layers_are_a_tree_in_their_order(show):
    shown = show(tree())
    assert visible(shown) == ALL
    row = shown.locator("[data-path='blocks.0.relu']")
    assert row.get_attribute("aria-level") == "3"
    assert row.get_attribute("aria-expanded") is None
    assert shown.locator("[data-path='blocks.0']").get_attribute("aria-expanded") == "true"
    texts = row.locator("span").all_text_contents()
    assert texts == ["", "relu", "ReLU", "64 × 55 × 55"]
    weights = [
        shown.locator(f"[data-path='{path}'] .cnnviz-tree-name").evaluate("(node) => getComputedStyle(node).fontWeight")
        for path in ("blocks.0.relu", "blocks.0.conv")
    ]
    assert weights == ["700", "400"]


@pytest.mark.browser
def test_a_click_selects_a_layer_and_folds_a_group(show):
    shown = show(tree())
    shown.locator("[data-path='blocks.0.conv']").click()
    shown.pump()
    assert shown.view.selected == "blocks.0.conv"
    selected = shown.page.locator("[aria-selected=true]")
    assert [node.get_attribute("data-path") for node in selected.all()] == ["blocks.0.conv"]
    shown.locator("[data-path='blocks.1']").click()
    assert visible(shown) == [path for path in ALL if not path.startswith("blocks.1.")]
    shown.locator("[data-path='blocks.0'] .cnnviz-tree-twisty").click()
    assert "blocks.0.conv" not in visible(shown)
    shown.pump()
    assert shown.view.selected == "blocks.0.conv"


@pytest.mark.browser
def test_python_selects(show):
    shown = show(tree("stem"))
    assert shown.locator("[data-path=stem]").get_attribute("aria-selected") == "true"
    shown.view.selected = "head"
    shown.wait("document.querySelector('[data-path=head]').getAttribute('aria-selected') === 'true'")
    assert cursor(shown) == "head"


@pytest.mark.browser
def test_search_finds_name_and_kind_and_keeps_ancestors(show):
    shown = show(tree())
    shown.page.evaluate("() => addEventListener('keydown', (event) => { window.leaked = event.key; })")
    shown.locator(SEARCH).press_sequentially("ReLU")
    assert visible(shown) == ["blocks", "blocks.0", "blocks.0.relu", "blocks.1", "blocks.1.relu"]
    assert shown.locator(".cnnviz-caption").text_content() == "2 of 7 layers"
    shown.locator(SEARCH).fill("blocks.1")
    assert visible(shown) == ["blocks", "blocks.1", "blocks.1.conv", "blocks.1.relu"]
    shown.locator(SEARCH).fill("linear")
    assert visible(shown) == ["head"]
    shown.locator(SEARCH).press("Enter")
    shown.pump()
    assert shown.view.selected == "head"
    shown.locator(SEARCH).press("Escape")
    assert visible(shown) == ALL
    assert shown.page.evaluate("() => window.leaked") is None


@pytest.mark.browser
def test_search_opens_folded_groups(show):
    shown = show(tree())
    shown.locator("[data-path=blocks]").click()
    assert visible(shown) == ["stem", "blocks", "head"]
    shown.locator(SEARCH).fill("0.conv")
    assert visible(shown) == ["blocks", "blocks.0", "blocks.0.conv"]
    shown.locator(SEARCH).press("ArrowDown")
    assert cursor(shown) == "blocks.0.conv"
    shown.page.keyboard.press("Enter")
    shown.pump()
    assert shown.view.selected == "blocks.0.conv"


@pytest.mark.browser
def test_main_layers_only(show):
    shown = show(tree())
    shown.locator("input[type=checkbox]").click()
    assert visible(shown) == ["blocks", "blocks.0", "blocks.0.relu", "blocks.1", "blocks.1.relu", "head"]
    shown.pump()
    assert shown.view.main_only
    shown.view.main_only = False
    shown.wait("!document.querySelector('[type=checkbox]').checked")
    assert visible(shown) == ALL


@pytest.mark.browser
def test_the_selected_layer_stays_in_sight(show):
    shown = show(tree())
    shown.locator("input[type=checkbox]").click()
    shown.pump()
    shown.view.selected = "blocks.0.conv"
    shown.wait("document.querySelector('[data-path=\"blocks.0.conv\"]').ariaSelected === 'true'")
    assert "blocks.0.conv" in visible(shown)
    shown.view.selected = "head"
    shown.wait("document.querySelector('[data-path=head]').ariaSelected === 'true'")
    assert "blocks.0.conv" not in visible(shown)
    shown.locator("[data-path=blocks]").click()
    assert "blocks.1.relu" not in visible(shown)
    shown.view.selected = "blocks.1.relu"
    shown.wait("document.querySelector('[data-path=\"blocks.1.relu\"]').ariaSelected === 'true'")
    assert "blocks.1.relu" in visible(shown)


@pytest.mark.browser
def test_keys_move_fold_and_select(show):
    shown = show(tree("stem"))
    shown.page.evaluate("() => addEventListener('keydown', (event) => { window.leaked = event.key; })")
    press = shown.locator(TREE).press
    for key, at in [
        ("ArrowDown", "blocks"),
        ("ArrowRight", "blocks.0"),
        ("ArrowRight", "blocks.0.conv"),
        ("ArrowLeft", "blocks.0"),
        ("ArrowLeft", "blocks.0"),
        ("ArrowDown", "blocks.1"),
        ("ArrowUp", "blocks.0"),
        ("ArrowRight", "blocks.0"),
        ("ArrowDown", "blocks.0.conv"),
        ("End", "head"),
        ("Home", "stem"),
        ("PageDown", "head"),
        ("PageUp", "stem"),
    ]:
        press(key)
        assert cursor(shown) == at, key
    shown.pump()
    assert shown.view.selected == "stem"
    press("End")
    press("Enter")
    shown.pump()
    assert shown.view.selected == "head"
    press("Home")
    press(" ")
    shown.pump()
    assert shown.view.selected == "stem"
    assert shown.page.evaluate("() => window.leaked") is None


@pytest.mark.browser
def test_names_are_text(show):
    view = LayerTree()
    view.show([layer("<b>x</b>", "<i>kind</i>")])
    shown = show(view)
    assert shown.locator(".cnnviz-tree-name").text_content() == "<b>x</b>"
    assert shown.page.locator("b, i").count() == 0


@pytest.mark.browser
def test_hundreds_of_layers_search_scroll_and_come_back(show):
    view = LayerTree(max_height=200)
    view.show([layer(f"layer{i // 10}.{i % 10}.conv") for i in range(500)], selected="layer40.3.conv")
    shown = show(view)
    shown.frames(3)
    row = shown.locator("[data-path='layer40.3.conv']")
    assert row.evaluate(
        """(node) => {
          const [tree, box] = [node.parentElement.getBoundingClientRect(), node.getBoundingClientRect()];
          return box.top >= tree.top && box.bottom <= tree.bottom;
        }"""
    )
    top = shown.locator(TREE).evaluate("(node) => node.scrollTop")
    assert top > 1000
    shown.detach()
    assert shown.locator(TREE).evaluate("(node) => node.scrollTop") == top
    shown.locator(SEARCH).fill("layer7.3")
    assert visible(shown) == ["layer7", "layer7.3", "layer7.3.conv"]
    assert shown.locator(".cnnviz-caption").text_content() == "1 of 500 layers"


@pytest.mark.browser
def test_other_layers_replace_the_rows(show):
    shown = show(tree("stem"))
    shown.view.show([layer("only")], selected="only")
    shown.wait("document.querySelectorAll('[role=treeitem]').length === 1")
    assert visible(shown) == ["only"]
    assert cursor(shown) == "only"
