"""Images chosen, dropped and pasted: their bytes, or a smaller JPEG of them, or a reason."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from PIL import Image, ImageOps, PngImagePlugin
from playwright.sync_api import FileChooser, expect

from cnnviz_widgets.views.image_upload import ImageUpload
from tests.views.harness import Shown

BUTTON = ".cnnviz-upload .cnnviz-button"
INPUT = ".cnnviz-upload input[type=file]"
LINE = ".cnnviz-upload .cnnviz-line"
ORIENTATION = 0x0112

# The harness's model keeps no buffers; these come back as text with their message.
KEEP_BUFFERS = """() => {
  const text = (buffer) => new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(',')[1] || '');
    reader.readAsDataURL(new Blob([buffer]));
  });
  window.sent = [];
  harness.model.send = (content, callbacks, buffers = []) => {
    window.sent.push(Promise.all(buffers.map(text)).then((texts) => [content, texts]));
  };
}"""
# A drop or a paste of files that are given as [name, type, text in base64].
TRANSFER = """([css, event, files]) => {
  const transfer = new DataTransfer();
  for (const [name, type, text] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, { type }));
  }
  const options = { bubbles: true, cancelable: true };
  const sent = event === 'paste'
    ? new ClipboardEvent('paste', { ...options, clipboardData: transfer })
    : new DragEvent(event, { ...options, dataTransfer: transfer });
  document.querySelector(css).dispatchEvent(sent);
  return sent.defaultPrevented;
}"""


class Uploading:
    """An upload view in a page and what its callbacks were told."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.page = shown.page
        self.uploads: list[tuple[str, bytes, bool]] = []
        self.refusals: list[tuple[str, str]] = []
        shown.view.on_upload(lambda *told: self.uploads.append(told))
        shown.view.on_refused(lambda *told: self.refusals.append(told))
        self.page.evaluate(KEEP_BUFFERS)

    def choose(self, *files: Any) -> None:
        self.shown.locator(INPUT).set_input_files(list(files))

    def deliver(self, count: int = 1) -> list[dict[str, Any]]:
        """Hand Python what the page sends, once it has sent that many messages."""
        self.shown.wait("window.sent.length >= argument", count)
        contents = []
        for content, texts in self.page.evaluate("() => Promise.all(window.sent.splice(0))"):
            buffers = [memoryview(base64.b64decode(text)) for text in texts]
            self.shown.view._handle_custom_msg(content, buffers)
            contents.append(content)
        return contents


@pytest.fixture
def upload(show: Callable[[Any], Shown]) -> Callable[..., Uploading]:
    return lambda **traits: Uploading(show(ImageUpload(**traits)))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def picture(width: int, height: int, noise: int = 60) -> Image.Image:
    """Red to the left, blue to the right, brighter downwards, with noise that keeps the file large."""
    pixels = np.zeros((height, width, 3), np.int16)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 150
    pixels += np.linspace(0, 40, height, dtype=np.int16)[:, None, None]
    pixels += np.random.default_rng(0).integers(0, noise + 1, pixels.shape, dtype=np.int16)
    return Image.fromarray(pixels.astype(np.uint8))


def payload(name: str, data: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": data}


def coarse(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BOX), np.int16)


def test_what_is_no_file_calls_nothing():
    view, told = ImageUpload(status="as before"), []
    view.on_upload(lambda *args: told.append(args))
    view.on_refused(lambda *args: told.append(args))
    for content in ({}, {"type": "file", "name": "a.png"}, {"type": "other"}):
        view._handle_custom_msg(content, [])
    assert told == []
    assert view.status == "as before"


def test_a_callback_can_be_taken_off_and_the_bytes_are_bytes():
    view, told = ImageUpload(), []

    def callback(name: str, data: bytes, scaled: bool) -> None:
        told.append((name, data, scaled))

    view.on_upload(callback)
    message = {"type": "file", "name": "a.png", "size": 3, "scaled": False, "number": 1}
    view._handle_custom_msg(message, [memoryview(b"abc")])
    view.on_upload(callback, remove=True)
    view._handle_custom_msg(message, [memoryview(b"def")])
    assert told == [("a.png", b"abc", False)]
    assert type(told[0][1]) is bytes


def test_the_status_is_empty_before_the_callback_so_that_the_same_again_is_news():
    view, states = ImageUpload(), []
    view.on_upload(lambda name, data, scaled: setattr(view, "status", "cannot read it"))
    view._send = lambda message, buffers=None: states.append(message["state"]["status"])
    for number in (1, 2):
        content = {"type": "file", "name": "a.png", "size": 1, "scaled": False, "number": number}
        view._handle_custom_msg(content, [b"a"])
    assert states == ["cannot read it", "", "cannot read it"]


def test_a_limit_below_one_byte_is_refused():
    with pytest.raises(traitlets.TraitError, match="limit"):
        ImageUpload(limit=0)


@pytest.mark.browser
def test_a_small_file_arrives_byte_for_byte(upload):
    up = upload()
    data = encoded(picture(40, 30), "PNG")
    up.choose(payload("Möwe <b>.png", data))
    message = up.deliver()[0]
    assert message == {"type": "file", "name": "Möwe <b>.png", "size": len(data), "scaled": False, "number": 1}
    assert up.uploads == [("Möwe <b>.png", data, False)]
    expect(up.shown.locator(LINE)).to_have_text(f"Möwe <b>.png, {len(data) / 1000:.3g} kB")
    up.choose(payload("Möwe <b>.png", data))
    assert up.deliver()[0]["number"] == 2


@pytest.mark.browser
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_large_file_arrives_as_a_smaller_upright_jpeg(upload, orientation: int):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(picture(600, 400), "JPEG", quality=95, exif=exif)
    limit = 20_000
    assert len(data) > 4 * limit
    up = upload(limit=limit)
    up.choose(payload("photo.jpg", data, "image/jpeg"))
    assert up.deliver()[0]["size"] == len(data)
    name, sent, scaled = up.uploads[0]
    assert (name, scaled) == ("photo.jpg", True)
    assert len(sent) <= limit
    got, expected = Image.open(io.BytesIO(sent)), ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert got.format == "JPEG"
    assert got.getexif().get(ORIENTATION, 1) == 1
    assert abs(got.width * expected.height / expected.width - got.height) <= 1
    assert np.abs(coarse(got) - coarse(expected)).max() < 12
    expect(up.shown.locator(LINE)).to_contain_text(f"photo.jpg, scaled down from {len(data) / 1000:.3g} kB to ")


@pytest.mark.browser
def test_above_the_default_limit_the_longest_side_becomes_2048_pixels(upload, tmp_path: Path):
    path = tmp_path / "scan.png"
    picture(2400, 1200, noise=0).save(path, compress_level=0)
    up = upload()
    assert path.stat().st_size > up.shown.view.limit
    up.choose(path)
    up.deliver()
    _, sent, scaled = up.uploads[0]
    assert scaled
    assert Image.open(io.BytesIO(sent)).size == (2048, 1024)
    expect(up.shown.locator(LINE)).to_contain_text("scaled down from 8.64 MB to ")


@pytest.mark.browser
def test_an_image_with_few_pixels_is_not_enlarged_and_transparency_becomes_white(upload):
    data = encoded(Image.new("RGBA", (200, 100), (0, 0, 0, 0)), "PNG", compress_level=0)
    up = upload(limit=len(data) // 4)
    up.choose(payload("clear.png", data))
    up.deliver()
    got = Image.open(io.BytesIO(up.uploads[0][1]))
    assert got.size == (200, 100)
    assert np.asarray(got).min() > 250


@pytest.mark.browser
def test_a_dropped_png_keeps_its_texts(upload):
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("recipe", '{"steps": 256, "name": "Möwe"}')
    data = encoded(picture(40, 30), "PNG", pnginfo=texts)
    up = upload()
    up.page.evaluate(TRANSFER, [BUTTON, "drop", [["run.png", "image/png", base64.b64encode(data).decode()]]])
    up.deliver()
    [(_, sent, scaled)] = up.uploads
    assert (sent, scaled) == (data, False)
    assert Image.open(io.BytesIO(sent)).text["recipe"] == '{"steps": 256, "name": "Möwe"}'


@pytest.mark.browser
def test_a_file_wanted_whole_is_refused_above_the_limit_and_taken_below(upload):
    data = encoded(picture(64, 64), "PNG")
    up = upload(limit=len(data), whole=True)
    up.choose(payload("fits.png", data))
    up.deliver()
    up.choose(payload("more.png", data + b"x"))
    up.deliver()
    assert up.uploads == [("fits.png", data, False)]
    [(name, reason)] = up.refusals
    assert name == "more.png"
    assert "is above the limit of" in reason
    assert "only the file as it is would do" in reason


@pytest.mark.browser
def test_what_is_no_image_is_python_s_business_below_the_limit(upload):
    up = upload()
    up.choose(payload("notes.jpg", b"no picture at all", "image/jpeg"))
    up.deliver()
    assert up.uploads == [("notes.jpg", b"no picture at all", False)]
    assert up.refusals == []


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "data"),
    [("notes.jpg", b"no picture at all" * 100), ("scan.tif", encoded(picture(40, 30), "TIFF"))],
)
def test_what_the_browser_cannot_decode_is_refused_above_the_limit(upload, name: str, data: bytes):
    up = upload(limit=1000, status="the image before")
    up.choose(payload(name, data))
    message = up.deliver()[0]
    assert (message["type"], message["size"], message["number"]) == ("refused", len(data), 1)
    assert up.uploads == []
    [(refused, reason)] = up.refusals
    assert refused == name
    assert "is above the limit of 1 kB" in reason
    assert "save it as a smaller JPEG or PNG" in reason
    expect(up.shown.locator(LINE)).to_have_text(f"{name}: {reason}")
    expect(up.shown.locator(LINE)).to_have_class("cnnviz-line cnnviz-upload-error")


@pytest.mark.browser
def test_a_limit_out_of_reach_and_an_empty_file_are_refused(upload):
    up = upload(limit=100)
    up.choose(payload("photo.png", encoded(picture(64, 64), "PNG")))
    up.deliver()
    up.choose(payload("empty.png", b""))
    up.deliver()
    assert [name for name, _ in up.refusals] == ["photo.png", "empty.png"]
    assert "cannot be scaled down that far" in up.refusals[0][1]
    assert "is empty" in up.refusals[1][1]


@pytest.mark.browser
def test_of_two_files_in_a_row_only_the_last_is_sent(upload):
    up = upload(limit=20_000)
    large, small = encoded(picture(600, 400), "PNG"), encoded(picture(20, 20), "PNG")
    files = [[name, "image/png", base64.b64encode(data).decode()] for name, data in (("a", large), ("b", small))]
    up.page.evaluate(
        f"([css, files]) => {{ for (const file of files) ({TRANSFER})([css, 'drop', [file]]); }}", [BUTTON, files]
    )
    up.deliver()
    # Every pixel of the large one would have been read by the time a third file arrives.
    up.choose(payload("large again.png", large))
    up.deliver()
    assert [(name, scaled) for name, _, scaled in up.uploads] == [("b", False), ("large again.png", True)]


@pytest.mark.browser
def test_a_file_dragged_onto_it_is_taken(upload, tmp_path: Path):
    """With the browser's own drag, so that the events are those of a person."""
    data = encoded(picture(40, 30), "PNG")
    (tmp_path / "gull.png").write_bytes(data)
    up = upload()
    box = up.shown.locator(".cnnviz-upload").bounding_box()
    session = up.page.context.new_cdp_session(up.page)

    def drag(kind: str, x: float) -> None:
        dragged = {"items": [], "files": [str(tmp_path / "gull.png")], "dragOperationsMask": 1}
        at = {"x": x, "y": box["y"] + box["height"] / 2}
        session.send("Input.dispatchDragEvent", {"type": kind, "data": dragged, **at})

    over = "document.querySelector('.cnnviz-upload-over') !== null"
    drag("dragEnter", box["x"] + 300)
    drag("dragOver", box["x"] + 300)
    up.shown.wait(over)
    drag("dragOver", box["x"] + 20)
    up.shown.wait(over)
    drag("drop", box["x"] + 20)
    up.deliver()
    assert up.uploads == [("gull.png", data, False)]
    up.shown.wait(f"!({over})")


@pytest.mark.browser
def test_a_drag_that_leaves_and_a_drag_of_text_change_nothing(upload):
    up = upload()
    image = ["a.png", "image/png", ""]
    assert up.page.evaluate(TRANSFER, [".cnnviz-upload", "dragover", [image]])
    assert up.page.locator(".cnnviz-upload-over").count() == 1
    up.page.evaluate(TRANSFER, [".cnnviz-upload", "dragleave", [image]])
    assert up.page.locator(".cnnviz-upload-over").count() == 0
    assert not up.page.evaluate(TRANSFER, [".cnnviz-upload", "dragover", []])
    assert not up.page.evaluate(TRANSFER, [".cnnviz-upload", "drop", []])
    assert up.page.locator(".cnnviz-upload-over").count() == 0
    assert up.page.evaluate("() => window.sent.length") == 0


@pytest.mark.browser
def test_the_first_of_several_is_taken_and_said_to_be(upload):
    up = upload()
    text = base64.b64encode(b"abc").decode()
    files = [["one.png", "image/png", text], ["two.png", "image/png", ""]]
    up.page.evaluate(TRANSFER, [".cnnviz-upload", "drop", files])
    up.deliver()
    assert up.uploads == [("one.png", b"abc", False)]
    expect(up.shown.locator(LINE)).to_have_text("one.png (the first of 2 files), 3 bytes")


@pytest.mark.browser
def test_an_image_is_pasted_and_a_text_is_not(upload):
    up = upload()
    up.shown.locator(LINE).click()
    expect(up.shown.locator(BUTTON)).to_be_focused()
    up.page.keyboard.press("Control+V")
    expect(up.shown.locator(LINE)).to_contain_text("no image on the clipboard")
    data = encoded(picture(20, 20), "PNG")
    pasted = [["image.png", "image/png", base64.b64encode(data).decode()]]
    assert up.page.evaluate(TRANSFER, [BUTTON, "paste", pasted])
    up.deliver()
    assert up.uploads == [("image.png", data, False)]
    expect(up.shown.locator(LINE)).not_to_have_class("cnnviz-upload-error")


@pytest.mark.browser
def test_the_dialog_opens_by_keyboard_and_offers_what_is_accepted(upload):
    up = upload(label="Open photo…", accept=".png,.jpg")
    opened: list[FileChooser] = []
    # Before the first key: a dialog is only caught some time after one begins to listen.
    up.page.on("filechooser", lambda chooser: opened.append(chooser))
    up.shown.frames()
    expect(up.shown.locator(BUTTON)).to_have_accessible_name("Open photo… or drop or paste an image here")
    up.page.keyboard.press("Tab")
    expect(up.shown.locator(BUTTON)).to_be_focused()
    assert up.shown.locator(BUTTON).evaluate("node => parseFloat(getComputedStyle(node).outlineWidth)") >= 2
    with up.page.expect_event("filechooser"):
        up.page.keyboard.press("Enter")
    assert not opened[0].is_multiple()
    assert up.shown.locator(INPUT).get_attribute("accept") == ".png,.jpg"
    opened[0].set_files([payload("a.png", b"abc")])
    up.deliver()
    up.page.keyboard.press("Tab")
    assert up.page.evaluate("() => document.activeElement === document.body")


@pytest.mark.browser
def test_python_s_status_takes_the_place_of_the_file_s_name(upload):
    up = upload()
    line = up.shown.locator(LINE)
    expect(line).to_have_text("or drop or paste an image here")
    up.shown.view.on_upload(lambda name, data, scaled: setattr(up.shown.view, "status", "<i>not</i> an image"))
    for _ in range(2):
        up.choose(payload("a.png", b"abc"))
        expect(line).to_have_text("a.png, 3 bytes")
        up.deliver()
        expect(line).to_have_text("<i>not</i> an image")
    up.shown.view.status = ""
    expect(line).to_have_text("or drop or paste an image here")


@pytest.mark.browser
def test_every_view_shows_the_same_and_comes_back(upload):
    up = upload()
    up.page.evaluate("() => harness.render()")
    up.choose(payload("a.png", b"abc"))
    up.deliver()
    expect(up.page.locator(LINE)).to_have_text(["a.png, 3 bytes"] * 2)
    up.shown.detach()
    up.shown.view.label = "Another…"
    expect(up.page.locator(BUTTON)).to_have_text(["Another…"] * 2)
    expect(up.page.locator(LINE)).to_have_text(["a.png, 3 bytes"] * 2)
    up.page.evaluate("() => { harness.views[0].end(); harness.views[1].end(); }")
    assert up.page.locator(".cnnviz-upload").count() == 0
