/**
 * What the views share. This text stands in front of each view's own in one module, so its functions are used
 * there without an import, and every top-level name must be unique among the files joined.
 *
 * @typedef {{
 *   get(name: string): any, set(name: string, value: any): void, save_changes(): void,
 *   send(content: object): void, on(event: string, handler: Function): void, off(event: string, handler: Function): void,
 *   recorded?: boolean,
 * }} Model
 */

/** Font-size of a view, in CSS pixels, unless what is around it sets another; see _shared.css. */
const USUAL_TYPE = 15;

/**
 * Bytes of a binary trait or message buffer.
 * @param {DataView | ArrayBuffer | ArrayBufferView | null | undefined} value
 * @returns {Uint8Array}
 */
function bytesOf(value) {
  if (!value) return new Uint8Array(0);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/**
 * Numbers of a binary trait or message buffer, copied: a buffer may start at any byte, a Float32Array may not.
 * @template {Float32Array | Int32Array} T
 * @param {any} value
 * @param {{new (buffer: ArrayBuffer): T}} Type
 * @returns {T}
 */
function numbersOf(value, Type) {
  const bytes = bytesOf(value);
  return new Type(bytes.slice(0, bytes.length - (bytes.length % 4)).buffer);
}

/**
 * A DOM element; strings among the children become text, never markup. One that takes the focus is marked itself, as
 * a notebook's shortcuts for ":focus" are looked up from it and would be found before a mark further out.
 * @param {string} tag
 * @param {string} className
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 * @returns {any}
 */
function element(tag, className = "", attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (node.tabIndex >= 0) node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.append(...children);
  return node;
}

/** @param {string} text @param {string} title @param {() => void} onClick @returns {HTMLButtonElement} */
function button(text, title, onClick) {
  const node = element("button", "cnnviz-button", { type: "button", title, "aria-label": title }, text);
  node.addEventListener("click", onClick);
  return node;
}

/** The outermost element of a view. @param {string} name @returns {HTMLElement} */
function rootElement(name) {
  return element("div", `cnnviz cnnviz-${name}`, { "data-lm-suppress-shortcuts": "true" });
}

/** An id no other module of this page makes: every widget has its own copy of this text. */
function uniqueId() {
  return `cnnviz-${Math.random().toString(36).slice(2)}`;
}

/** @param {number} value @param {number} digits @returns {string} */
function formatNumber(value, digits = 3) {
  if (typeof value !== "number" || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(digits - 1);
  return String(Number(value.toPrecision(digits)));
}

/**
 * Call `onChange` once after any number of these traits changed together.
 * @param {Model} model @param {string[]} names @param {() => void} onChange
 * @returns {() => void} stops it
 */
function watch(model, names, onChange) {
  let waiting = false;
  let stopped = false;
  const changed = () => {
    if (waiting) return;
    waiting = true;
    queueMicrotask(() => {
      waiting = false;
      if (!stopped) onChange();
    });
  };
  for (const name of names) model.on(`change:${name}`, changed);
  return () => {
    stopped = true;
    for (const name of names) model.off(`change:${name}`, changed);
  };
}

/** @param {Model} model @param {string} name @param {any} value */
function setTrait(model, name, value) {
  if (model.get(name) === value) return;
  model.set(name, value);
  model.save_changes();
}

/**
 * A function that runs `draw` in the next animation frame, once however often it is called.
 * @param {() => void} draw
 * @returns {{(): void, cancel(): void}}
 */
function inNextFrame(draw) {
  let handle = 0;
  const request = () => {
    handle ||= requestAnimationFrame(() => {
      handle = 0;
      draw();
    });
  };
  request.cancel = () => {
    cancelAnimationFrame(handle);
    handle = 0;
  };
  return request;
}

/**
 * Call `onShow` when an element gets another size, comes into sight or back into the document. A notebook takes
 * cells out of the document while they are far from the screen.
 * @param {HTMLElement} node @param {(returned: boolean) => void} onShow told whether it had been away
 * @returns {() => void} stops it
 */
function watchShown(node, onShow) {
  let away = false;
  const show = () => {
    const returned = away;
    away = !node.isConnected || node.clientWidth === 0;
    if (!away) onShow(returned);
  };
  const sizes = new ResizeObserver(show);
  const sights = new IntersectionObserver(show);
  sizes.observe(node);
  sights.observe(node);
  window.addEventListener("resize", show);
  return () => {
    sizes.disconnect();
    sights.disconnect();
    window.removeEventListener("resize", show);
  };
}

/**
 * Call `onChange` when the font-size of an element becomes another one, for whatever reason.
 * @param {HTMLElement} node @param {() => void} onChange
 * @returns {() => void} stops it
 */
function watchType(node, onChange) {
  const probe = element("div", "cnnviz-em", { "aria-hidden": "true" });
  node.append(probe);
  const sizes = new ResizeObserver(onChange);
  sizes.observe(probe);
  return () => sizes.disconnect();
}

/**
 * How large an element's type is: what is drawn in it, and not set by CSS, grows by this factor.
 * @param {HTMLElement} node @returns {number} 1 where its font-size is `USUAL_TYPE`
 */
function typeScale(node) {
  return parseFloat(getComputedStyle(node).fontSize) / USUAL_TYPE;
}

/**
 * Remember where an element is scrolled to; the browser forgets it when the element leaves the document.
 * @param {HTMLElement} scroller
 * @returns {() => void} puts the position back
 */
function keepScroll(scroller) {
  let [left, top] = [0, 0];
  scroller.addEventListener("scroll", () => {
    if (scroller.isConnected && scroller.clientHeight > 0) [left, top] = [scroller.scrollLeft, scroller.scrollTop];
  });
  return () => scroller.scrollTo({ left, top, behavior: "instant" });
}

/**
 * Scroll a range of an element's content into sight; unlike scrollIntoView this leaves the notebook where it is.
 * @param {HTMLElement} scroller @param {number} top @param {number} bottom
 */
function reveal(scroller, top, bottom) {
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
}

/**
 * Give a canvas the device pixels for its size in CSS pixels.
 * @param {HTMLCanvasElement} canvas @param {number} width @param {number} height
 * @returns {number} device pixels per CSS pixel
 */
function fitCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  return ratio;
}

/** @param {HTMLElement} node @param {string} name of a CSS variable @returns {string} */
function themeColor(node, name) {
  return getComputedStyle(node).getPropertyValue(name).trim();
}

/**
 * Index that a key leads to in a list or a grid; null if the key is none of the arrows, Home, End, PageUp, PageDown.
 * @param {string} key @param {number} index -1 for none @param {number} count
 * @param {number} columns @param {number} page items per page
 * @returns {number | null}
 */
function indexAfter(key, index, count, columns, page) {
  const steps = {
    ArrowLeft: columns > 1 ? -1 : 0, ArrowRight: columns > 1 ? 1 : 0, ArrowUp: -columns, ArrowDown: columns,
    PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity,
  };
  if (!(key in steps)) return null;
  if (count === 0) return -1;
  const step = steps[key];
  if (index < 0) return key === "End" ? count - 1 : 0;
  const next = index + step;
  if (Math.abs(step) === columns && columns > 1 && (next < 0 || next >= count)) return index;
  return Math.min(Math.max(next, 0), count - 1);
}

/** @param {Event} event The view handled it: neither the page nor the notebook shall act on it as well. */
function consume(event) {
  event.preventDefault();
  event.stopPropagation();
}
