"""How smooth the map of images is: frame times while it is panned and zoomed, in Chromium without a GPU.

Run ``python benchmarks/map_view.py``. Synthetic thumbnails lie in clusters; a pointer drags the map to and fro, then the wheel
zooms in and out about changing places. The pages of thumbnails are made and sent while that happens, in binary, as a notebook
sends them. A frame's time is that between two callbacks of the browser's animation clock, so 16.7 ms is the best there is.
"""

from __future__ import annotations

import argparse
import colorsys
import io
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, Route, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cnnviz_widgets.views import ImageMap, ThumbnailAtlas
from cnnviz_widgets.views.atlas import hilbert_order
from tests.chromium import launch
from tests.views.harness import ADDRESS, HTML, SHIM, Shown

CANVAS = ".cnnviz-map-canvas"
PATTERNS = 256
# What the page asks for is fetched: a message with a buffer, as the kernel's, without the cost of passing it as text.
ANSWER = """() => {
  const { model } = harness;
  model.send = async (content) => {
    if (content.type !== 'pages') return;
    for (const [level, number] of content.wanted) {
      const buffer = await (await fetch(`/page/${level}/${number}`)).arrayBuffer();
      model.trigger('msg:custom', { type: 'page', version: content.version, level, number }, [new DataView(buffer)]);
    }
  };
  const asked = model.outbox.splice(0).map((message) => message.content);
  asked.forEach((content) => model.send(content));
}"""
# When something was drawn, and when all of it, in seconds since this was called.
WATCH = f"""() => {{
  const start = performance.now();
  window.seen = [];
  const look = () => {{
    const data = document.querySelector('{CANVAS}')?.dataset;
    if (data?.view && !window.seen.length) window.seen.push((performance.now() - start) / 1000);
    if (data?.settled === 'true') window.seen.push((performance.now() - start) / 1000);
    if (window.seen.length < 2) requestAnimationFrame(look);
  }};
  look();
}}"""
RECORD = """() => {
  window.times = [];
  let last = performance.now();
  const note = (now) => {
    window.times.push(now - last);
    last = now;
    window.recording = requestAnimationFrame(note);
  };
  window.recording = requestAnimationFrame(note);
}"""
RECORDED = "() => { cancelAnimationFrame(window.recording); return window.times.slice(3); }"


@dataclass
class Scene:
    """A map in a page, and what was sent to it."""

    page: Page
    view: ImageMap
    atlas: ThumbnailAtlas
    sent: list[int] = field(default_factory=list)
    first: float = math.nan
    coarse: float = math.nan


def pattern(index: int) -> bytes:
    """A colourful JPEG of 128 pixels."""
    rng = np.random.default_rng(index)
    picture = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize(
        (128, 128), Image.Resampling.BICUBIC
    )
    color = tuple(round(255 * value) for value in colorsys.hsv_to_rgb(index / PATTERNS, 0.8, 0.9))
    left, top = (int(value) for value in rng.integers(10, 60, 2))
    ImageDraw.Draw(picture).ellipse((left, top, left + 55, top + 55), fill=color)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def clusters(count: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    middles = rng.uniform(-10, 10, (40, 2))
    kinds = rng.integers(0, len(middles), count)
    points = middles[kinds] + rng.normal(size=(count, 2)) * rng.uniform(0.4, 1.4, (len(middles), 1))[kinds]
    return points.astype(np.float32), [f"cluster {kind % 20 + 1}" for kind in kinds]


def opened(browser: Browser, count: int) -> Scene:
    """A map, and the seconds until it shows something and until it shows images."""
    points, labels = clusters(count)
    thumbnails = [pattern(index) for index in range(PATTERNS)]
    small = np.stack([_square(data) for data in thumbnails])[np.arange(count) % PATTERNS]
    order = hilbert_order(points)
    atlas = ThumbnailAtlas(lambda index: thumbnails[index % PATTERNS], order, small=small)
    view = ImageMap(height=700)
    view.show(points, labels, thumbnails=atlas)
    page = browser.new_context(viewport={"width": 1200, "height": 800}, device_scale_factor=1).new_page()
    scene = Scene(page, view, atlas)
    page.route(lambda url: url.startswith("http"), lambda route: answer(scene, route))
    page.goto(ADDRESS)
    page.add_script_tag(content=SHIM)
    page.evaluate(WATCH)
    Shown(view, page)
    page.evaluate(ANSWER)
    page.wait_for_function("window.seen.length > 1", timeout=120_000)
    scene.first, scene.coarse = page.evaluate("() => window.seen")
    return scene


def _square(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((16, 16), Image.Resampling.BOX))


def answer(scene: Scene, route: Route) -> None:
    if "/page/" not in route.request.url:
        route.fulfill(body=HTML, content_type="text/html")
        return
    level, number = map(int, route.request.url.split("/")[-2:])
    data = scene.atlas.page(level, number)
    scene.sent.append(len(data))
    route.fulfill(body=data, content_type="image/jpeg")


def pan(page: Page, seconds: float) -> None:
    """Drag to and fro, more slowly and faster."""
    page.mouse.move(450, 350)
    page.mouse.down()
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        page.mouse.move(450 + 330 * math.sin(2.1 * passed), 350 + 220 * math.sin(3.3 * passed))
        page.wait_for_timeout(8)
    page.mouse.up()


def zoom(page: Page, seconds: float, span: float = 3.0) -> None:
    """Zoom in for a while about one place, out again, in about another."""
    page.mouse.click(20, 20)
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        turn = passed // span
        page.mouse.move(350 + 90 * (turn // 2 % 3), 300 + 50 * (turn // 2 % 3))
        page.mouse.wheel(0, -36 if turn % 2 == 0 else 36)
        page.wait_for_timeout(8)


def wander(page: Page, seconds: float) -> None:
    """Pan from near, where images are drawn."""
    page.locator(CANVAS).click(position={"x": 400, "y": 340})
    for _ in range(3):
        page.keyboard.press("+")
        page.wait_for_timeout(250)
    pan(page, seconds)
    page.keyboard.press("Home")
    page.wait_for_timeout(1200)


def recorded(page: Page, act: Any, seconds: float) -> list[float]:
    page.evaluate(RECORD)
    act(page, seconds)
    return page.evaluate(RECORDED)


def tell(name: str, times: list[float]) -> None:
    median, late = np.percentile(times, [50, 95])
    dropped = np.mean(np.asarray(times) > 25)
    print(
        f"  {name:<26} {1000 * len(times) / sum(times):>8.1f} {median:>9.1f} {late:>9.1f} {max(times):>9.1f} {dropped:>9.1%}",
        flush=True,
    )


def measured(browser: Browser, count: int, seconds: float) -> None:
    scene = opened(browser, count)
    page = scene.page
    print(
        f"\n{count:,} images: something seen after {scene.first:.2f} s, images after {scene.coarse:.2f} s", flush=True
    )
    print(f"  {'':<26} {'frames/s':>8} {'median':>9} {'95 %':>9} {'longest':>9} {'dropped':>9}   (ms)")
    tell("nothing moves", recorded(page, lambda page, seconds: page.wait_for_timeout(1000 * seconds), 2))
    tell("panning the whole", recorded(page, pan, seconds))
    page.locator(CANVAS).focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(1000)
    tell("zooming in and out", recorded(page, zoom, seconds))
    tell("zooming there again", recorded(page, zoom, seconds))
    page.locator(CANVAS).focus()
    tell("panning from near", recorded(page, wander, seconds))
    tell("points that move", recorded(page, lambda page, seconds: move(scene, seconds), seconds))
    traits = sum(len(getattr(scene.view, name)) for name in ("points", "order", "codes"))
    data = page.locator(CANVAS).evaluate("(node) => ({ ...node.dataset })")
    print(
        f"  sent: {traits / 1e6:.1f} MB of places and labels, {len(scene.sent)} pages of {sum(scene.sent) / 1e6:.1f} MB; "
        f"{data['tiles']} tiles, {data['pages']} decoded pages kept"
    )
    page.context.close()


def move(scene: Scene, seconds: float) -> None:
    """A layout that comes anew four times a second, as from a projection that is still running."""
    scene.page.evaluate(
        """() => { window.places = () => {
          const numbers = Float32Array.from(harness.home, (value) => value + (Math.random() - 0.5) * 2);
          harness.model.assign({ points: new DataView(numbers.buffer), duration: 300 });
        }; harness.home = new Float32Array(harness.model.get('points').buffer.slice(3)); }"""
    )
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        scene.page.evaluate("() => window.places()")
        scene.page.wait_for_timeout(240)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[6400, 50_000], help="how many (default 6400 50000)")
    parser.add_argument("--seconds", type=float, default=8, help="how long each motion lasts (default 8)")
    given = parser.parse_args()
    if given.seconds <= 0 or min(given.images) < 1:
        parser.error("--images start from 1, --seconds lies above 0")
    print("The map of images, 1200 x 800 CSS pixels, no GPU")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            for count in given.images:
                measured(browser, count, given.seconds)
        finally:
            browser.close()


if __name__ == "__main__":
    main()
