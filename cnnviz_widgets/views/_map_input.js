/** Pointer, wheel and keys on a map. */

const MAP_DRAG_START = 4;
const KEY_PAN = 0.2;
const KEY_ZOOM = 1;
const VELOCITY_SPAN = 80;
const LASSO_STEP = 3;

/**
 * @typedef {{
 *   hover(image: number): void, pick(image: number): void, open(image: number): void, collect(polygon: number[], add: boolean): void,
 *   overview(): void, leave(): void, tool(name: string): void, hint(): void, neighbor(dx: number, dy: number): void,
 * }} MapActions
 */

class MapInput {
  /** @param {MapSurface} surface @param {MapActions} actions */
  constructor(surface, actions) {
    this.surface = surface;
    this.actions = actions;
    /** Whether the plain wheel zooms: from a click or keyboard focus until Escape or until pointer or focus leave. */
    this.armed = false;
    /** What dragging does: "" pans, "lasso" chooses. */
    this.tool = "";
    /** @type {{kind: string, x: number, y: number, moved: boolean, add: boolean, trail: number[][]} | null} */
    this.drag = null;
    /** Fingers. @type {Map<number, [number, number]>} */
    this.touches = new Map();
    this.listen(surface.viewport);
  }

  /** @param {HTMLElement} viewport */
  listen(viewport) {
    viewport.addEventListener("pointerdown", (event) => this.onDown(event));
    viewport.addEventListener("pointermove", (event) => this.onMove(event));
    viewport.addEventListener("pointerup", (event) => this.onUp(event));
    viewport.addEventListener("pointercancel", (event) => this.cancel(event));
    viewport.addEventListener("pointerleave", () => this.onLeave());
    viewport.addEventListener("dblclick", (event) => this.onDouble(event));
    viewport.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    viewport.addEventListener("keydown", (event) => this.onKey(event));
    viewport.addEventListener("focus", () => { this.armed = true; });
    viewport.addEventListener("blur", () => { this.armed = false; });
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    const { surface } = this;
    this.armed = true;
    if (event.pointerType === "touch") this.touches.set(event.pointerId, surface.pixelOf(event));
    if (event.button !== 0 || this.touches.size > 1) {
      this.drag = null;
      return;
    }
    const [x, y] = surface.pixelOf(event);
    const kind = event.shiftKey ? "box" : this.tool || "pan";
    surface.camera.stop();
    surface.viewport.setPointerCapture(event.pointerId);
    this.drag = { kind, x, y, moved: false, add: event.ctrlKey || event.metaKey, trail: [[x, y, performance.now()]] };
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const { surface, drag } = this;
    const [x, y] = surface.pixelOf(event);
    surface.focus = [x, y];
    if (this.touches.size === 2) return this.pinch(event.pointerId, x, y);
    if (this.touches.has(event.pointerId)) this.touches.set(event.pointerId, [x, y]);
    if (!drag || !(event.buttons & 1)) return this.actions.hover(surface.hit(x, y));
    if (!drag.moved && Math.hypot(x - drag.x, y - drag.y) < MAP_DRAG_START * surface.ratio) return undefined;
    const [lastX, lastY] = drag.moved ? drag.trail[drag.trail.length - 1] : [drag.x, drag.y];
    drag.moved = true;
    if (drag.kind === "pan") {
      surface.viewport.classList.add("cnnviz-dragging");
      surface.camera.panBy(x - lastX, y - lastY);
    } else surface.outline = this.outlineTo(x, y);
    if (drag.kind !== "lasso" || Math.hypot(x - lastX, y - lastY) >= LASSO_STEP) drag.trail.push([x, y, performance.now()]);
    this.actions.hover(-1);
    surface.redraw();
    return undefined;
  }

  /** @param {number} id @param {number} x @param {number} y */
  pinch(id, x, y) {
    const before = [...this.touches.values()];
    this.touches.set(id, [x, y]);
    const after = [...this.touches.values()];
    const middle = ([[ax, ay], [bx, by]]) => [(ax + bx) / 2, (ay + by) / 2];
    const apart = ([[ax, ay], [bx, by]]) => Math.max(1, Math.hypot(ax - bx, ay - by));
    const [[mx, my], [nx, ny]] = [middle(before), middle(after)];
    this.surface.camera.panBy(nx - mx, ny - my);
    this.surface.camera.pinchBy(Math.log2(apart(after) / apart(before)), nx, ny);
    this.surface.redraw();
  }

  /** The rectangle or the lasso as far as the pointer. @param {number} x @param {number} y @returns {number[]} */
  outlineTo(x, y) {
    const { drag } = this;
    if (drag.kind === "box") return [drag.x, drag.y, x, drag.y, x, y, drag.x, y];
    return [...drag.trail.flatMap(([px, py]) => [px, py]), x, y];
  }

  /** @param {PointerEvent} event */
  onUp(event) {
    const { surface, drag } = this;
    this.touches.delete(event.pointerId);
    this.drag = null;
    surface.viewport.classList.remove("cnnviz-dragging");
    if (!drag) return;
    if (!drag.moved) {
      this.actions.pick(surface.hit(drag.x, drag.y));
    } else if (drag.kind === "pan") this.release(drag.trail);
    else {
      const polygon = surface.outline || [];
      surface.outline = null;
      const world = [];
      for (let i = 0; i < polygon.length; i += 2) world.push(...surface.camera.toWorld(polygon[i], polygon[i + 1]));
      if (world.length >= 6) this.actions.collect(world, drag.add);
    }
    surface.redraw();
  }

  /** Let the map glide on as it was moved last, unless the pointer rested before. @param {number[][]} trail */
  release(trail) {
    const [x1, y1, end] = trail[trail.length - 1];
    const now = performance.now();
    if (now - end > VELOCITY_SPAN) return;
    const recent = trail.findIndex(([, , at]) => end - at < VELOCITY_SPAN);
    const [x0, y0, start] = trail[Math.max(0, Math.min(recent, trail.length - 2))];
    if (end > start) this.surface.camera.glide((x1 - x0) / (end - start), (y1 - y0) / (end - start));
  }

  /** @param {PointerEvent} event */
  cancel(event) {
    this.touches.delete(event.pointerId);
    this.drag = null;
    this.surface.outline = null;
    this.surface.viewport.classList.remove("cnnviz-dragging");
    this.surface.redraw();
  }

  onLeave() {
    if (this.drag) return;
    this.armed = document.activeElement === this.surface.viewport && this.surface.viewport.matches(":focus-visible");
    this.surface.focus = null;
    this.actions.leave();
  }

  /** @param {MouseEvent} event */
  onDouble(event) {
    const image = this.surface.hit(...this.surface.pixelOf(event));
    if (image >= 0) this.actions.open(image);
    else this.zoom(KEY_ZOOM, ...this.surface.pixelOf(event));
  }

  /**
   * Ctrl or Meta and the wheel, and so two fingers on a touchpad, always zoom. The plain wheel zooms a map that was
   * clicked; else it scrolls the page, so that nobody is caught on the way down a notebook.
   * @param {WheelEvent} event
   */
  onWheel(event) {
    const held = event.ctrlKey || event.metaKey;
    if (!held && !this.armed) return this.actions.hint();
    consume(event);
    const pixels = event.deltaY * [1, 30, 300][event.deltaMode];
    const speed = event.ctrlKey && Math.abs(pixels) < 40 ? 0.015 : 0.004;
    this.zoom(-Math.max(-400, Math.min(400, pixels)) * speed, ...this.surface.pixelOf(event));
    return undefined;
  }

  /** @param {number} levels @param {number} [x] @param {number} [y] */
  zoom(levels, x, y) {
    this.surface.camera.zoomBy(levels, x, y);
    this.actions.hover(-1);
    this.surface.redraw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { actions, surface } = this;
    const { selected } = surface.signs;
    const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const acts = {
      "+": () => this.zoom(KEY_ZOOM), "=": () => this.zoom(KEY_ZOOM), "-": () => this.zoom(-KEY_ZOOM), _: () => this.zoom(-KEY_ZOOM),
      0: actions.overview, Home: actions.overview, Enter: () => actions.open(selected), " ": () => actions.open(selected),
      Escape: () => this.escape(),
    };
    if (event.key in turns && event.shiftKey) actions.neighbor(...turns[event.key]);
    else if (event.key in turns) this.pan(...turns[event.key]);
    else if (event.key in acts) acts[event.key]();
    else return;
    consume(event);
  }

  /** @param {number} dx @param {number} dy to where one wants to look */
  pan(dx, dy) {
    const { camera } = this.surface;
    const step = KEY_PAN * Math.min(camera.width, camera.height);
    camera.panBy(-dx * step, -dy * step);
    this.surface.redraw();
  }

  escape() {
    this.armed = false;
    this.drag = null;
    this.surface.outline = null;
    this.actions.tool("");
    this.surface.redraw();
  }
}
