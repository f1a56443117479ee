/**
 * Bars over a range of values with marks on it; see histogram.py for the traits.
 *
 * @typedef {{edges: Float64Array, counts: Float64Array, marks: Mark[], unit: string, log: boolean, digits: number}} Bins
 * @typedef {{value: number | string, label: string, tone: string}} Mark its value a number, or "nan", "inf", "-inf"
 */

const BARS_HEIGHT = 104;
/** Lengths of texts, in CSS pixels where the type is the usual one; see `typeScale`. */
const TEXT_HEIGHT = 20;
const COUNT_STEP = 18;
const LABEL_ROW = 22;
const AXIS_MARGIN = 8;
const RIGHT_MARGIN = 8;
const TICK_GAP = 12;
const MARK_REACH = 4;
const PAGE_BINS = 10;

/**
 * Counts to write at the left of the bars, the most important ones first.
 * @param {number} most @param {boolean} log @returns {number[]}
 */
function countTicks(most, log) {
  const between = [];
  if (log) for (let count = 1; count < most; count *= 10) between.push(count);
  else if (most >= 4) between.push(...multiples(0, most, Math.max(1, niceStep(most, 3))));
  return [most, 0, ...between];
}

/** @param {Model} model @returns {Bins | null} null where the numbers do not fit each other */
function readBins(model) {
  const edges = numbersOf(model.get("edges"), Float64Array);
  const counts = numbersOf(model.get("counts"), Float64Array);
  if (edges.length !== counts.length + 1 && edges.length + counts.length > 0) return null;
  const widths = Array.from(counts, (_, i) => edges[i + 1] - edges[i]);
  const size = Math.max(Math.abs(edges[0]), Math.abs(edges[edges.length - 1]));
  return {
    edges, counts, marks: model.get("marks"), unit: model.get("unit"), log: model.get("log_counts"),
    digits: digitsFor(size, Math.min(...widths)),
  };
}

/** @param {number} count @returns {string} */
function imagesText(count) {
  return count === 1 ? "1 image" : `${count} images`;
}

/** @param {Bins} bins @param {number} count @param {number} from @param {number} to @returns {string} */
function rangeText({ unit, digits }, count, from, to) {
  const range = `between ${formatNumber(from, digits)} and ${formatNumber(to, digits)}`;
  return `${imagesText(count)} ${range}${unit ? ` ${unit}` : ""}`;
}

/** @param {Bins} bins @param {number} index @returns {string} */
function binText(bins, index) {
  return rangeText(bins, bins.counts[index], bins.edges[index], bins.edges[index + 1]);
}

/** @param {Bins} bins @param {Mark} mark @returns {string} */
function markText({ unit, digits }, { label, value }) {
  return `${label}: ${formatNumber(/** @type {any} */ (value), digits)}${unit ? ` ${unit}` : ""}`;
}

/** @param {Bins} bins @returns {string} */
function summaryText(bins) {
  const total = bins.counts.reduce((sum, count) => sum + count, 0);
  return rangeText(bins, total, bins.edges[0], bins.edges[bins.edges.length - 1]);
}

class HistogramView {
  /** @param {Model} model @param {HTMLElement} el @param {{bins: Bins | null}} shared */
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    /** @type {Plot | null} */
    this.plot = null;
    this.hovered = -1;
    this.draws = 0;
    this.stale = false;
    this.measuring = document.createElement("canvas").getContext("2d");
    this.build(el);
    this.listen();
    this.redraw = inNextFrame(() => this.draw());
    const show = () => {
      if (this.stale || this.box.clientWidth !== this.width || typeScale(this.box) !== this.type) this.redraw();
    };
    this.stopWatching = watchShown(this.box, show);
    this.stopWatchingType = watchType(this.box, show);
    this.refresh();
  }

  /** @param {HTMLElement} el */
  build(el) {
    this.root = rootElement("histogram");
    this.option = element("div", "cnnviz-unseen", { role: "option", id: uniqueId() });
    this.drawing = element("div", "", { "aria-hidden": "true" });
    this.hover = element("div", "cnnviz-histogram-column");
    this.chosen = element("div", "cnnviz-histogram-column cnnviz-histogram-chosen");
    this.box = element("div", "cnnviz-histogram-box", { role: "listbox", tabindex: "0", "aria-orientation": "horizontal" },
      this.drawing, this.option);
    this.line = element("div", "cnnviz-line");
    this.caption = element("p", "cnnviz-caption");
    this.spoken = element("div", "cnnviz-unseen", { "aria-live": "polite" });
    this.root.append(this.box, this.line, this.caption, this.spoken);
    el.append(this.root);
  }

  listen() {
    this.box.addEventListener("keydown", (event) => this.onKey(event));
    this.box.addEventListener("click", (event) => this.toggle(this.binAt(event)));
    this.box.addEventListener("pointermove", (event) => this.onMove(event));
    this.box.addEventListener("pointerleave", () => this.onLeave());
  }

  /** Take over what the traits say. */
  refresh() {
    const { bins } = this.shared;
    if (!bins) return;
    const empty = bins.counts.length === 0;
    this.box.hidden = this.line.hidden = empty;
    this.caption.textContent = this.model.get("caption");
    this.root.dataset.count = String(bins.counts.length);
    this.hovered = -1;
    this.stale = true;
    if (empty) {
      this.drawing.replaceChildren();
      this.plot = null;
      this.finish();
    } else {
      const marks = bins.marks.map((mark) => `; ${markText(bins, mark)}`).join("");
      this.box.setAttribute("aria-label", `Histogram: ${summaryText(bins)}${marks}`);
      this.redraw();
    }
    this.showSelected();
  }

  /** Tell that what came last is drawn. */
  finish() {
    if (this.stale) this.root.dataset.drawn = String(++this.draws);
    this.stale = false;
  }

  draw() {
    const { bins } = this.shared;
    const width = this.box.clientWidth;
    if (!bins?.counts.length || !width || !this.box.isConnected) return;
    this.width = width;
    this.type = typeScale(this.box);
    this.fontFamily = getComputedStyle(this.box).fontFamily;
    const most = bins.counts.reduce((largest, count) => Math.max(largest, count), 1);
    const ticks = countTicks(most, bins.log);
    const left = Math.ceil(Math.max(...ticks.map((count) => this.textWidth(String(count))))) + 10;
    const finite = bins.marks.filter((mark) => typeof mark.value === "number");
    const values = [bins.edges[0], bins.edges[bins.edges.length - 1], ...finite.map((mark) => mark.value)];
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const plot = { left, right: Math.max(left + 1, width - RIGHT_MARGIN), top: 0, bottom: 0, low, high };
    const marks = this.placedMarks(finite, plot, width);
    const rows = Math.max(0, ...marks.map(({ place }) => (place ? place.row + 1 : 0)));
    plot.top = (TEXT_HEIGHT / 2 + rows * LABEL_ROW) * this.type;
    plot.bottom = plot.top + BARS_HEIGHT;
    this.plot = plot;
    this.box.style.height = `${plot.bottom + AXIS_MARGIN + TEXT_HEIGHT * this.type}px`;
    this.drawing.replaceChildren(this.hover, this.chosen, ...this.countNodes(ticks, most), ...this.barNodes(most),
      ...this.axisNodes(), ...marks.flatMap((mark) => this.markNodes(mark)));
    this.showColumns();
    this.finish();
  }

  /** @param {string} text @param {boolean} bold @returns {number} CSS pixels */
  textWidth(text, bold = false) {
    this.measuring.font = `${bold ? 600 : 400} ${USUAL_TYPE * this.type}px ${this.fontFamily}`;
    return this.measuring.measureText(text).width;
  }

  /** @param {string} name @param {Record<string, number>} place in CSS pixels @param {string} text */
  node(name, place, text = "") {
    const node = element("div", `cnnviz-histogram-${name}`, {}, text);
    for (const [key, value] of Object.entries(place)) node.style[key] = `${value}px`;
    return node;
  }

  /** @param {number} count @param {number} most @returns {number} distance from the axis */
  heightOf(count, most) {
    const part = this.shared.bins.log ? Math.log1p(count) / Math.log1p(most) : count / most;
    return part * BARS_HEIGHT;
  }

  /** @param {number[]} ticks the most important ones first @param {number} most */
  countNodes(ticks, most) {
    const { left, right, bottom } = this.plot;
    const written = [];
    return ticks.flatMap((count) => {
      const height = this.heightOf(count, most);
      if (written.some((other) => Math.abs(other - height) < COUNT_STEP * this.type)) return [];
      written.push(height);
      const top = bottom - height;
      return [
        this.node("level", { left, top, width: right - left }),
        this.node("count", { left: 0, top: top - (TEXT_HEIGHT / 2) * this.type, width: left - 8 }, String(count)),
      ];
    });
  }

  /** @param {number} most */
  barNodes(most) {
    const { edges, counts } = this.shared.bins;
    const { plot } = this;
    return Array.from(counts, (count, i) => {
      if (count === 0) return null;
      const ends = [placeOf(plot, edges[i]), placeOf(plot, edges[i + 1])];
      const gap = ends[1] - ends[0] >= 4 ? 1 : 0;
      // On whole pixels, so that no seams are seen between them.
      const [left, right] = ends.map(Math.round);
      // One image among many thousands is still one.
      const height = Math.max(2, this.heightOf(count, most));
      const node = this.node("bar", { left, width: Math.max(1, right - left - gap), top: plot.bottom - height, height });
      node.dataset.bin = String(i);
      return node;
    }).filter((node) => node !== null);
  }

  /**
   * Round values with the places of their texts, which stay within the view.
   * @param {number} most parts that the axis is divided into
   */
  ticks(most) {
    const { low, high } = this.plot;
    const step = niceStep(high - low, most);
    const digits = digitsFor(Math.max(Math.abs(low), Math.abs(high)), step);
    const values = multiples(low, high, step);
    return (values.length ? values : [low]).map((value) => {
      const [at, text] = [placeOf(this.plot, value), formatNumber(value, digits)];
      const width = this.textWidth(text);
      return { at, text, width, left: Math.max(0, Math.min(at - width / 2, this.width - width - 1)) };
    });
  }

  axisNodes() {
    const { left, right, bottom } = this.plot;
    let most = Math.min(8, Math.max(1, Math.floor((right - left) / 60)));
    const clear = (ticks) => ticks.every((tick, i) => i === 0 || tick.left >= ticks[i - 1].left + ticks[i - 1].width + TICK_GAP);
    while (most > 1 && !clear(this.ticks(most))) most -= 1;
    return [this.node("axis", { left, top: bottom, width: right - left }), ...this.ticks(most).flatMap((tick) => [
      this.node("tick", { left: tick.at - 0.5, top: bottom }),
      this.node("value", { left: tick.left, top: bottom + 6 }, tick.text),
    ])];
  }

  /**
   * Marks with the places of their labels, from right to left.
   * @param {Mark[]} marks @param {Plot} plot @param {number} width
   */
  placedMarks(marks, plot, width) {
    const found = marks.map((mark) => {
      const bold = mark.tone === "accent";
      const text = this.shortened(mark.label, bold, width / 2 - 2 * LABEL_GAP);
      return { mark, text, at: placeOf(plot, /** @type {number} */ (mark.value)), width: Math.ceil(this.textWidth(text, bold)) };
    }).sort((one, other) => other.at - one.at);
    const places = placeLabels(found, 0, width);
    return found.map((one, i) => ({ ...one, place: places[i] }));
  }

  /** @param {string} text @param {boolean} bold @param {number} width */
  shortened(text, bold, width) {
    let kept = [...text];
    if (this.textWidth(text, bold) <= width) return text;
    while (kept.length && this.textWidth(`${kept.join("")}…`, bold) > width) kept = kept.slice(0, -1);
    return `${kept.join("")}…`;
  }

  markNodes({ mark, text, at, width, place }) {
    const { top, bottom } = this.plot;
    const rowTop = (row) => top - 4 - (row + 1) * LABEL_ROW * this.type;
    const from = place ? rowTop(place.row) + 2 : top - 4;
    const nodes = [this.node("mark", { left: at, top: from, height: bottom - from })];
    if (place) nodes.push(this.node("label", { left: place.left, top: rowTop(place.row), width: width + 1 }, text));
    for (const node of nodes) {
      node.dataset.tone = mark.tone;
      node.title = mark.label;
    }
    return nodes;
  }

  get selected() {
    return Math.min(this.model.get("selected"), (this.shared.bins?.counts.length ?? 0) - 1);
  }

  /** The selection may have changed, here, in another view of this model or in Python. */
  showSelected() {
    const { bins } = this.shared;
    if (!bins) return;
    const { selected, option, box } = this;
    this.root.dataset.selected = String(selected);
    option.setAttribute("aria-selected", String(selected >= 0));
    option.setAttribute("aria-posinset", String(selected + 1));
    option.setAttribute("aria-setsize", String(bins.counts.length));
    option.textContent = selected >= 0 ? binText(bins, selected) : "";
    if (selected >= 0) box.setAttribute("aria-activedescendant", option.id);
    else box.removeAttribute("aria-activedescendant");
    this.showColumns();
    this.showLine([]);
  }

  /** Ground of the bin under the pointer and of the selected one. */
  showColumns() {
    const { bins } = this.shared;
    const { plot } = this;
    for (const [node, index] of [[this.hover, this.hovered], [this.chosen, this.selected]]) {
      node.hidden = !plot || index < 0;
      if (node.hidden) continue;
      const [left, right] = [placeOf(plot, bins.edges[index]), placeOf(plot, bins.edges[index + 1])];
      Object.assign(node.style, {
        left: `${left}px`, width: `${Math.max(1, right - left)}px`, top: `${plot.top}px`, height: `${BARS_HEIGHT}px`,
      });
    }
    this.drawing.querySelectorAll(".cnnviz-histogram-bar").forEach((bar) => {
      bar.classList.toggle("cnnviz-histogram-selected", Number(bar.dataset.bin) === this.selected);
    });
  }

  /** Marks near the pointer, the bin there or else the selected one, and the marks that no axis can show. @param {Mark[]} near */
  showLine(near) {
    const { bins } = this.shared;
    if (!bins?.counts.length) return;
    const index = this.hovered >= 0 ? this.hovered : this.selected;
    const unseen = bins.marks.filter((mark) => typeof mark.value !== "number");
    const main = index >= 0 ? binText(bins, index) : summaryText(bins);
    const texts = [...near.map((mark) => markText(bins, mark)), main, ...unseen.map((mark) => markText(bins, mark))];
    this.line.textContent = texts.join(" · ");
  }

  /** @param {MouseEvent} event @returns {number} bin under the pointer, -1 beside them */
  binAt(event) {
    const { plot } = this;
    if (!plot) return -1;
    const { edges, counts } = this.shared.bins;
    const x = event.clientX - this.box.getBoundingClientRect().left;
    if (x < placeOf(plot, edges[0]) || x >= placeOf(plot, edges[counts.length])) return -1;
    return counts.findIndex((_, i) => x < placeOf(plot, edges[i + 1]));
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const { plot } = this;
    if (!plot) return;
    const x = event.clientX - this.box.getBoundingClientRect().left;
    this.hovered = this.binAt(event);
    this.showColumns();
    this.showLine(this.shared.bins.marks.filter(({ value }) => (
      typeof value === "number" && Math.abs(placeOf(plot, value) - x) <= MARK_REACH)));
  }

  onLeave() {
    this.hovered = -1;
    this.showColumns();
    this.showLine([]);
  }

  /** @param {number} index -1 for none */
  select(index) {
    setTrait(this.model, "selected", index);
    this.showSelected();
    this.spoken.textContent = index >= 0 ? binText(this.shared.bins, index) : "no bin selected";
  }

  /** Select a bin or, if it is selected, none. @param {number} index */
  toggle(index) {
    if (index >= 0) this.select(index === this.selected ? -1 : index);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const count = this.shared.bins?.counts.length ?? 0;
    // Up and down are left to the page.
    if (!count || event.ctrlKey || event.metaKey || event.altKey || event.key === "ArrowUp" || event.key === "ArrowDown") return;
    const next = indexAfter(event.key, this.selected, count, count + 1, PAGE_BINS);
    if (next !== null) this.select(next);
    else if (event.key === "Escape" && this.selected >= 0) this.select(-1);
    else return;
    consume(event);
  }

  close() {
    this.stopWatching();
    this.stopWatchingType();
    this.redraw.cancel();
    this.root.remove();
  }
}

export default () => {
  const shared = { bins: /** @type {Bins | null} */ (null) };
  const views = new Set();
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const read = () => {
        shared.bins = readBins(model) || shared.bins;
        views.forEach((view) => view.refresh());
      };
      read();
      const stops = [
        watch(model, ["edges", "counts", "marks", "unit", "log_counts", "caption"], read),
        watch(model, ["selected"], () => views.forEach((view) => view.showSelected())),
      ];
      return () => stops.forEach((stop) => stop());
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new HistogramView(model, el, shared);
      views.add(view);
      return () => {
        views.delete(view);
        view.close();
      };
    },
  };
};
