/** The legend of a map: labels with their numbers, each of which filters, or the scale of the values. */

const MOST_ENTRIES = 500;

class MapLegend {
  /** @param {Model} model @param {{data: MapData}} shared */
  constructor(model, shared) {
    this.model = model;
    this.shared = shared;
    this.list = element("div", "cnnviz-map-entries", { role: "group", "aria-label": "Labels" });
    this.all = button("Show all", "Show the images of all labels", () => this.hide([]));
    this.scale = element("div", "cnnviz-map-scale");
    this.root = element("div", "cnnviz-map-legend", {}, this.scale, this.list, this.all);
  }

  /** Other labels or values came. */
  rebuild() {
    const { data } = this.shared;
    const labelled = data.names.length > 0;
    this.root.hidden = !data.count || !(labelled || data.values.length);
    this.scale.hidden = !data.values.length;
    this.list.hidden = !labelled;
    if (data.values.length) this.buildScale(data);
    /** @type {HTMLButtonElement[]} */
    this.entries = data.names.slice(0, MOST_ENTRIES).map((name, code) => this.entry(data, name, code));
    const more = data.names.length - this.entries.length;
    this.list.replaceChildren(...this.entries, ...(more > 0 ? [element("p", "cnnviz-caption", {}, `and ${more} more labels`)] : []));
    this.showHidden();
  }

  /** @param {MapData} data @param {string} name @param {number} code */
  entry(data, name, code) {
    const swatch = element("span", "cnnviz-map-swatch", { "aria-hidden": "true" });
    // With values the colours are those of the scale.
    swatch.hidden = data.values.length > 0;
    if (!swatch.hidden) swatch.style.background = cssColor(data.palette[code]);
    const node = element("button", "cnnviz-map-entry", {
      type: "button", title: `${name}: click hides or shows its images, a double click shows only these`,
    }, swatch, element("span", "cnnviz-map-name", {}, name), element("span", "cnnviz-map-number", {}, String(data.counts[code])));
    node.addEventListener("click", () => this.toggle(code));
    node.addEventListener("dblclick", () => this.only(code));
    return node;
  }

  /** @param {MapData} data */
  buildScale(data) {
    const name = this.model.get("values_name");
    const told = data.unknown < data.count ? data.range.map((value) => formatNumber(value)) : [];
    const spoken = told.length ? `Colours of ${name || "the values"} from ${told[0]} to ${told[1]}` : "No value is known";
    const canvas = element("canvas", "", { width: "256", height: "1", role: "img", "aria-label": spoken });
    canvas.hidden = !told.length;
    const context = canvas.getContext("2d");
    data.palette.forEach((color, i) => {
      context.fillStyle = cssColor(color);
      context.fillRect(i, 0, 1, 1);
    });
    const ends = element("div", "cnnviz-map-ends", {}, ...told.map((text) => element("span", "", {}, text)));
    const unknown = element("div", "cnnviz-map-unknown", {}, element("span", "cnnviz-map-swatch", { "aria-hidden": "true" }),
      element("span", "cnnviz-map-name", {}, "not known"), element("span", "cnnviz-map-number", {}, String(data.unknown)));
    unknown.hidden = !data.unknown;
    unknown.firstElementChild.style.background = NO_LABEL;
    this.scale.replaceChildren(element("div", "cnnviz-map-values", {}, name), canvas, ends, unknown);
  }

  showHidden() {
    const hidden = new Set(this.model.get("hidden"));
    this.entries.forEach((node, code) => node.setAttribute("aria-pressed", String(!hidden.has(code))));
    this.all.hidden = this.list.hidden || !hidden.size;
  }

  /** @param {number} code */
  toggle(code) {
    const hidden = this.model.get("hidden");
    this.hide(hidden.includes(code) ? hidden.filter((other) => other !== code) : [...hidden, code]);
  }

  /** @param {number} code */
  only(code) {
    this.hide(this.shared.data.names.map((_, other) => other).filter((other) => other !== code));
  }

  /** @param {number[]} codes */
  hide(codes) {
    setTrait(this.model, "hidden", codes);
  }
}
