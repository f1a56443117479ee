/** Images at their places in the plane; see image_map.py for the traits and messages. */

const HINT_FOR = 1600;
const KEY_HELP = "Arrow keys move the map, plus and minus zoom, Home or 0 shows all of it, Shift and an arrow key select the "
  + "next image in that direction, Enter opens it, Escape ends a lasso.";

class MapView {
  /** @param {Model} model @param {HTMLElement} el @param {any} shared */
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    this.surface = new MapSurface(shared, () => this.drawn());
    this.viewport = this.surface.viewport;
    this.legend = new MapLegend(model, shared);
    this.tip = new MapTip(shared, this.surface);
    this.hintTimer = 0;
    this.build(el);
    this.input = new MapInput(this.surface, this.actions());
    this.reset();
  }

  /** @param {HTMLElement} el */
  build(el) {
    this.root = rootElement("map");
    this.help = element("div", "cnnviz-unseen", { id: uniqueId() }, KEY_HELP);
    this.hint = element("div", "cnnviz-map-hint", { "aria-hidden": "true" }, "Click the map, then the wheel zooms");
    this.viewport.append(this.hint);
    this.viewport.setAttribute("aria-describedby", this.help.id);
    this.viewport.setAttribute("aria-roledescription", "map of images");
    this.body = element("div", "cnnviz-map-body", {}, this.viewport, this.legend.root);
    this.line = element("div", "cnnviz-line");
    this.slider = element("input", "cnnviz-map-slider", {
      type: "range", min: "0", max: "1", step: "0.01", "aria-label": "From the map to the grid", title: "From the map to the grid",
    });
    this.slider.addEventListener("input", () => setTrait(this.model, "morph", Number(this.slider.value)));
    this.slider.addEventListener("keydown", (event) => event.stopPropagation());
    this.morph = element("label", "cnnviz-map-morph", {}, "map", this.slider, "grid");
    this.points = button("Points", "Draw points instead of images", () => this.toggleLook());
    this.lasso = button("Lasso", "Choose images by drawing around them; Shift and dragging chooses in a rectangle", () => {
      this.setTool(this.input.tool ? "" : "lasso");
    });
    this.none = button("Choose none", "No images are chosen any more", () => this.choose(new Int32Array(0)));
    this.bar = element("div", "cnnviz-bar", {}, this.line, this.morph, this.none, this.points, this.lasso,
      button("−", "Zoom out", () => this.input.zoom(-1)), button("+", "Zoom in", () => this.input.zoom(1)),
      button("⟲", "Show all of the map", () => this.overview()));
    this.caption = element("p", "cnnviz-caption");
    this.spoken = element("div", "cnnviz-unseen", { "aria-live": "polite" });
    this.root.append(this.body, this.bar, this.caption, this.help, this.spoken);
    el.append(this.root);
  }

  /** What the input leads to. @returns {MapActions} */
  actions() {
    return {
      hover: (image) => this.hover(image),
      pick: (image) => this.pick(image),
      open: (image) => image >= 0 && this.model.send({ type: "open", index: image }),
      collect: (polygon, add) => this.collect(polygon, add),
      overview: () => this.overview(),
      leave: () => this.hover(-1),
      tool: (name) => this.setTool(name),
      hint: () => this.showHint(),
      neighbor: (dx, dy) => this.selectTowards(dx, dy),
    };
  }

  /** Other images came. */
  reset() {
    this.tip.show(-1);
    this.surface.reset();
    this.legend.rebuild();
    this.setTool("");
    this.showTexts();
    this.showSelected(false);
    this.refresh();
  }

  /** Positions, filter, choice or look may be others. */
  refresh() {
    const { data } = this.shared;
    this.morph.hidden = !data.gridded;
    if (Number(this.slider.value) !== data.morph) this.slider.value = String(data.morph);
    this.points.setAttribute("aria-pressed", String(this.model.get("look") === "points"));
    this.points.hidden = this.shared.pages.empty;
    this.none.hidden = !data.chosenCount;
    this.legend.showHidden();
    this.hover(-1);
    this.showLine();
    this.surface.redraw();
  }

  showTexts() {
    const { data } = this.shared;
    this.body.hidden = this.bar.hidden = !data.count;
    this.root.dataset.count = String(data.count);
    this.root.style.setProperty("--cnnviz-map-height", `${this.model.get("height")}px`);
    this.caption.textContent = this.model.get("caption") || (data.count ? "" : "No images to show.");
    this.viewport.setAttribute("aria-label", `Map of ${data.count} images${data.names.length ? ` of ${data.names.length} labels` : ""}`);
    this.surface.redraw();
  }

  /** What is told while the pointer is on no image. */
  showLine() {
    const { data } = this.shared;
    const parts = [];
    const { selected } = this.surface.signs;
    if (selected >= 0) parts.push(`${data.name(selected)} selected`);
    if (data.chosenCount) parts.push(`${data.chosenCount} of ${data.count} images chosen`);
    else if (data.seenCount < data.count - data.layout.missing) parts.push(`${data.seenCount} of ${data.count} images shown`);
    else parts.push(data.count === 1 ? "1 image" : `${data.count} images`);
    if (data.layout.missing) parts.push(`${data.layout.missing} without a position left out`);
    const { left, right, top, bottom } = data.layout;
    if (left === right && top === bottom && data.count - data.layout.missing > 1) parts.push("all at one place");
    this.line.textContent = parts.join(" · ");
  }

  /** @param {number} image */
  hover(image) {
    const { surface, shared } = this;
    if (image !== surface.signs.hovered) {
      surface.signs.hovered = image;
      surface.canvas.dataset.hovered = String(image);
      this.viewport.classList.toggle("cnnviz-map-over", image >= 0);
      if (image >= 0) this.line.textContent = shared.data.name(image);
      else this.showLine();
      surface.redraw();
    }
    if (this.tip.image >= 0 && this.tip.image !== image) shared.large.forget(this.tip.image);
    this.tip.show(image);
  }

  /** A frame was drawn: what stands beside an image follows it. */
  drawn() {
    this.tip.place();
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

  /** Bring an image into sight, if it is not; the zoom stays. @param {number} image */
  reveal(image) {
    const { camera } = this.surface;
    const { places } = this.shared.data.layout;
    const [px, py] = camera.toScreen(places[2 * image], places[2 * image + 1]);
    if (px >= 0 && py >= 0 && px <= camera.width && py <= camera.height) return;
    if (Number.isNaN(px + py) || camera.whole) return;
    camera.flyTo({ x: places[2 * image], y: places[2 * image + 1], zoom: camera.zoom });
  }

  /** @param {number} image */
  pick(image) {
    if (image < 0) return;
    this.select(image);
    this.model.send({ type: "choose", index: image });
  }

  /** @param {number} image */
  select(image) {
    setTrait(this.model, "selected", image);
    this.showSelected(false);
    this.spoken.textContent = `${this.shared.data.name(image)} selected`;
  }

  /** @param {number} dx @param {number} dy */
  selectTowards(dx, dy) {
    const { data } = this.shared;
    const { camera, signs: { selected } } = this.surface;
    const known = selected >= 0 && data.seen[selected];
    const image = known ? data.towards(selected, dx, dy) : this.nearestTo(camera.x, camera.y);
    if (image < 0) return;
    this.select(image);
    this.reveal(image);
  }

  /** @param {number} x @param {number} y of the world */
  nearestTo(x, y) {
    const { places, seen, count } = this.shared.data;
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < count; i++) {
      const away = seen[i] ? Math.hypot(places[2 * i] - x, places[2 * i + 1] - y) : Infinity;
      if (away < least) [best, least] = [i, away];
    }
    return best;
  }

  /** @param {number[]} polygon in the world @param {boolean} add */
  collect(polygon, add) {
    const found = this.shared.data.inside(polygon);
    const before = add ? numbersOf(this.model.get("chosen"), Int32Array) : [];
    this.choose(Int32Array.from(new Set([...before, ...found])).sort());
    this.setTool("");
  }

  /** @param {Int32Array} images growing */
  choose(images) {
    setTrait(this.model, "chosen", new DataView(images.buffer));
    this.spoken.textContent = images.length === 1 ? "1 image chosen" : `${images.length} images chosen`;
  }

  /** @param {string} tool */
  setTool(tool) {
    if (this.input) this.input.tool = tool;
    this.lasso.setAttribute("aria-pressed", String(tool === "lasso"));
    this.viewport.classList.toggle("cnnviz-map-lasso", tool === "lasso");
  }

  toggleLook() {
    setTrait(this.model, "look", this.model.get("look") === "points" ? "auto" : "points");
  }

  overview() {
    if (!this.surface.home) return;
    this.surface.camera.flyTo(this.surface.home, true);
    this.surface.redraw();
  }

  /** @param {number} image */
  fly(image) {
    if (!(image >= 0 && image < this.shared.data.count) || !this.surface.sizes) return;
    const place = this.surface.placeOf(image);
    if (Number.isNaN(place.x + place.y)) return;
    this.surface.camera.flyTo(place);
    this.surface.redraw();
  }

  /** @param {number[]} camera as the trait has it */
  moveCamera(camera) {
    this.surface.cameraTrait.ask("fly", camera);
    this.surface.redraw();
  }

  showHint() {
    clearTimeout(this.hintTimer);
    this.hint.classList.add("cnnviz-map-hinting");
    this.hintTimer = setTimeout(() => this.hint.classList.remove("cnnviz-map-hinting"), HINT_FOR);
  }

  close() {
    clearTimeout(this.hintTimer);
    this.tip.close();
    this.surface.close();
    this.root.remove();
  }
}

/** What all views of a model share: its images, the pages of thumbnails and the large pictures. */
class MapState {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** @type {Set<MapView>} */
    this.views = new Set();
    this.data = new MapData(model);
    this.large = new LargePictures(model);
    this.openPages();
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
    this.stops = [
      watch(model, ["version", "points", "grid", "morph", "duration", "order", "sides", "label_names", "codes", "titles", "values",
        "values_name", "palette", "seams", "hidden", "chosen", "look"], () => this.sync()),
      watch(model, ["caption", "height"], () => this.views.forEach((view) => view.showTexts())),
      watch(model, ["selected"], () => this.views.forEach((view) => view.showSelected(true))),
    ];
  }

  openPages() {
    this.pages?.close();
    this.order = this.model.get("order");
    this.pages = new MapPages(this.model, () => this.views.forEach((view) => view.surface.redraw()));
    this.pages.want([]);
  }

  /** Take over what the traits say: other images, the same on other pages, elsewhere, or looking different. */
  sync() {
    const { model, data } = this;
    const other = model.get("version") !== this.pages.version;
    if (other && model.get("points") !== data.pointsSource) {
      data.read();
      this.large.clear();
      this.openPages();
      this.views.forEach((view) => view.reset());
      return;
    }
    if (other) {
      this.large.clear();
      this.openPages();
    }
    data.move(performance.now());
    if (model.get("hidden") !== this.hidden) data.readSeen();
    if (model.get("chosen") !== this.chosen) data.readChosen();
    if (model.get("seams") !== this.seams) data.readSeams();
    this.seams = model.get("seams");
    [this.hidden, this.chosen] = [model.get("hidden"), model.get("chosen")];
    this.views.forEach((view) => view.refresh());
  }

  /** @param {any} message @param {any[]} buffers */
  receive(message, buffers) {
    if (message.type === "page") this.pages.receive(message, buffers);
    if (message.type === "fly") this.views.forEach((view) => view.fly(message.index));
    if (message.type === "camera") this.views.forEach((view) => view.moveCamera(message.camera));
    if (message.type === "large") {
      this.large.receive(message, buffers);
      this.views.forEach((view) => view.tip.image === message.index && view.tip.enlarge());
    }
  }

  close() {
    this.stops.forEach((stop) => stop());
    this.model.off("msg:custom", this.onMessage);
    this.large.clear();
    this.pages.close();
  }
}

export default () => {
  /** @type {MapState} */
  let state;
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      state = new MapState(model);
      return () => state.close();
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new MapView(model, el, state);
      state.views.add(view);
      return () => {
        state.views.delete(view);
        view.close();
      };
    },
  };
};
