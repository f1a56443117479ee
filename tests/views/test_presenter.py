"""The presenter's bar: buttons and a clicker's keys lead on, text fields keep theirs, large type reaches the panel."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from cnnviz_widgets.views import Note, Presenter

PLACE = ".cnnviz-presenter-place"
BLACK = ".cnnviz-presenter-black"
FIELDS = """() => {
  document.body.insertAdjacentHTML('beforeend', `
    <section class="cnnviz-panel" id="panel"></section>
    <input id="text"><textarea id="area"></textarea><div id="editor" contenteditable>x</div>
    <select id="menu"><option>a<option>b</select><input type="checkbox" id="box">
    <div role="slider" tabindex="0" id="slider"></div><div tabindex="0" id="cell"></div>`);
  window.others = [];
  document.addEventListener('keydown', (event) => window.others.push(event.key), true);
}"""


def shown_with(show, **traits):
    shown = show(Presenter(**traits))
    shown.view.show(["edges", "eyes", "faces"], 1)
    shown.page.evaluate(FIELDS)
    return shown


def sent(shown) -> list[str]:
    return [message["content"]["to"] for message in shown.take() if message["method"] == "custom"]


def test_what_the_page_sends_is_passed_on_and_what_it_may_not_send_is_not():
    presenter, heard = Presenter(), []
    presenter.on_go(heard.append)
    for to in ("next", "previous", "first", "reset", "elsewhere", 3, None):
        presenter._handle_custom_msg({"type": "go", "to": to}, [])
    presenter._handle_custom_msg({"to": "next"}, [])
    assert heard == ["next", "previous", "first", "reset"]
    presenter.on_go(heard.append, remove=True)
    presenter._handle_custom_msg({"type": "go", "to": "next"}, [])
    assert len(heard) == 4


@pytest.mark.parametrize(("names", "at"), [([], 0), (["a"], 1), (["a"], -2)])
def test_a_place_that_is_none_is_refused(names: list[str], at: int):
    presenter = Presenter()
    with pytest.raises(ValueError, match=f"at is {at}, expected -1 to {len(names) - 1}"):
        presenter.show(names, at)
    assert (presenter.names, presenter.at) == ([], -1)


@pytest.mark.browser
def test_the_bar_tells_the_place_and_its_buttons_lead_on(show):
    shown = show(Presenter())
    expect(shown.locator(PLACE)).to_have_text("0 scenes")
    buttons = {
        name: shown.page.get_by_role("button", name=name) for name in ("The next scene", "The scene before this one")
    }
    for at, text, nexts, befores in (
        (-1, "3 scenes", True, False),
        (0, "1 of 3: <b>edges</b>", True, False),
        (1, "2 of 3: eyes", True, True),
        (2, "3 of 3: faces", False, True),
    ):
        shown.view.show(["<b>edges</b>", "eyes", "faces"], at)
        expect(shown.locator(PLACE)).to_have_text(text)
        assert buttons["The next scene"].is_enabled() == nexts
        assert buttons["The scene before this one"].is_enabled() == befores
    shown.view.show(["edges", "eyes", "faces"], 1)
    expect(buttons["The next scene"]).to_be_enabled()
    for name in ("The next scene", "The scene before this one", "Back to how it was in the beginning"):
        shown.page.get_by_role("button", name=name).click()
    assert sent(shown) == ["next", "previous", "reset"]


KEYS = ("PageDown", "PageUp", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "Home")
PLACES = ["next", "previous", "next", "previous", "next", "previous", "first"]


@pytest.mark.browser
def test_keys_act_on_the_bar_and_elsewhere_only_while_presenting(show):
    shown = shown_with(show)
    press = shown.page.keyboard.press
    shown.page.locator("#cell").focus()
    for key in (*KEYS, "b"):
        press(key)
    assert sent(shown) == []
    assert shown.page.locator(BLACK).count() == 0
    shown.page.get_by_role("button", name="Large").focus()
    for key in KEYS:
        press(key)
    assert sent(shown) == PLACES
    shown.page.get_by_role("button", name="Have a clicker").click()
    shown.pump()
    assert shown.view.presenting
    shown.page.locator("#cell").focus()
    shown.page.evaluate("() => { window.others = []; }")
    for key in KEYS:
        press(key)
    assert sent(shown) == PLACES
    # JupyterLab, which listens at the document, hears nothing of them
    assert shown.page.evaluate("() => window.others") == []
    press("Escape")
    shown.pump()
    assert not shown.view.presenting
    press("PageDown")
    assert sent(shown) == []


@pytest.mark.browser
@pytest.mark.parametrize("field", ["text", "area", "editor"])
def test_text_fields_keep_their_keys(show, field: str):
    shown = shown_with(show, presenting=True)
    shown.page.locator(f"#{field}").focus()
    for key in (*KEYS, "b", ".", "f", "Escape"):
        shown.page.keyboard.press(key)
    assert shown.take() == []
    assert shown.page.locator(BLACK).count() == 0
    value = shown.page.evaluate(
        "(id) => { const n = document.getElementById(id); return n.value ?? n.textContent; }", field
    )
    assert "b.f" in value


@pytest.mark.browser
def test_controls_keep_the_arrows_and_a_clicker_s_keys_go_on(show):
    shown = shown_with(show, presenting=True)
    for field in ("slider", "menu"):
        shown.page.locator(f"#{field}").focus()
        for key in ("ArrowRight", "Home", "PageDown"):
            shown.page.keyboard.press(key)
        assert sent(shown) == ["next"], field
    shown.page.locator("#menu").focus()
    shown.page.keyboard.press("b")
    assert shown.page.locator(BLACK).count() == 0
    shown.page.locator("#box").focus()
    shown.page.keyboard.press("PageUp")
    assert sent(shown) == ["previous"]


@pytest.mark.browser
def test_keys_with_others_held_are_left_alone(show):
    shown = shown_with(show, presenting=True)
    shown.page.locator("#cell").focus()
    for key in ("Control+b", "Alt+ArrowLeft", "Meta+f"):
        shown.page.keyboard.press(key)
    assert sent(shown) == []
    assert shown.page.locator(BLACK).count() == 0


@pytest.mark.browser
def test_a_black_screen_and_back(show):
    shown = shown_with(show, presenting=True)
    cell = shown.page.locator("#cell")
    cell.focus()
    for dark, light in (("b", "b"), (".", "."), ("B", "Escape")):
        shown.page.keyboard.press(dark)
        box = shown.locator(BLACK).bounding_box()
        assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 800, 900)
        shown.page.keyboard.press(light)
        expect(shown.page.locator(BLACK)).to_have_count(0)
        expect(cell).to_be_focused()
    assert shown.view.presenting
    shown.page.keyboard.press("b")
    shown.page.locator(BLACK).click()
    expect(shown.page.locator(BLACK)).to_have_count(0)
    shown.page.keyboard.press("b")
    shown.page.keyboard.press("PageDown")
    expect(shown.page.locator(BLACK)).to_have_count(0)
    assert sent(shown) == ["next"]
    shown.page.keyboard.press("b")
    shown.page.evaluate("() => harness.views[0].end()")
    expect(shown.page.locator(BLACK)).to_have_count(0)


@pytest.mark.browser
def test_large_type_reaches_the_panel_around_it_when_its_class_comes_last(show):
    shown = show(Note(text="a note"))
    page = shown.page
    page.evaluate("() => { window.note = harness.views[0].el; }")
    shown = show(Presenter(large=True))
    size = "() => parseFloat(getComputedStyle(document.querySelector('.cnnviz-note-text')).fontSize)"
    assert page.evaluate(size) == 15
    page.evaluate("""() => {
      window.panel = document.createElement('section');
      window.panel.append(window.note, harness.views[0].el);
      document.body.append(window.panel);
    }""")
    page.evaluate("() => window.panel.classList.add('cnnviz-panel')")
    shown.wait("window.panel.classList.contains('cnnviz-large')")
    assert page.evaluate(size) >= 1.5 * 15
    page.get_by_role("button", name="Write everything larger").click()
    shown.pump()
    assert not shown.view.large
    shown.wait("!window.panel.classList.contains('cnnviz-large')")
    shown.view.large = True
    shown.wait("window.panel.classList.contains('cnnviz-large')")
    page.evaluate("() => harness.views[0].end()")
    assert not page.evaluate("() => window.panel.classList.contains('cnnviz-large')")


@pytest.mark.browser
def test_beside_panels_it_is_what_holds_them_that_is_enlarged(show):
    shown = show(Presenter())
    shown.page.evaluate("""() => {
      const holder = document.createElement('div');
      holder.id = 'holder';
      holder.innerHTML = '<div id="row"></div><section class="cnnviz-panel"></section>';
      holder.firstChild.append(harness.views[0].el);
      document.body.append(holder);
    }""")
    shown.view.large = True
    shown.wait("document.querySelector('.cnnviz-large')?.id === 'holder'")


@pytest.mark.browser
def test_full_screen_is_the_panel_s(show):
    shown = shown_with(show, presenting=True)
    shown.page.evaluate("() => document.getElementById('panel').append(harness.views[0].el)")
    shown.page.locator("#cell").focus()
    shown.page.keyboard.press("f")
    shown.wait("document.fullscreenElement?.id === 'panel'")
    shown.page.keyboard.press("b")
    shown.wait("document.querySelector('#panel .cnnviz-presenter-black')")
    shown.page.keyboard.press("b")
    shown.page.keyboard.press("F5")
    shown.wait("document.fullscreenElement === null")


@pytest.mark.browser
def test_two_views_of_a_bar_go_once(show):
    shown = shown_with(show, presenting=True)
    shown.page.evaluate("() => harness.render()")
    shown.page.locator("#cell").focus()
    shown.page.keyboard.press("PageDown")
    assert sent(shown) == ["next"]
    shown.detach()
    shown.page.keyboard.press("PageDown")
    assert sent(shown) == ["next"]
    shown.page.evaluate("() => { harness.views.forEach((view) => view.end()); harness.end(); }")
    shown.page.keyboard.press("PageDown")
    assert sent(shown) == []
