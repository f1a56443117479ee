/**
 * Pictures with captions in rows; see picture_table.py for the traits and messages.
 *
 * @typedef {{
 *   picture: [number, number], overlay: [number, number], lines: string[], title: string,
 *   box: [number, number, number, number] | null, mark: [number, number] | null, tone: string,
 * }} Cell pictures as offset and length in the bytes that came with them
 */

/** So that a tone is told in black and white as well. @type {Record<string, string>} */
const TONE_SIGNS = { query: "▸", hit: "✓", miss: "✗" };
const CELL_PADDING = 8;
const LEAD_GAP = 12;
const LARGEST_RING = 26;
const SMALLEST_RING = 14;

/** @param {number} fraction @returns {string} */
function percent(fraction) {
  return `${100 * fraction}%`;
}

/** @param {[number, number, number, number]} box @returns {HTMLElement} */
function boxSign([top, left, bottom, right]) {
  const node = element("div", "cnnviz-table-box cnnviz-table-sign");
  Object.assign(node.style, {
    top: percent(top), left: percent(left), height: percent(bottom - top), width: percent(right - left),
  });
  return node;
}

/** @param {[number, number]} mark @param {number} side @returns {HTMLElement} */
function markSign([y, x], side) {
  const size = Math.min(LARGEST_RING, Math.max(SMALLEST_RING, Math.round(side / 6)));
  const node = element("div", "cnnviz-table-ring cnnviz-table-sign");
  Object.assign(node.style, { top: percent(y), left: percent(x), height: `${size}px`, width: `${size}px` });
  return node;
}

/** The cells of one update as nodes, to be put into the document when their pictures are decoded. */
class Sheet {
  /** @param {Model} model */
  constructor(model) {
    this.id = uniqueId();
    /** @type {Cell[]} */
    this.cells = model.get("cells");
    this.bytes = bytesOf(model.get("data"));
    this.side = model.get("side");
    this.columns = model.get("columns");
    this.lead = model.get("lead");
    /** Addresses of pictures in the browser's memory by their offset. @type {Map<number, string>} */
    this.urls = new Map();
    this.heads = model.get("heads").map((head, i) => this.head(head, i));
    this.options = this.cells.map((cell, i) => this.option(cell, i));
  }

  /** @param {number} index */
  leads(index) {
    return this.lead && index % this.columns === 0;
  }

  /** @param {string} text @param {number} index */
  head(text, index) {
    const node = element("div", "cnnviz-table-head", { id: `${this.id}-head-${index}`, "aria-hidden": "true" }, text);
    node.classList.toggle("cnnviz-table-lead", this.leads(index));
    return node;
  }

  /** @param {Cell} cell @param {number} index */
  option(cell, index) {
    const label = cell.title || cell.lines.join(", ");
    const node = element("div", "cnnviz-table-cell", {
      role: "option", id: `${this.id}-${index}`, title: label, "aria-selected": "false",
      "aria-label": [label || `picture ${index + 1}`, cell.tone].filter(Boolean).join(", "),
    });
    if (this.heads.length) node.setAttribute("aria-describedby", this.heads[index % this.columns].id);
    node.dataset.tone = cell.tone;
    node.classList.toggle("cnnviz-table-lead", this.leads(index));
    return node;
  }

  /** Fill the options; resolves when nothing is left to decode. */
  async fill() {
    await Promise.all(this.cells.map((cell, i) => this.fillOption(cell, this.options[i])));
    return this;
  }

  /** @param {Cell} cell @param {HTMLElement} node */
  async fillOption(cell, node) {
    const [image, overlay] = await Promise.all([this.decoded(cell.picture), this.decoded(cell.overlay)]);
    const [first = "", ...rest] = cell.lines;
    const strong = element("div", "cnnviz-table-line", {}, first);
    if (TONE_SIGNS[cell.tone]) {
      strong.prepend(element("span", "cnnviz-table-tone", { "aria-hidden": "true" }, TONE_SIGNS[cell.tone]), " ");
    }
    const square = element("div", "cnnviz-table-square");
    const lines = element("div", "cnnviz-table-lines");
    if (image) {
      square.append(this.picture(cell, image, overlay));
      lines.append(strong);
    } else {
      square.classList.add("cnnviz-table-placeholder");
      square.append(strong);
    }
    lines.append(...rest.map((line) => element("div", "cnnviz-table-line", {}, line)));
    node.append(square, lines);
  }

  /** @param {Cell} cell @param {HTMLImageElement} image @param {HTMLImageElement | null} overlay */
  picture(cell, image, overlay) {
    const longest = Math.max(image.naturalWidth, image.naturalHeight);
    const node = element("div", "cnnviz-table-picture", {}, image);
    node.style.width = `${Math.max(1, (this.side * image.naturalWidth) / longest)}px`;
    node.style.height = `${Math.max(1, (this.side * image.naturalHeight) / longest)}px`;
    image.classList.toggle("cnnviz-table-enlarged", longest < this.side / 2);
    if (overlay) {
      overlay.className = "cnnviz-table-overlay";
      node.append(overlay);
    }
    if (cell.box) node.append(boxSign(cell.box));
    if (cell.mark) node.append(markSign(cell.mark, this.side));
    return node;
  }

  /** @param {[number, number]} span @returns {Promise<HTMLImageElement | null>} null without bytes or if they are no picture */
  async decoded([offset, length]) {
    if (!length) return null;
    if (!this.urls.has(offset)) {
      this.urls.set(offset, URL.createObjectURL(new Blob([this.bytes.subarray(offset, offset + length)])));
    }
    const image = element("img", "", { alt: "", draggable: "false" });
    image.src = this.urls.get(offset);
    try {
      await image.decode();
      return image;
    } catch {
      return null;
    }
  }

  close() {
    this.urls.forEach((url) => URL.revokeObjectURL(url));
  }
}

class TableView {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    /** What is seen, and what will be when it is decoded. @type {Sheet | null} */
    this.sheet = null;
    /** @type {Sheet | null} */
    this.draft = null;
    this.draws = 0;
    this.build(el);
    this.listen();
    const restoreScroll = keepScroll(this.list);
    this.stopWatching = watchShown(this.list, (returned) => returned && restoreScroll());
    this.showMarks();
    this.refresh();
  }

  /** @param {HTMLElement} el */
  build(el) {
    this.root = rootElement("table");
    this.grid = element("div", "cnnviz-table-grid", { role: "presentation" });
    this.list = element("div", "cnnviz-table-list", { role: "listbox", tabindex: "0", "aria-label": "Pictures" }, this.grid);
    this.list.hidden = true;
    this.caption = element("p", "cnnviz-caption");
    this.root.append(this.list, this.caption);
    el.append(this.root);
  }

  listen() {
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    this.list.addEventListener("click", (event) => this.choose(this.indexOf(event)));
    this.list.addEventListener("dblclick", (event) => this.open(this.indexOf(event)));
  }

  /** Take over what the traits say, once its pictures can be drawn. */
  async refresh() {
    this.draft?.close();
    const draft = new Sheet(this.model);
    this.draft = draft;
    this.list.setAttribute("aria-busy", "true");
    await draft.fill();
    if (this.draft === draft) this.swap(draft);
    else draft.close();
  }

  /** @param {Sheet} sheet */
  swap(sheet) {
    const { list, grid, root } = this;
    const { columns, options, heads, lead, side } = sheet;
    this.draft = null;
    list.hidden = options.length === 0;
    list.removeAttribute("aria-busy");
    list.style.maxHeight = this.model.get("max_height") ? `${this.model.get("max_height")}px` : "";
    root.style.setProperty("--cnnviz-table-side", `${side}px`);
    const width = side + 2 * CELL_PADDING;
    const rest = `${columns ? columns - Number(lead) : "auto-fill"}, ${width}px`;
    grid.style.gridTemplateColumns = `${lead ? `${width + LEAD_GAP}px ` : ""}repeat(${rest})`;
    grid.classList.toggle("cnnviz-table-fixed", columns > 0);
    grid.replaceChildren(...heads, ...options);
    this.sheet?.close();
    this.sheet = sheet;
    root.dataset.count = String(options.length);
    this.showCaption();
    this.showSelected();
    root.dataset.drawn = String(++this.draws);
  }

  /** A caption that comes with other pictures waits for them. */
  showCaption() {
    if (this.draft) return;
    this.caption.textContent = this.model.get("caption");
    this.list.setAttribute("aria-label", this.caption.textContent || "Pictures");
  }

  showMarks() {
    this.root.style.setProperty("--cnnviz-table-opacity", String(this.model.get("overlay_opacity")));
    this.root.classList.toggle("cnnviz-table-unmarked", !this.model.get("show_marks"));
  }

  get selected() {
    const selected = this.model.get("selected");
    return this.sheet?.options[selected] ? selected : -1;
  }

  showSelected() {
    if (this.draft || !this.sheet) return;
    const { options } = this.sheet;
    const { list, selected } = this;
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === selected)));
    list.removeAttribute("aria-activedescendant");
    this.root.dataset.selected = String(selected);
    if (selected < 0) return;
    list.setAttribute("aria-activedescendant", options[selected].id);
    this.reveal(options[selected]);
  }

  /** Scroll a cell into sight within the table, beside the column and the heads that stay. @param {HTMLElement} option */
  reveal(option) {
    const { list, sheet } = this;
    const index = sheet.options.indexOf(option);
    const above = sheet.heads.length ? sheet.heads[0].offsetHeight : 0;
    const before = sheet.lead ? sheet.options[0].offsetWidth : 0;
    // Where the browser scrolls by itself, it shall know of them as well.
    list.style.scrollPadding = `${above}px 0 0 ${sheet.leads(index) ? 0 : before}px`;
    reveal(list, option.offsetTop - above, option.offsetTop + option.offsetHeight);
    if (sheet.leads(index)) return;
    const [left, right] = [option.offsetLeft - before, option.offsetLeft + option.offsetWidth];
    if (left < list.scrollLeft) list.scrollLeft = left;
    else if (right > list.scrollLeft + list.clientWidth) list.scrollLeft = right - list.clientWidth;
  }

  /** @param {MouseEvent} event @returns {number} -1 beside the cells, and while these are about to be replaced */
  indexOf(event) {
    if (this.draft || !this.sheet) return -1;
    return this.sheet.options.indexOf(/** @type {Element} */ (event.target).closest(".cnnviz-table-cell"));
  }

  /** @param {number} index */
  select(index) {
    setTrait(this.model, "selected", index);
    this.showSelected();
  }

  /** @param {number} index */
  choose(index) {
    if (index < 0) return;
    this.select(index);
    this.model.send({ type: "choose", index });
  }

  /** @param {number} index */
  open(index) {
    if (index >= 0) this.model.send({ type: "open", index });
  }

  get columns() {
    return this.sheet.columns || getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
  }

  /** Index distance of a page of rows. */
  get page() {
    const { heads, options } = this.sheet;
    const height = Math.min(this.list.clientHeight, window.innerHeight) - (heads.length ? heads[0].offsetHeight : 0);
    // Rows need not be whole pixels high.
    return this.columns * Math.max(1, Math.floor((height + 1) / options[0].getBoundingClientRect().height));
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (this.draft || !this.sheet?.options.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const { selected } = this;
    const next = indexAfter(event.key, selected, this.sheet.options.length, this.columns, this.page);
    if (next !== null) {
      this.select(next);
      this.sheet.options[next].scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    } else if (event.key === "Enter" || event.key === " ") this.open(selected);
    else return;
    consume(event);
  }

  close() {
    this.stopWatching();
    this.draft?.close();
    this.sheet?.close();
    this.draft = null;
    this.root.remove();
  }
}

export default () => {
  const views = new Set();
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const stops = [
        watch(model, ["data", "cells", "columns", "lead", "heads", "side", "max_height"],
          () => views.forEach((view) => view.refresh())),
        watch(model, ["caption"], () => views.forEach((view) => view.showCaption())),
        watch(model, ["overlay_opacity", "show_marks"], () => views.forEach((view) => view.showMarks())),
        watch(model, ["selected"], () => views.forEach((view) => view.showSelected())),
      ];
      return () => stops.forEach((stop) => stop());
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new TableView(model, el);
      views.add(view);
      return () => {
        views.delete(view);
        view.close();
      };
    },
  };
};
