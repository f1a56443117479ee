"""A view in real Chromium without Jupyter: a stand-in for the browser's model, tied to the Python view.

What Python sends goes to the page at once; what the page sends reaches Python at `Shown.pump`, so that a test decides
when it arrives, or whether.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
from ipywidgets.widgets.widget import _remove_buffers
from playwright.sync_api import Locator, Page

from cnnviz_widgets.views._base import View

ADDRESS = "http://view.test/"

# Buffers begin at an odd byte, as they may in a message that holds several.
SHIM = """
const unpack = (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const padded = new Uint8Array(bytes.length + 3);
  padded.set(bytes, 3);
  return new DataView(padded.buffer, 3);
};
class Model {
  constructor(state) { this.state = state; this.handlers = []; this.changed = new Set(); this.outbox = []; this.sentAt = []; }
  get(name) { return this.state[name]; }
  set(name, value) { this.changed.add(name); this.assign({ [name]: value }); }
  assign(values) {
    const news = Object.keys(values).filter((name) => this.state[name] !== values[name]);
    Object.assign(this.state, values);
    for (const name of news) this.trigger(`change:${name}`);
  }
  save_changes() {
    this.outbox.push({ method: 'update', state: Object.fromEntries([...this.changed].map((n) => [n, this.state[n]])) });
    this.changed.clear();
  }
  send(content) {
    this.outbox.push({ method: 'custom', content });
    this.sentAt.push([content.type, performance.now()]);
  }
  on(event, handler) { this.handlers.push([event, handler]); }
  off(event, handler) { this.handlers = this.handlers.filter(([e, h]) => e !== event || h !== handler); }
  trigger(event, ...args) { for (const [e, h] of [...this.handlers]) if (e === event) h(...args); }
}
const filled = (state, paths, buffers) => {
  paths.forEach(([name], i) => { state[name] = unpack(buffers[i]); });
  return state;
};
window.harness = {
  async open({ esm, css, state, paths, buffers }) {
    const style = document.createElement('style');
    style.textContent = css;
    document.head.append(style);
    const url = URL.createObjectURL(new Blob([esm], { type: 'text/javascript' }));
    const exported = (await import(url)).default;
    this.widget = typeof exported === 'function' ? await exported() : exported;
    this.model = new Model(filled(state, paths, buffers));
    this.end = await this.widget.initialize({ model: this.model });
    this.views = [];
    await this.render();
  },
  async render() {
    const el = document.createElement('div');
    document.body.append(el);
    this.views.push({ el, end: await this.widget.render({ model: this.model, el }) });
  },
  receive({ method, state, content }, paths, buffers) {
    if (method === 'custom') this.model.trigger('msg:custom', content, buffers.map(unpack));
    else this.model.assign(filled(state, paths, buffers));
  },
};
"""

HTML = "<!doctype html><html lang=en><head><title>view</title><link rel=icon href='data:,'></head><body></body></html>"


def _texts(buffers: list[Any] | None) -> list[str]:
    return [base64.b64encode(bytes(buffer)).decode() for buffer in buffers or []]


class Shown:
    """A Python view and its picture in a page."""

    def __init__(self, view: View, page: Page) -> None:
        self.view = view
        self.page = page
        self.lost: Callable[[dict[str, Any]], bool] = lambda message: False
        self.messages: list[dict[str, Any]] = []
        state, paths, buffers = _remove_buffers(view.get_state())
        state = {name: value for name, value in state.items() if not name.startswith("_") and name != "layout"}
        opened = {"esm": view._esm, "css": view._css, "state": state, "paths": paths, "buffers": _texts(buffers)}
        page.evaluate("(opened) => harness.open(opened)", opened)
        view._send = self._forward

    def _forward(self, message: dict[str, Any], buffers: list[Any] | None = None) -> None:
        if not self.lost(message):
            arguments = [message, message.get("buffer_paths", []), _texts(buffers)]
            self.page.evaluate("([message, paths, buffers]) => harness.receive(message, paths, buffers)", arguments)

    def take(self) -> list[dict[str, Any]]:
        """What the page sent since the last time, not delivered to Python."""
        return self.page.evaluate("() => harness.model.outbox.splice(0)")

    def pump(self) -> None:
        """Deliver what the page sent."""
        for message in self.take():
            if message["method"] == "update":
                self.view.set_state(message["state"])
            else:
                self.messages.append(message["content"])
                self.view._handle_custom_msg(message["content"], [])

    def locator(self, css: str) -> Locator:
        return self.page.locator(css).first

    def data(self, css: str, name: str) -> str | None:
        return self.locator(css).get_attribute(f"data-{name}")

    def wait(self, expression: str, argument: Any = None) -> None:
        """Until a JavaScript expression of `argument` holds."""
        self.page.wait_for_function(f"(argument) => {expression}", arg=argument, timeout=10_000)

    def frames(self, count: int = 2) -> None:
        """Until the page has drawn that many times."""
        script = "async (n) => { for (; n > 0; n--) await new Promise(requestAnimationFrame); }"
        self.page.evaluate(script, count)

    def pixels(self, css: str) -> np.ndarray:
        """Canvas as uint8 (height, width, 4)."""
        self.frames()
        script = """(canvas) => {
          const { width, height } = canvas;
          const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
          copy.drawImage(canvas, 0, 0);
          const { data } = copy.getImageData(0, 0, width, height);
          let text = '';
          for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
          return [width, height, btoa(text)];
        }"""
        width, height, text = self.locator(css).evaluate(script)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)

    def detach(self) -> None:
        """Take the view out of the document for some frames and put it back, as a notebook does with far cells."""
        self.page.evaluate("() => { harness.el = harness.views[0].el; harness.el.remove(); }")
        self.frames(3)
        self.page.evaluate("() => document.body.prepend(harness.el)")
        self.frames(3)
