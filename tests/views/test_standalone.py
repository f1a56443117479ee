"""One file that shows views without Python, opened from the disk: it works, asks nobody, and runs nothing that it shows."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from cnnviz_widgets.engine.projections.legend import label_color
from cnnviz_widgets.views import (
    BarChart,
    Cell,
    Download,
    FramePlayer,
    Histogram,
    ImageGrid,
    ImageMap,
    ImageUpload,
    LayerTree,
    Note,
    PictureTable,
    ThumbnailAtlas,
)
from cnnviz_widgets.views._base import View
from cnnviz_widgets.views._recording import Answer, Recording
from cnnviz_widgets.views.standalone import Choice, page
from tests.views.harness import Shown

CANVAS = ".cnnviz-map-canvas"
VIEWPORT = ".cnnviz-map-viewport"
HOSTILE = "</script><img src=x onerror='hacked=1'><!--<script>\u2028&amp;\"'"
COLORS = {"red": (200, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 200), "grey": (120, 120, 120)}
CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])


FETCH = "(url) => fetch(url, { mode: 'no-cors' }).then(() => 'sent', () => 'refused')"
LOAD = """([kind, url]) => new Promise((done) => {
  const node = document.createElement(kind);
  node.onload = node.onerror = done;
  node.src = url;
  document.body.append(node);
  setTimeout(done, 500);
})"""
STYLE = "(url) => { document.body.style.backgroundImage = `url(${url})`; }"
RUN = """() => {
  const node = document.createElement('script');
  node.textContent = 'window.ran = 1';
  document.body.append(node);
}"""


class Opened(Shown):
    """A page that no Python stands behind."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def settle(self) -> Opened:
        """Until nothing moves and all of the map in sight is drawn as sharply as it can be."""
        seen = None
        self.frames(3)
        while seen != (seen := self.data(CANVAS, "view")):
            self.frames(6)
        self.wait(f"document.querySelector('{CANVAS}').dataset.settled === 'true'")
        return self

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a place of the world is on the page."""
        x, y, scale = map(float, self.data(CANVAS, "view").split())
        box = self.locator(CANVAS).bounding_box()
        return (
            box["x"] + (point[0] - x) * scale + box["width"] / 2,
            box["y"] + (point[1] - y) * scale + box["height"] / 2,
        )

    def color(self, point: tuple[float, float]) -> np.ndarray:
        x, y = self.at(point)
        box = self.locator(CANVAS).bounding_box()
        return self.pixels(CANVAS)[round(y - box["y"]), round(x - box["x"]), :3].astype(int)

    def near(self, point: tuple[float, float], name: str) -> bool:
        return bool(np.abs(self.color(point) - COLORS[name]).max() < 12)


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens the text of a page from a file; in the end nothing was asked for but that file and what it holds."""
    contexts, faults = [], []

    def open_(text: str, **options: Any) -> Opened:
        context = chromium.new_context(
            **{"viewport": {"width": 900, "height": 1000}, "device_scale_factor": 1} | options
        )
        contexts.append(context)
        found = context.new_page()
        address = (tmp_path / "page.html").as_uri()
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        own = lambda url: url == address or url.startswith(("blob:", "data:"))  # noqa: E731
        found.on("request", lambda request: None if own(request.url) else faults.append(f"request to {request.url}"))
        found.on("pageerror", lambda error: faults.append(f"uncaught {error}"))
        found.on("console", lambda line: faults.append(line.text) if line.type in ("error", "warning") else None)
        found.goto(address)
        return Opened(found)

    yield open_
    for context in contexts:
        context.close()
    assert not faults


def corner_map(labels: list[str] | None = None, points: np.ndarray = CORNERS, **arguments: Any) -> ImageMap:
    """Four plain pictures at the corners of a square, and in another order on a grid."""
    view = ImageMap(height=400, duration=0)
    if points is not CORNERS:
        view.show(points, labels or [], **arguments)
        return view
    pictures = [Image.new("RGB", (128, 96), color) for color in COLORS.values()]
    known = {"titles": list(COLORS), "thumbnails": pictures, "grid": CORNERS[::-1]}
    view.show(CORNERS, labels or ["warm", "warm", "cold", "cold"], **(known | arguments))
    return view


def striped_map(count: int) -> ImageMap:
    """Pictures whose fine stripes are seen from near only."""
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[::4] = stripes[1::4] = 255
    view = ImageMap(height=400)
    side = int(count**0.5)
    view.show(np.array([divmod(i, side) for i in range(count)], float), thumbnails=[Image.fromarray(stripes)] * count)
    return view


def data_in(text: str) -> dict[str, Any]:
    """What the page's own script reads."""
    return json.loads(re.search(r'id="cnnviz-views">(.*)</script>', text)[1])


def test_a_text_is_escaped_wherever_it_stands():
    shown = [HOSTILE, (HOSTILE, Choice([HOSTILE], [Note(text=HOSTILE)], label=HOSTILE))]
    text = page(shown, title=HOSTILE, language='e"n')
    assert "<img" not in text
    assert text.count("<script") == text.count("</script>") == 1 + 1
    assert "\u2028" not in re.search(r'id="cnnviz-views">(.*)</script>', text)[1]
    assert data_in(text)["views"][0]["state"]["text"] == HOSTILE
    assert '<html lang="e&quot;n">' in text


def test_what_is_not_unicode_can_be_written():
    odd = "caf\udce9.jpg"
    text = page([odd, Note(text=odd)], title=odd)
    assert text.encode("utf-8")
    assert data_in(text)["views"][0]["state"]["text"] == odd


def test_what_views_share_is_kept_once():
    pixels = np.full((1, 4, 4), 7, np.uint8)
    grids = [ImageGrid(), ImageGrid()]
    for grid in grids:
        grid.show(pixels, np.array([[0, 1]]), caption=str(id(grid)))
    text = page([*grids, grids[0]], title="grids")
    found = data_in(text)
    assert [view["module"] for view in found["views"]] == [0, 0]
    assert re.findall(r'data-recorded="(\d)"', text) == ["0", "1", "0"]
    assert found["views"][0]["bytes"]["pixels"] == found["views"][1]["bytes"]["pixels"]
    assert text.count(ImageGrid._css.strip()[-60:]) == 1


def test_a_recording_keeps_the_state_it_was_made_in():
    chart = BarChart(labels=["before"], values=[1.0])
    recording = chart.recording()
    chart.assign(labels=["after"], values=[2.0])
    states = [view["state"]["labels"] for view in data_in(page([recording, chart], title="two"))["views"]]
    assert states == [["before"], ["after"]]


def test_the_state_is_that_of_the_synced_traits_and_nothing_else():
    note = Note(text="x")
    note.layout.width = "100px"
    assert dict(note.recording().state) == {"text": "x", "kind": "info"}


def test_numbers_that_json_lacks_become_their_names():
    recording = Recording(
        "export default {}", "", {"values": [float("nan"), float("inf"), 1.5], "bytes": memoryview(b"a")}
    )
    state = data_in(page(recording, title="odd"))["views"][0]["state"]
    assert state == {"values": ["nan", "inf", 1.5]}


def test_wrong_parts_are_refused():
    with pytest.raises(TypeError, match="is a int; expected a view"):
        page([Note(), 3], title="x")
    with pytest.raises(TypeError, match="is a tuple"):
        page([("heading", Note(), Note())], title="x")
    with pytest.raises(ValueError, match="1 names for 2 parts"):
        Choice(["one"], [Note(), Note()])
    with pytest.raises(ValueError, match="0 names for 0 parts"):
        Choice([], [])
    with pytest.raises(ValueError, match="expected 0 to 0"):
        Choice(["one"], ["text"], selected=1)
    with pytest.raises(TypeError, match="JSON"):
        page(Recording("", "", {"odd": object()}), title="x")


def test_a_map_records_its_levels_as_far_as_there_is_room():
    view = corner_map()
    whole = view.recording()
    assert whole.state["sides"] == [8, 16, 32, 64, 128]
    asked = [answer.question for answer in whole.answers]
    assert asked[:5] == [{"type": "pages", "wanted": [level, 0]} for level in range(5)]
    assert asked[5:] == [{"type": "large", "index": i} for i in range(4)]
    assert {answer.message["version"] for answer in whole.answers} == {view.version}
    sizes = [len(answer.buffers[0]) for answer in whole.answers]
    half = view.recording(sum(sizes[:3]) + 1)
    assert half.state["sides"] == [8, 16, 32]
    assert [answer.message["level"] for answer in half.answers] == [0, 1, 2]
    none = view.recording(0)
    assert (none.state["sides"], none.state["order"], none.answers) == ([], b"", ())
    assert view.sides == [8, 16, 32, 64, 128]
    assert sum(len(answer.buffers[0]) for answer in view.recording(sum(sizes) - 1).answers) < sum(sizes)


def test_a_map_records_the_large_pictures_of_its_caller():
    view = corner_map(large=lambda i: f"picture {i}".encode())
    assert view.recording().answers[-1].buffers == (b"picture 3",)
    later = corner_map(large=lambda i: None).recording()
    assert all(answer.message["type"] == "page" for answer in later.answers)


def test_a_map_without_thumbnails_or_with_broken_ones_is_recorded():
    view = ImageMap()
    view.show(CORNERS)
    assert view.recording().answers == ()
    view.show(CORNERS[:0], thumbnails=[])
    assert view.recording().answers == ()

    class Torn(ThumbnailAtlas):
        def page(self, level: int, number: int) -> bytes:
            if level:
                raise OSError("disk gone")
            return super().page(level, number)

    view.show(CORNERS, thumbnails=Torn([Image.new("RGB", (9, 9))] * 4, range(4)))
    found = view.recording()
    assert [bool(answer.buffers[0]) for answer in found.answers[:5]] == [True, False, False, False, False]


@pytest.mark.browser
def test_a_map_is_drawn_from_its_thumbnails(opened):
    shown = opened(page(("Map", corner_map()), title="Corners")).settle()
    assert shown.page.title() == "Corners"
    # y grows upwards
    assert shown.near((0, 1), "red")
    assert shown.near((1, 1), "green")
    assert shown.near((0, 0), "blue")
    assert shown.near((1, 0), "grey")


@pytest.mark.browser
def test_the_wheel_zooms_and_finer_pages_come(opened):
    shown = opened(page(striped_map(400), title="Stripes")).settle()
    before, size = shown.pixels(CANVAS), float(shown.data(CANVAS, "size"))
    assert size < 40
    x, y = shown.at((9 / 19, 9 / 19))
    shown.page.mouse.click(x, y)
    shown.page.mouse.move(x + 1, y)
    for _ in range(12):
        shown.page.mouse.wheel(0, -240)
        shown.frames(2)
    shown.settle()
    assert float(shown.data(CANVAS, "size")) > 100
    after = shown.pixels(CANVAS)
    assert (after != before).mean() > 0.2
    # The stripes of 2 pixels are grey in every page but the finest.
    painted = after[after[..., 3] == 255][:, 0]
    assert np.mean((painted < 40) | (painted > 215)) > 0.5
    known = before[before[..., 3] == 255][:, 0]
    assert np.mean((known < 40) | (known > 215)) < 0.1


@pytest.mark.browser
def test_pointing_shows_the_large_picture_and_a_click_selects(opened):
    shown = opened(page(corner_map(), title="Corners")).settle()
    shown.page.mouse.move(*shown.at((0.02, 0.98)))
    tip = shown.page.locator(".cnnviz-map-tip")
    expect(tip).to_contain_text("red")
    # The whole picture, which only the answer to a question for it holds: the pages have squares.
    shown.wait("document.querySelector('.cnnviz-map-tip img')?.naturalWidth === 128")
    assert shown.locator(".cnnviz-map-tip img").evaluate("(node) => node.naturalHeight") == 96
    shown.page.mouse.click(*shown.at((0.02, 0.98)))
    shown.page.mouse.move(1, 1)
    expect(shown.page.locator(".cnnviz-line").first).to_contain_text("red")
    assert shown.data(CANVAS, "selected") == "0"


@pytest.mark.browser
def test_the_slider_moves_the_images_to_the_grid_and_the_legend_filters(opened):
    shown = opened(page(corner_map(), title="Corners")).settle()
    shown.locator(".cnnviz-map-slider").press("End")
    shown.settle()
    assert shown.near((0, 1), "grey")
    assert shown.near((1, 0), "red")
    shown.locator(".cnnviz-map-entry").click()
    expect(shown.page.locator(".cnnviz-line").first).to_contain_text("2 of 4 images shown")
    shown.settle()
    assert not shown.near((0, 1), "grey")


@pytest.mark.browser
def test_keys_and_the_lasso_work_as_with_python(opened):
    shown = opened(page(corner_map(), title="Corners")).settle()
    shown.page.get_by_role("button", name=re.compile("Choose images by drawing")).click()
    mouse = shown.page.mouse
    mouse.move(*shown.at((-0.1, 1.1)))
    mouse.down()
    for point in ((1.1, 1.1), (1.1, 0.7), (-0.1, 0.7)):
        mouse.move(*shown.at(point), steps=4)
    mouse.up()
    expect(shown.page.locator(".cnnviz-line").first).to_contain_text("2 of 4 images chosen")


@pytest.mark.browser
def test_nothing_that_is_shown_runs(opened):
    view = corner_map([HOSTILE, HOSTILE, "b", "b"], titles=[HOSTILE] * 4, caption=HOSTILE)
    table = PictureTable()
    table.show([Cell(b"", (HOSTILE,), title=HOSTILE)])
    styled = Recording("export default { render() {} }", "</style><b id=escaped></b>", {})
    parts = [view, styled, (HOSTILE, Choice([HOSTILE, "other"], [table, Note(text=HOSTILE, kind="error")])), HOSTILE]
    shown = opened(page(parts, title=HOSTILE)).settle()
    assert shown.page.title().split() == HOSTILE.split()
    expect(shown.page.locator("h1")).to_have_text(HOSTILE)
    expect(shown.page.locator(".cnnviz-map-name").first).to_have_text(HOSTILE)
    expect(shown.page.locator("option").first).to_have_text(HOSTILE)
    shown.page.locator(".page-select").select_option(index=1)
    expect(shown.page.locator(".cnnviz-note-text")).to_have_text(HOSTILE)
    assert shown.page.evaluate("() => typeof hacked") == "undefined"
    assert shown.page.locator("img[src=x], #escaped").count() == 0


@pytest.mark.browser
def test_the_policy_of_the_page_forbids_connections_and_other_scripts(chromium, tmp_path):
    asked: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        path = tmp_path / "page.html"
        path.write_text(page(Note(text="x"), title="x"), encoding="utf-8")
        with chromium.new_context() as context:
            found = context.new_page()
            found.goto(path.as_uri())
            assert found.evaluate(FETCH, f"{address}/fetch") == "refused"
            for kind in ("img", "script", "iframe"):
                found.evaluate(LOAD, [kind, f"{address}/{kind}"])
            found.evaluate(STYLE, f"{address}/css")
            found.evaluate(RUN)
            assert found.evaluate("() => typeof ran") == "undefined"
            found.wait_for_timeout(200)
            assert asked == []
            # The host does answer whom the policy does not bind.
            free = context.new_page()
            free.goto(f"{address}/free")
        server.shutdown()
    assert "/free" in asked


def every_view() -> list[View]:
    """One of each, with something to show."""
    grid, table, bins, player = ImageGrid(), PictureTable(), Histogram(), FramePlayer()
    grid.show(np.arange(64, dtype=np.uint8).reshape(4, 4, 4), np.tile([0.0, 1.0], (4, 1)))
    table.show([Cell(png((200, 30, 30)), ("tabby",)), Cell(b"", ("lynx",))])
    bins.show(np.linspace(0, 1, 5), np.arange(4))
    player.start(1, 10)
    player.offer(0, [0.1], lambda: b"")
    player.rest(5, [0.4], png((30, 30, 200)))
    tree = LayerTree()
    tree.layers = [{"name": "layer1.conv", "kind": "Conv2d", "shape": [8, 4, 4], "main": True}]
    return [grid, table, bins, player, tree, BarChart(labels=["a"], values=[0.5]), corner_map(), Note(text="note"), ImageUpload(),
            Download()]  # fmt: skip


def png(color: tuple[int, int, int]) -> bytes:
    import io

    file = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(file, "PNG")
    return file.getvalue()


@pytest.mark.browser
def test_every_view_stands_in_one_page(opened):
    views = every_view()
    shown = opened(page([(type(view).__name__, view) for view in views], title="all"))
    shown.wait(f"document.querySelectorAll('[data-shown]').length === {len(views)}")
    shown.settle()
    assert shown.page.locator("h2").all_text_contents() == [type(view).__name__ for view in views]
    assert shown.page.locator(".page-failed").count() == 0
    assert shown.pixels(".cnnviz-player canvas")[..., 2].max() > 180
    expect(shown.page.locator(".cnnviz-bars")).to_contain_text("0.5")
    shown.page.keyboard.press("Tab")
    assert shown.page.evaluate("() => document.activeElement !== document.body")


@pytest.mark.browser
def test_one_of_several_is_shown_by_choice_and_started_then(opened):
    charts = [BarChart(labels=[name], values=[1.0]) for name in ("first", "second", "third")]
    inner = Choice(["i", "ii"], ["text one", charts[2]], label="Part")
    choice = Choice(["a", "b", "c"], [charts[0], charts[1], [inner]], label="Unit", selected=1)
    shown = opened(page(choice, title="units"))
    expect(shown.page.get_by_text("second", exact=True)).to_be_visible()
    assert shown.page.locator("[data-begun]").count() == 1
    unit = shown.page.get_by_label("Unit")
    unit.select_option("a")
    expect(shown.page.get_by_text("first", exact=True)).to_be_visible()
    expect(shown.page.get_by_text("second", exact=True)).to_be_hidden()
    unit.select_option("c")
    expect(shown.page.get_by_text("text one")).to_be_visible()
    assert shown.page.locator("[data-begun]").count() == 2
    shown.page.get_by_label("Part").select_option("ii")
    expect(shown.page.get_by_text("third", exact=True)).to_be_visible()


@pytest.mark.browser
def test_a_map_behind_a_choice_is_drawn_when_it_is_chosen(opened):
    shown = opened(page(Choice(["text", "map"], ["nothing yet", corner_map()]), title="hidden"))
    assert shown.page.locator(CANVAS).count() == 0
    choice = shown.page.locator(".page-select")
    choice.select_option("map")
    shown.page.locator(CANVAS).wait_for()
    assert shown.settle().near((0, 1), "red")
    shown.page.get_by_role("button", name="Zoom in").click()
    size = shown.settle().data(CANVAS, "view")
    choice.select_option("text")
    expect(shown.page.locator(CANVAS)).to_be_hidden()
    choice.select_option("map")
    assert shown.settle().data(CANVAS, "view") == size


@pytest.mark.browser
def test_labels_have_the_colors_that_they_have_on_a_poster(opened):
    count = 24
    view = corner_map([f"{i:02}" for i in range(count)], points=np.random.default_rng(0).random((count, 2)))
    shown = opened(page(view, title="colours")).settle()
    script = "(nodes) => nodes.map((node) => getComputedStyle(node).backgroundColor)"
    swatches = shown.page.locator(".cnnviz-map-swatch").evaluate_all(script)
    assert swatches == [f"rgb{label_color(i)}" for i in range(count)]


@pytest.mark.browser
def test_questions_are_answered_field_by_field_or_not_at_all(opened):
    class Asking(View):
        _esm = """export default { render({ model, el }) {
          model.on("msg:custom", (message, [data]) => {
            el.append(`${message.told} ${new TextDecoder().decode(data)};`);
          });
          model.send({ type: "many", wanted: [[0, 1], [2, 0]], other: 5 });
          model.send({ type: "one", name: "é<" });
          model.send({ type: "nobody" });
        } }"""
        _css = ""
        number = traitlets.Int(0).tag(sync=True)

        def recording(self, most_bytes: int = 0) -> Recording:
            found = super().recording(most_bytes)
            answers = (
                Answer({"type": "many", "wanted": [2, 0]}, {"told": "c"}, (b"C",)),
                Answer({"type": "many", "wanted": [0, 1]}, {"told": "a"}, (b"A",)),
                Answer({"type": "many", "wanted": [0, 2]}, {"told": "b"}, (b"B",)),
                Answer({"type": "one", "name": "é<"}, {"told": "one"}, ("ü".encode(),)),
                Answer({"type": "one", "name": "other"}, {"told": "two"}, (b"",)),
            )
            return Recording(found.script, found.style, found.state, answers)

    shown = opened(page(Asking(), title="asking"))
    expect(shown.page.locator(".page-view")).to_have_text("c C;a A;one ü;")


@pytest.mark.browser
def test_a_view_that_fails_tells_so_and_leaves_the_others(opened):
    text = page([Recording("export default { render() { throw new Error('<b>torn</b>'); } }", "", {}), Note(text="well")],
                title="one fails")  # fmt: skip
    quiet = text.replace("console.error(error);", "")
    quiet = re.sub(r"'sha256-[^']*'", "'unsafe-inline'", quiet)
    shown = opened(quiet)
    expect(shown.page.locator(".page-failed")).to_have_text("This part can't be shown: Error: <b>torn</b>")
    expect(shown.page.locator(".cnnviz-note-text")).to_have_text("well")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_or_dark_as_the_reader_prefers(opened, scheme: str):
    shown = opened(page([Note(text="seen"), "text"], title="scheme"), color_scheme=scheme)
    script = "(css) => getComputedStyle(document.querySelector(css))"
    grounds = [shown.page.evaluate(f"({script})('{css}').backgroundColor") for css in ("body", ".cnnviz-note")]
    inks = [shown.page.evaluate(f"({script})('{css}').color") for css in ("h1", ".page-text", ".cnnviz-note-text")]
    tone = lambda text: sum(map(int, re.findall(r"\d+", text)[:3])) / 3  # noqa: E731
    assert all((tone(ground) < 60) == (scheme == "dark") for ground in grounds)
    assert all((tone(ink) > 180) == (scheme == "dark") for ink in inks)


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_fits_narrow_and_wide_windows(opened, width: int):
    shown = opened(page([corner_map(), *every_view()], title="w" * 90), viewport={"width": width, "height": 800})
    assert shown.page.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_without_scripts_the_page_says_so(opened):
    shown = opened(page([("Heading", Note(text="x")), "a text"], title="plain"), java_script_enabled=False)
    assert "need JavaScript" in shown.locator("noscript").evaluate("(node) => node.innerText")
    expect(shown.page.get_by_text("a text")).to_be_visible()


LATER = """() => {
  const plain = window.setTimeout;
  window.later = 0;
  window.setTimeout = (work, wait, ...more) => {
    if (wait >= 500) window.later += 1;
    return plain(work, wait, ...more);
  };
}"""


@pytest.mark.browser
def test_a_run_opens_at_its_newest_picture_and_asks_once_for_what_nobody_can_tell(opened):
    player = FramePlayer()
    player.start(1, 10)
    player.rest(0, [0.1], png((30, 30, 200)))
    player.rest(5, [0.4], png((30, 30, 200)))
    player.looking_at = 2
    recording = player.recording()
    assert player.looking_at == 2
    shown = opened(page(recording, title="run"))
    readout = shown.page.locator(".cnnviz-player-readout")
    expect(readout).to_contain_text("step 5 of 10")
    expect(readout).not_to_contain_text("looking back")
    shown.page.evaluate(LATER)
    shown.locator(".cnnviz-player-scrubber").press("Home")
    expect(readout).to_contain_text("looking back")
    shown.frames(3)
    assert shown.page.evaluate("() => window.later") == 0
