/** All layers of a network on one sheet; see poster.py for the traits and messages. */

const POSTER_HINT_FOR = 1600;
const POSTER_HELP = "Arrow keys move the sheet, plus and minus zoom, Home or 0 shows all of it, Shift and an arrow key select the "
  + "next picture in that direction, Enter brings it near and back, F fills the screen.";

class PosterView {
  /** @param {Model} model @param {HTMLElement} el @param {any} shared */
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    this.surface = new PosterSurface(shared, () => this.drawn());
    this.viewport = this.surface.viewport;
    this.tip = new PosterTip(shared, this.surface);
    this.hintTimer = 0;
    this.build(el);
    this.input = new MapInput(this.surface, this.actions());
    this.reset();
  }

  /** @param {HTMLElement} el */
  build(el) {
    this.root = rootElement("poster");
    this.help = element("div", "cnnviz-unseen", { id: uniqueId() }, POSTER_HELP);
    this.hint = element("div", "cnnviz-poster-hint", { "aria-hidden": "true" }, "Click the sheet, then the wheel zooms");
    this.viewport.append(this.hint);
    this.viewport.setAttribute("aria-describedby", this.help.id);
    this.viewport.setAttribute("aria-roledescription", "poster of layers");
    this.line = element("div", "cnnviz-line");
    this.full = button("Full screen", "Fill the screen, and back", () => this.toggleFull());
    this.full.hidden = !document.fullscreenEnabled;
    this.bar = element("div", "cnnviz-bar", {}, this.line, button("−", "Zoom out", () => this.input.zoom(-1)),
      button("+", "Zoom in", () => this.input.zoom(1)), button("⟲", "Show all of the sheet", () => this.overview()), this.full);
    this.caption = element("p", "cnnviz-caption");
    this.spoken = element("div", "cnnviz-unseen", { "aria-live": "polite" });
    this.viewport.addEventListener("keydown", (event) => {
      if (event.key !== "f" || event.ctrlKey || event.metaKey || event.altKey) return;
      consume(event);
      this.toggleFull();
    });
    this.root.append(this.viewport, this.bar, this.caption, this.help, this.spoken);
    el.append(this.root);
  }

  /** What the input leads to. @returns {MapActions} */
  actions() {
    return {
      hover: (index) => this.hover(index),
      pick: (index) => this.pick(index),
      open: (index) => this.open(index),
      collect: (polygon) => this.zoomTo(polygon),
      overview: () => this.overview(),
      leave: () => this.hover(-1),
      tool: () => {},
      hint: () => this.showHint(),
      neighbor: (dx, dy) => this.selectTowards(dx, dy),
    };
  }

  /** Other bands came. */
  reset() {
    this.tip.show(-1);
    this.surface.reset();
    this.showTexts();
    this.showSelected(false);
  }

  showTexts() {
    const { data } = this.shared;
    this.viewport.hidden = this.bar.hidden = !data.bands.length;
    this.root.dataset.count = String(data.count);
    this.root.style.setProperty("--cnnviz-poster-height", `${this.model.get("height")}px`);
    this.caption.textContent = this.model.get("caption") || (data.bands.length ? "" : "No layers to show.");
    this.viewport.setAttribute("aria-label", `${counted(data.bands.length, "layer")}, ${counted(data.count, "picture")}`);
    this.showLine();
    this.surface.redraw();
  }

  /** What is told while the pointer is on no tile. */
  showLine() {
    const { data, pictures } = this.shared;
    const { selected, hovered } = this.surface.signs;
    if (hovered >= 0) return;
    const left = pictures.revisions.reduce((sum, revision) => sum + Number(revision === 0), 0);
    const parts = selected >= 0 ? [`${data.fullName(selected)} selected`] : [];
    parts.push(counted(data.bands.length, "layer"), left ? `${data.count - left} of ${counted(data.count, "picture")}`
      : counted(data.count, "picture"));
    this.line.textContent = parts.join(" · ");
  }

  /** @param {number} index */
  hover(index) {
    const { surface, shared } = this;
    if (index !== surface.signs.hovered) {
      surface.signs.hovered = index;
      surface.canvas.dataset.hovered = String(index);
      if (index >= 0) this.line.textContent = shared.data.fullName(index);
      else this.showLine();
      surface.redraw();
    }
    this.viewport.classList.toggle("cnnviz-poster-over", index >= 0 || this.pointedBand() >= 0);
    this.tip.show(index);
  }

  /** The band whose heading the pointer is on. @returns {number} */
  pointedBand() {
    return this.surface.focus ? this.surface.text.headingAt(...this.surface.focus) : -1;
  }

  /** A frame was drawn: what stands beside a tile follows it, and pictures that are missing are asked for. */
  drawn() {
    this.tip.place();
    this.shared.want();
  }

  /** @param {boolean} reveals */
  showSelected(reveals) {
    const { data } = this.shared;
    const { surface } = this;
    const selected = this.model.get("selected");
    surface.signs.selected = selected < data.count ? selected : -1;
    if (reveals && surface.signs.selected >= 0) this.reveal(surface.signs.selected);
    this.showLine();
    surface.redraw();
  }

  /** Bring a tile into sight, if it is not; the zoom stays. @param {number} index */
  reveal(index) {
    const { camera } = this.surface;
    if (camera.whole || !this.surface.home) return;
    const [x, y, width, height] = this.surface.boxOnScreen(index);
    if (x >= 0 && y >= 0 && x + width <= camera.width && y + height <= camera.height) return;
    const [worldX, worldY] = this.shared.data.middle(index);
    camera.flyTo({ x: worldX, y: worldY, zoom: camera.zoom });
  }

  /** A click: on a tile, or on a heading. @param {number} index */
  pick(index) {
    if (index >= 0) {
      this.select(index);
      this.model.send({ type: "choose", key: this.shared.data.keys[index] });
      return;
    }
    const { surface } = this;
    const band = surface.pressed ? surface.text.headingAt(...surface.pressed) : -1;
    if (band < 0) return;
    surface.camera.flyTo(surface.placeOf(this.shared.data.bands[band].box, 0.92));
    surface.redraw();
  }

  /** @param {number} index */
  select(index) {
    setTrait(this.model, "selected", index);
    this.showSelected(false);
    this.spoken.textContent = `${this.shared.data.fullName(index)} selected`;
  }

  /** Bring a tile near; from near, show all again. @param {number} index */
  open(index) {
    if (index < 0) return;
    const { surface } = this;
    this.model.send({ type: "open", key: this.shared.data.keys[index] });
    const place = surface.placeOf(this.shared.data.box(index));
    const { camera } = surface;
    const there = Math.hypot(camera.x - place.x, camera.y - place.y) * camera.scale < 2 && Math.abs(camera.zoom - place.zoom) < 0.05;
    if (there) this.overview();
    else this.fly(index);
  }

  /** @param {number} dx @param {number} dy */
  selectTowards(dx, dy) {
    const { data } = this.shared;
    const { camera } = this.surface;
    const { selected } = this.surface.signs;
    const index = selected >= 0 ? data.towards(selected, dx, dy) : data.nearest(camera.x, camera.y);
    if (index < 0) return;
    this.select(index);
    this.reveal(index);
  }

  /** To a rectangle. @param {number[]} polygon its corners in the world */
  zoomTo(polygon) {
    const [xs, ys] = [polygon.filter((_, i) => i % 2 === 0), polygon.filter((_, i) => i % 2 === 1)];
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    const { surface } = this;
    surface.camera.flyTo(surface.placeOf([left, top, Math.max(1e-6, Math.max(...xs) - left), Math.max(1e-6, Math.max(...ys) - top)], 1));
    surface.redraw();
  }

  overview() {
    if (!this.surface.home) return;
    this.surface.camera.flyTo(this.surface.home, true);
    this.surface.redraw();
  }

  /** @param {number} index */
  fly(index) {
    const { surface } = this;
    if (!(index >= 0 && index < this.shared.data.count) || !surface.home) return;
    this.hover(-1);
    surface.camera.flyTo(surface.placeOf(this.shared.data.box(index)));
    surface.redraw();
  }

  async toggleFull() {
    // Refused where the page is a frame that may not; the sheet then stays as it is.
    if (document.fullscreenElement === this.root) await document.exitFullscreen().catch(() => {});
    else await this.root.requestFullscreen?.().catch(() => {});
  }

  /** @param {number[]} camera as the trait has it */
  moveCamera(camera) {
    this.surface.cameraTrait.ask("fly", camera);
    this.surface.redraw();
  }

  showHint() {
    clearTimeout(this.hintTimer);
    this.hint.classList.add("cnnviz-poster-hinting");
    this.hintTimer = setTimeout(() => this.hint.classList.remove("cnnviz-poster-hinting"), POSTER_HINT_FOR);
  }

  close() {
    clearTimeout(this.hintTimer);
    this.tip.close();
    this.surface.close();
    this.root.remove();
  }
}

/** @param {number} count @param {string} noun */
function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** What all views of a model share: where everything is, and the pictures. */
class PosterState {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** @type {Set<PosterView>} */
    this.views = new Set();
    this.data = new PosterData(model);
    this.openPictures();
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
    this.stops = [
      watch(model, ["version", "boxes", "bands", "blocks", "strips", "tile_keys", "tile_labels", "tile_names", "sides", "revisions",
        "coarse"], () => this.sync()),
      watch(model, ["caption", "height"], () => this.views.forEach((view) => view.showTexts())),
      watch(model, ["selected"], () => this.views.forEach((view) => view.showSelected(true))),
    ];
  }

  openPictures() {
    this.pictures?.close();
    this.pictures = new PosterPictures(this.model, {
      arrived: () => this.refresh(),
      outdated: (indices) => {
        this.views.forEach((view) => view.surface.outdate(indices));
        this.refresh();
      },
      filled: () => {
        this.views.forEach((view) => view.surface.tiles.outdate());
        this.refresh();
      },
    });
  }

  refresh() {
    this.views.forEach((view) => {
      view.tip.refresh();
      view.surface.redraw();
    });
  }

  /**
   * What any view misses; one that is not seen does not draw and so wants nothing new. While one zooms or flies, only coarse
   * pictures: what it passes by it does not need.
   */
  want() {
    const keys = [...new Set([...this.views].flatMap((view) => view.surface.lacking || []))];
    const passing = [...this.views].some(({ surface: { camera } }) => camera.zooming || camera.flying);
    this.pictures.want(passing ? keys.filter((key) => key.split("/")[1] === "0") : keys);
  }

  /** Take over what the traits say: other bands, or other pictures in them. */
  sync() {
    if (this.model.get("version") !== this.data.version) {
      this.data.read();
      this.openPictures();
      this.views.forEach((view) => view.reset());
      return;
    }
    this.pictures.readRevisions();
    this.views.forEach((view) => view.showLine());
  }

  /** @param {any} message @param {any[]} buffers */
  receive(message, buffers) {
    if (message.type === "pictures") this.pictures.receive(message, buffers);
    if (message.type === "fly") this.views.forEach((view) => view.fly(message.index));
    if (message.type === "camera") this.views.forEach((view) => view.moveCamera(message.camera));
  }

  close() {
    this.stops.forEach((stop) => stop());
    this.model.off("msg:custom", this.onMessage);
    this.pictures.close();
  }
}

export default () => {
  /** @type {PosterState} */
  let state;
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      state = new PosterState(model);
      return () => state.close();
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new PosterView(model, el, state);
      state.views.add(view);
      return () => {
        state.views.delete(view);
        view.close();
      };
    },
  };
};
