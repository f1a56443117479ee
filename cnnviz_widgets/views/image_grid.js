/** A grid of tiles on one canvas; see image_grid.py for the traits. */

const DRAG_START = 4;

class GridView {
  /** @param {Model} model @param {HTMLElement} el @param {{tiles: Tiles | null}} shared */
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    /** Whether the plain wheel zooms: from a click or keyboard focus until Escape or until pointer or focus leave. */
    this.armed = false;
    this.drag = null;
    this.surface = new TileCanvas();
    this.viewport = this.surface.viewport;
    this.build(el);
    this.listen();
    this.refresh();
  }

  /** @param {HTMLElement} el */
  build(el) {
    const { surface } = this;
    this.root = rootElement("grid");
    this.option = element("div", "cnnviz-unseen", { role: "option", id: uniqueId() });
    surface.sizer.append(this.option);
    this.line = element("div", "cnnviz-line");
    this.spoken = element("div", "cnnviz-unseen", { "aria-live": "polite" });
    this.caption = element("p", "cnnviz-caption");
    this.bar = element("div", "cnnviz-bar", {}, this.line,
      button("−", "Zoom out", () => surface.zoomBy(1 / 1.5)),
      button("+", "Zoom in", () => surface.zoomBy(1.5)),
      button("⟲", "Reset the zoom", () => surface.resetZoom()));
    this.root.append(this.viewport, this.bar, this.caption, this.spoken);
    el.append(this.root);
  }

  listen() {
    const { viewport } = this;
    viewport.addEventListener("keydown", (event) => this.onKey(event));
    viewport.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    viewport.addEventListener("pointerdown", (event) => this.onDown(event));
    viewport.addEventListener("pointermove", (event) => this.onMove(event));
    viewport.addEventListener("pointerup", () => this.endDrag());
    viewport.addEventListener("pointercancel", () => this.endDrag());
    viewport.addEventListener("pointerleave", () => this.onLeave());
    viewport.addEventListener("click", (event) => this.onClick(event));
    viewport.addEventListener("dblclick", (event) => this.onDoubleClick(event));
    viewport.addEventListener("focus", () => { this.armed = true; });
    viewport.addEventListener("blur", () => { this.armed = false; });
  }

  /** Take over what the traits say. */
  refresh() {
    const { tiles } = this.shared;
    if (!tiles) return;
    this.viewport.hidden = this.bar.hidden = tiles.count === 0;
    this.caption.textContent = tiles.caption;
    this.viewport.setAttribute("aria-label", `${tiles.count} tiles: ${tiles.name}`);
    this.surface.show(tiles);
    this.showSelected();
  }

  get selected() {
    return Math.min(this.model.get("selected"), this.shared.tiles.count - 1);
  }

  /** The selection may have changed, here, in another view of this model or in Python. */
  showSelected() {
    const { tiles } = this.shared;
    if (!tiles) return;
    const { selected, option, viewport } = this;
    this.surface.frame(selected);
    option.setAttribute("aria-selected", String(selected >= 0));
    option.setAttribute("aria-posinset", String(selected + 1));
    option.setAttribute("aria-setsize", String(tiles.count));
    option.textContent = selected >= 0 ? tileLabel(tiles, selected) : "";
    if (selected >= 0) viewport.setAttribute("aria-activedescendant", option.id);
    else viewport.removeAttribute("aria-activedescendant");
    this.showLine();
  }

  /** The line below the grid while nothing is under the pointer. */
  showLine() {
    const { tiles } = this.shared;
    if (!tiles) return;
    const sizes = `${tiles.count} ${tiles.count === 1 ? "tile" : "tiles"} of ${tiles.width} × ${tiles.height} pixels`;
    this.line.textContent = this.selected >= 0 ? `${tileLabel(tiles, this.selected)} selected · ${sizes}` : sizes;
  }

  /** @param {MouseEvent} event */
  showHover(event) {
    const { tiles } = this.shared;
    const hit = this.surface.hit(event);
    if (!hit) return this.showLine();
    const { index, x, y } = hit;
    this.line.textContent = `${tileLabel(tiles, index)} · x ${x}, y ${y} · ${tileValue(tiles, index, x, y)}`;
  }

  /** @param {number} index */
  select(index) {
    const { tiles } = this.shared;
    if (!tiles || index < 0 || index >= tiles.count) return;
    setTrait(this.model, "selected", index);
    this.showSelected();
    this.surface.reveal(index);
    this.spoken.textContent = `${tileLabel(tiles, index)} selected, ${index + 1} of ${tiles.count}`;
  }

  /** @param {number} index */
  open(index) {
    if (index >= 0) this.model.send({ type: "open", index });
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const { surface } = this;
    if (!surface.layout || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = indexAfter(event.key, this.selected, this.shared.tiles.count, surface.layout.columns, surface.page);
    const actions = {
      Enter: () => this.open(this.selected), " ": () => this.open(this.selected), Escape: () => { this.armed = false; },
      "+": () => surface.zoomBy(1.5), "=": () => surface.zoomBy(1.5), "-": () => surface.zoomBy(1 / 1.5),
      0: () => surface.resetZoom(),
    };
    if (next !== null) this.select(next);
    else if (event.key in actions) actions[event.key]();
    else return;
    consume(event);
  }

  /**
   * Ctrl or Meta and the wheel always zoom. The plain wheel zooms a grid that was clicked and that it could not
   * scroll, or that is zoomed already; else it scrolls, so that nobody is caught on the way down a notebook.
   * @param {WheelEvent} event
   */
  onWheel(event) {
    const { surface } = this;
    const held = event.ctrlKey || event.metaKey;
    if (!held && !(this.armed && (surface.zoom > 1 || !surface.scrolls))) return;
    if (!held && surface.zoom === 1 && event.deltaY > 0) return;
    consume(event);
    const pixels = event.deltaY * [1, 30, 300][event.deltaMode];
    const speed = event.ctrlKey && Math.abs(pixels) < 40 ? 0.01 : 0.002;
    surface.zoomBy(Math.exp(-Math.max(-400, Math.min(400, pixels)) * speed), event.clientX, event.clientY);
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    this.armed = true;
    this.dragged = false;
    if (event.button !== 0 || event.pointerType === "touch") return;
    const { scrollLeft, scrollTop } = this.viewport;
    this.drag = { x: event.clientX, y: event.clientY, scrollLeft, scrollTop };
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const { drag, viewport } = this;
    if (drag && event.buttons & 1) {
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      if (!this.dragged && Math.hypot(dx, dy) > DRAG_START && this.surface.scrolls) {
        this.dragged = true;
        viewport.setPointerCapture(event.pointerId);
        viewport.classList.add("cnnviz-dragging");
      }
      if (this.dragged) viewport.scrollTo({ left: drag.scrollLeft - dx, top: drag.scrollTop - dy, behavior: "instant" });
    }
    this.showHover(event);
  }

  endDrag() {
    this.drag = null;
    this.viewport.classList.remove("cnnviz-dragging");
  }

  onLeave() {
    this.armed = false;
    this.showLine();
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const hit = this.dragged ? null : this.surface.hit(event);
    if (hit) this.select(hit.index);
  }

  /** @param {MouseEvent} event */
  onDoubleClick(event) {
    const hit = this.surface.hit(event);
    if (hit) this.open(hit.index);
    else this.surface.resetZoom();
  }

  close() {
    this.surface.close();
    this.root.remove();
  }
}

export default () => {
  const shared = { tiles: /** @type {Tiles | null} */ (null) };
  const views = new Set();
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const read = () => {
        shared.tiles = readTiles(model, shared.tiles);
        views.forEach((view) => view.refresh());
      };
      read();
      const stops = [
        watch(model, ["pixels", "shape", "ranges", "colormap", "labels", "tile_names", "columns", "tile_size",
          "max_height", "caption"], read),
        watch(model, ["selected"], () => views.forEach((view) => view.showSelected())),
      ];
      return () => stops.forEach((stop) => stop());
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new GridView(model, el, shared);
      views.add(view);
      return () => {
        views.delete(view);
        view.close();
      };
    },
  };
};
