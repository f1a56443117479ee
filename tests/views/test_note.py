"""A note in a panel: text as text, announced, copied; keys kept for the panel's controls."""

from __future__ import annotations

import pytest
import traitlets
from playwright.sync_api import expect

from cnnviz_widgets.views.note import Note

BODY = ".cnnviz-note-body"
TEXT = ".cnnviz-note-text"
CODE = ".cnnviz-note-code"
COPY = ".cnnviz-note .cnnviz-button"
# One more view of the note, in an element that is not in the page yet.
RENDER = """async () => {
  window.place = document.createElement('div');
  window.end = await harness.widget.render({ model: harness.model, el: window.place });
}"""
MARKED = "document.querySelector('.cnnviz-panel')?.dataset.lmSuppressShortcuts === 'true'"


def test_show_sets_text_and_kind_in_one_message():
    note, sent = Note(), []
    note._send = lambda message, buffers=None: sent.append(message)
    note.show("stopped", kind="error")
    assert [message["state"] for message in sent] == [{"text": "stopped", "kind": "error"}]
    note.show("goes on")
    assert (note.text, note.kind) == ("goes on", "info")


def test_an_unknown_kind_is_refused_and_leaves_the_note_as_it_was():
    note = Note(text="before")
    with pytest.raises(traitlets.TraitError, match="'info', 'error', 'code'"):
        note.show("after", kind="warning")
    assert (note.text, note.kind) == ("before", "info")
    with pytest.raises(traitlets.TraitError, match="kind"):
        Note(kind="")


@pytest.mark.browser
@pytest.mark.parametrize(("kind", "place"), [("info", TEXT), ("error", TEXT), ("code", CODE)])
def test_text_is_text(show, kind: str, place: str):
    shown = show(Note(text="<b>x</b>\n  &amp;", kind=kind))
    assert shown.locator(place).text_content() == "<b>x</b>\n  &amp;"
    assert shown.page.locator(".cnnviz-note b").count() == 0
    shown.view.text = "one line"
    shown.wait(f"document.querySelector('{place}').textContent === 'one line'")


@pytest.mark.browser
@pytest.mark.parametrize(("kind", "place"), [("info", TEXT), ("code", CODE)])
def test_line_breaks_are_kept(show, kind: str, place: str):
    shown = show(Note(text="one", kind=kind))
    before = shown.locator(place).bounding_box()["height"]
    shown.view.text = "one\ntwo\nthree"
    shown.frames()
    assert shown.locator(place).bounding_box()["height"] > before + 30


@pytest.mark.browser
def test_errors_alert_and_look_different(show):
    shown = show(Note(text="saved", kind="info"))
    color = "node => getComputedStyle(node).borderLeftColor"
    assert shown.locator(BODY).get_attribute("role") == "status"
    before = shown.locator(BODY).evaluate(color), shown.locator(".cnnviz-note-icon").text_content()
    shown.view.show("no layer 'layer5'", kind="error")
    expect(shown.page.get_by_role("alert")).to_contain_text("no layer 'layer5'")
    after = shown.locator(BODY).evaluate(color), shown.locator(".cnnviz-note-icon").text_content()
    assert after[0] != before[0]
    assert after[1]
    assert after[1] != before[1]


@pytest.mark.browser
def test_an_empty_note_takes_no_room_whatever_its_layout_says(show):
    shown = show(Note())
    height = "() => harness.views[0].el.getBoundingClientRect().height"
    shown.page.evaluate("() => { harness.views[0].el.style.display = 'flex'; }")
    assert shown.page.evaluate(height) == 0
    shown.view.text = "here"
    shown.wait("harness.views[0].el.getBoundingClientRect().height > 20")
    shown.view.text = ""
    shown.wait("harness.views[0].el.getBoundingClientRect().height === 0")
    shown.page.evaluate("() => harness.views[0].end()")
    assert shown.page.evaluate("() => harness.views[0].el.className") == ""


@pytest.mark.browser
def test_every_view_of_a_note_shows_it_and_comes_back(show):
    shown = show(Note(text="first"))
    shown.page.evaluate("() => harness.render()")
    shown.detach()
    shown.view.text = "second"
    expect(shown.page.locator(TEXT)).to_have_text(["second", "second"])


@pytest.mark.browser
def test_copy_uses_the_clipboard(show):
    shown = show(Note(text="cnn.maximize(\n    net)", kind="code"))
    expect(shown.locator(COPY)).to_have_accessible_name("Copy")
    script = "() => Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (t) => { window.took = t; } } })"
    shown.page.evaluate(script)
    shown.locator(COPY).click()
    expect(shown.locator(COPY)).to_have_text("Copied")
    expect(shown.locator(COPY)).to_have_accessible_name("Copied")
    expect(shown.page.get_by_role("status")).to_have_text("Copied")
    assert shown.page.evaluate("() => window.took") == "cnn.maximize(\n    net)"
    expect(shown.locator(COPY)).to_have_text("Copy")


@pytest.mark.browser
def test_copy_works_where_the_page_may_not_use_the_clipboard(show):
    shown = show(Note(text="a = 1\nb = '<i>'", kind="code"))
    page = shown.page
    assert page.evaluate("() => navigator.clipboard === undefined")
    shown.locator(COPY).focus()
    page.keyboard.press("Enter")
    expect(shown.locator(COPY)).to_have_text("Copied")
    page.evaluate(
        "() => { const area = document.createElement('textarea'); document.body.append(area); area.focus(); }"
    )
    page.keyboard.press("Control+V")
    assert page.evaluate("() => document.querySelector('textarea').value") == "a = 1\nb = '<i>'"


@pytest.mark.browser
def test_code_is_left_selected_where_nothing_copies(show):
    shown = show(Note(text="net.layers", kind="code"))
    shown.page.evaluate("() => { document.execCommand = () => false; }")
    shown.locator(COPY).click()
    expect(shown.locator(COPY)).to_have_text("Press Ctrl+C")
    assert shown.page.evaluate("() => getSelection().toString()") == "net.layers"


@pytest.mark.browser
def test_code_keeps_its_frame_in_a_notebook_s_output(show):
    shown = show(Note(text="net.layers", kind="code"))
    rule = ".jp-OutputArea-output pre { border: none; padding: 0; word-break: break-all; }"
    shown.page.add_style_tag(content=rule)
    shown.page.evaluate("() => harness.views[0].el.classList.add('jp-OutputArea-output')")
    style = "node => { const s = getComputedStyle(node); return [s.borderTopWidth, s.paddingTop, s.wordBreak]; }"
    assert shown.locator(CODE).evaluate(style) == ["1px", "8px", "normal"]


@pytest.mark.browser
def test_only_code_can_be_copied(show):
    shown = show(Note(text="info"))
    assert not shown.locator(COPY).is_visible()
    shown.view.kind = "code"
    expect(shown.locator(COPY)).to_be_visible()
    shown.view.kind = "error"
    expect(shown.locator(COPY)).not_to_be_visible()
    assert not shown.locator(CODE).is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("text", ["", "a note"])
def test_the_panel_around_it_keeps_its_keys_when_its_class_comes_last(show, text: str):
    """ipywidgets gives a box its classes after the box and what is in it are in the page."""
    shown = show(Note(text=text))
    page = shown.page
    page.evaluate(RENDER)
    page.evaluate("""() => {
      window.panel = document.createElement('section');
      window.panel.append(document.createElement('div'));
      window.panel.firstChild.append(window.place);
      document.body.append(window.panel);
    }""")
    shown.frames()
    assert not page.evaluate(MARKED)
    page.evaluate("() => window.panel.classList.add('cnnviz-panel')")
    shown.wait(MARKED)
    assert (
        page.evaluate(
            "() => document.querySelectorAll('body [data-lm-suppress-shortcuts]:not(.cnnviz, .cnnviz *)').length"
        )
        == 1
    )


@pytest.mark.browser
def test_the_panel_around_it_keeps_its_keys_when_the_note_comes_last(show):
    shown = show(Note())
    page = shown.page
    page.evaluate("""() => {
      window.panel = document.createElement('section');
      window.panel.className = 'cnnviz-panel';
      document.body.append(window.panel);
    }""")
    page.evaluate(RENDER)
    shown.frames()
    assert not page.evaluate(MARKED)
    page.evaluate("() => window.panel.append(window.place)")
    shown.wait(MARKED)
    page.evaluate("() => { window.panel.remove(); window.end(); document.body.append(window.panel); }")
    assert page.evaluate(MARKED)


@pytest.mark.browser
@pytest.mark.parametrize("open_one", [True, False])
def test_only_an_open_note_waits_for_a_panel(show, open_one: bool):
    shown = show(Note())
    page = shown.page
    page.evaluate("() => harness.views[0].end()")
    page.evaluate(RENDER)
    page.evaluate("(open) => { document.body.append(window.place); if (!open) window.end(); }", open_one)
    page.evaluate("() => { document.body.className = 'cnnviz-panel'; }")
    shown.frames()
    assert page.evaluate("() => document.body.hasAttribute('data-lm-suppress-shortcuts')") == open_one
