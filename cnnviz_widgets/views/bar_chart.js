/** Labelled horizontal bars; see bar_chart.py for the traits. */

const MOST_BARS = 200;
const PAGE_BARS = 10;

/** @param {number | string} value a number, or "nan", "inf", "-inf" @param {string} unit */
function barText(value, unit) {
  if (typeof value !== "number") return value;
  if (unit !== "%") return unit ? `${formatNumber(value)} ${unit}` : formatNumber(value);
  const percent = 100 * value;
  return percent !== 0 && Math.abs(percent) < 0.1 ? (percent > 0 ? "< 0.1 %" : "> -0.1 %") : `${percent.toFixed(1)} %`;
}

/** Ends of the axis, zero always included. @param {(number | string)[]} values @param {number} low @param {number} high */
function barAxis(values, low, high) {
  if (high > low) return [Math.min(low, 0), Math.max(high, 0)];
  const numbers = values.filter((value) => typeof value === "number");
  const ends = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
  return ends[1] > ends[0] ? ends : [0, 1];
}

class BarView {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    this.id = uniqueId();
    this.root = rootElement("bars");
    this.list = element("div", "cnnviz-bars-list", { role: "listbox", tabindex: "0", "aria-label": "Bars" });
    this.caption = element("p", "cnnviz-caption");
    this.root.append(this.list, this.caption);
    el.append(this.root);
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    this.list.addEventListener("click", (event) => this.select(this.indexOf(event)));
    this.list.addEventListener("dblclick", (event) => this.open(this.indexOf(event)));
    this.refresh();
  }

  refresh() {
    const { model } = this;
    const labels = model.get("labels") || [];
    const values = (model.get("values") || []).slice(0, Math.min(labels.length, MOST_BARS));
    const unit = model.get("unit");
    const axis = barAxis(values, model.get("low"), model.get("high"));
    this.rows = values.map((value, i) => this.row(labels[i], value, unit, axis, i));
    this.list.replaceChildren(...this.rows);
    this.list.hidden = values.length === 0;
    this.caption.textContent = model.get("caption");
    if (this.caption.textContent) this.list.setAttribute("aria-label", this.caption.textContent);
    this.showSelected();
  }

  row(label, value, unit, [low, high], index) {
    const at = (number) => (100 * (Math.min(Math.max(number, low), high) - low)) / (high - low);
    const bar = element("div", "cnnviz-bars-bar");
    bar.hidden = typeof value !== "number";
    if (typeof value === "number") {
      const [from, to] = [at(Math.min(value, 0)), at(Math.max(value, 0))];
      bar.style.left = `${from}%`;
      bar.style.width = `${to - from}%`;
      bar.classList.toggle("cnnviz-bars-negative", value < 0);
    }
    const zero = element("div", "cnnviz-bars-zero");
    zero.style.left = `${at(0)}%`;
    const text = barText(value, unit);
    return element("div", "cnnviz-bars-row", {
      role: "option", id: `${this.id}-${index}`, "aria-label": `${label}: ${text}`, title: label,
    }, element("span", "cnnviz-bars-label", {}, label), element("div", "cnnviz-bars-track", {}, bar, zero),
    element("span", "cnnviz-bars-value", {}, text));
  }

  showSelected() {
    const selected = this.model.get("selected");
    this.list.removeAttribute("aria-activedescendant");
    this.rows.forEach((row, i) => row.setAttribute("aria-selected", String(i === selected)));
    if (this.rows[selected]) this.list.setAttribute("aria-activedescendant", this.rows[selected].id);
  }

  /** @param {MouseEvent} event */
  indexOf(event) {
    return this.rows.indexOf(/** @type {Element} */ (event.target).closest(".cnnviz-bars-row"));
  }

  /** @param {number} index */
  select(index) {
    if (!this.rows[index]) return;
    setTrait(this.model, "selected", index);
    this.showSelected();
  }

  /** @param {number} index */
  open(index) {
    if (this.rows[index]) this.model.send({ type: "open", index });
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const selected = this.model.get("selected");
    const next = indexAfter(event.key, selected, this.rows.length, 1, PAGE_BARS);
    if (next !== null) this.select(next);
    else if (event.key === "Enter" || event.key === " ") this.open(selected);
    else return;
    consume(event);
  }

  close() {
    this.root.remove();
  }
}

export default () => {
  const views = new Set();
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const stops = [
        watch(model, ["labels", "values", "unit", "low", "high", "caption"], () => views.forEach((view) => view.refresh())),
        watch(model, ["selected"], () => views.forEach((view) => view.showSelected())),
      ];
      return () => stops.forEach((stop) => stop());
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new BarView(model, el);
      views.add(view);
      return () => {
        views.delete(view);
        view.close();
      };
    },
  };
};
