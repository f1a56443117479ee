/**
 * A searchable tree of layers; see layer_tree.py for the traits.
 *
 * @typedef {{
 *   path: string, label: string, level: number, parent: Row | null, children: Row[],
 *   layer: {name: string, kind: string, shape: string, main: boolean} | null,
 * }} Row
 */

const PAGE_ROWS = 10;

/**
 * Rows of the tree, parents before children, else in the order given.
 * @param {{name: string, kind: string, shape: string, main: boolean}[]} layers
 * @returns {Row[]}
 */
function rowsOf(layers) {
  /** @type {Map<string, Row>} */
  const known = new Map();
  const roots = [];
  for (const layer of layers) {
    let parent = null;
    const parts = layer.name.split(".");
    parts.forEach((label, depth) => {
      const path = parts.slice(0, depth + 1).join(".");
      let row = known.get(path);
      if (!row) {
        row = { path, label, level: depth + 1, parent, children: [], layer: null };
        known.set(path, row);
        (parent ? parent.children : roots).push(row);
      }
      parent = row;
    });
    parent.layer = layer;
  }
  const flat = (rows) => rows.flatMap((row) => [row, ...flat(row.children)]);
  return flat(roots);
}

class TreeView {
  /** @param {Model} model @param {HTMLElement} el @param {{rows: Row[], views: Set<TreeView>}} shared */
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    /** @type {Set<string>} */
    this.collapsed = new Set();
    /** Row that the keys are at; the selected layer may be another. @type {Row | null} */
    this.cursor = null;
    this.build(el);
    this.restoreScroll = keepScroll(this.tree);
    this.stopWatching = watchShown(this.tree, (returned) => returned && this.restoreScroll());
    this.listen();
    this.refresh();
    requestAnimationFrame(() => this.revealCursor());
  }

  /** @param {HTMLElement} el */
  build(el) {
    this.root = rootElement("tree");
    this.search = element("input", "cnnviz-tree-search", {
      type: "search", placeholder: "Search name or kind", "aria-label": "Search layers by name or kind", spellcheck: "false",
    });
    this.check = element("input", "", { type: "checkbox" });
    const label = element("label", "cnnviz-tree-check", { title: "Show the ends of the network's blocks alone" }, this.check, "main layers only");
    this.tree = element("div", "cnnviz-tree-rows", { role: "tree", tabindex: "0", "aria-label": "Layers" });
    this.count = element("div", "cnnviz-caption", { "aria-live": "polite" });
    this.root.append(element("div", "cnnviz-tree-head", {}, this.search, label), this.tree, this.count);
    el.append(this.root);
  }

  listen() {
    this.search.addEventListener("input", () => this.filter());
    this.search.addEventListener("keydown", (event) => this.onSearchKey(event));
    this.check.addEventListener("change", () => setTrait(this.model, "main_only", this.check.checked));
    this.check.addEventListener("keydown", (event) => event.stopPropagation());
    this.tree.addEventListener("keydown", (event) => this.onKey(event));
    this.tree.addEventListener("click", (event) => this.onClick(event));
  }

  /** Build the rows anew. */
  refresh() {
    const id = uniqueId();
    /** @type {Map<Row, any>} */
    this.nodes = new Map();
    this.byNode = new Map();
    this.shared.rows.forEach((row, i) => {
      const node = this.rowNode(row, `${id}-${i}`);
      this.nodes.set(row, node);
      this.byNode.set(node, row);
    });
    this.tree.replaceChildren(...this.nodes.values());
    const paths = new Map(this.shared.rows.map((row) => [row.path, row]));
    this.cursor = (this.cursor && paths.get(this.cursor.path)) || paths.get(this.model.get("selected")) || null;
    this.filter();
    this.showSelected();
  }

  /** @param {Row} row @param {string} id */
  rowNode(row, id) {
    const { layer } = row;
    const twisty = element("span", "cnnviz-tree-twisty", { "aria-hidden": "true" });
    const name = element("span", "cnnviz-tree-name", {}, row.label);
    const kind = element("span", "cnnviz-tree-kind", {}, layer ? layer.kind : "");
    const shape = element("span", "cnnviz-tree-shape", {}, layer ? layer.shape : "");
    const node = element("div", "cnnviz-tree-row", {
      role: "treeitem", id, "aria-level": String(row.level), title: row.path,
      "aria-label": [row.path, layer && layer.kind, layer && layer.shape].filter(Boolean).join(", "),
    }, twisty, name, kind, shape);
    node.style.setProperty("--cnnviz-level", String(row.level - 1));
    node.classList.toggle("cnnviz-tree-main", Boolean(layer && layer.main));
    node.classList.toggle("cnnviz-tree-group", !layer);
    node.dataset.path = row.path;
    return node;
  }

  /** Show the rows that the search, the switch and the collapsed groups leave. */
  filter() {
    const query = this.search.value.trim().toLowerCase();
    const mainOnly = Boolean(this.model.get("main_only"));
    this.check.checked = mainOnly;
    const selected = this.model.get("selected"); // kept in sight, main layer or not
    this.matches = this.shared.rows.filter(({ layer }) => layer && (!mainOnly || layer.main || layer.name === selected) &&
      (layer.name.toLowerCase().includes(query) || layer.kind.toLowerCase().includes(query)));
    const kept = new Set();
    for (const match of this.matches) for (let row = match; row && !kept.has(row); row = row.parent) kept.add(row);
    this.searching = query !== "";
    /** @type {Row[]} */
    this.visible = this.shared.rows.filter((row) => kept.has(row) && this.unfolded(row.parent));
    const visible = new Set(this.visible);
    for (const [row, node] of this.nodes) {
      node.hidden = !visible.has(row);
      const open = row.children.some((child) => kept.has(child));
      if (open) node.setAttribute("aria-expanded", String(this.searching || !this.collapsed.has(row.path)));
      else node.removeAttribute("aria-expanded");
    }
    const total = this.shared.rows.filter((row) => row.layer).length;
    this.count.textContent = this.matches.length === total ? `${total} layers` : `${this.matches.length} of ${total} layers`;
    this.tree.style.maxHeight = `${this.model.get("max_height")}px`;
    this.moveTo(visible.has(this.cursor) ? this.cursor : this.nearestVisible(visible));
  }

  /** A search opens every group, else it would hide what it found. @param {Row | null} row */
  unfolded(row) {
    for (let group = row; group && !this.searching; group = group.parent) if (this.collapsed.has(group.path)) return false;
    return true;
  }

  /** @param {Set<Row>} visible */
  nearestVisible(visible) {
    for (let row = this.cursor; row; row = row.parent) if (visible.has(row)) return row;
    return null;
  }

  /** @param {Row | null} row */
  moveTo(row) {
    if (this.cursor) this.nodes.get(this.cursor)?.classList.remove("cnnviz-tree-cursor");
    this.cursor = row;
    if (!row) return this.tree.removeAttribute("aria-activedescendant");
    const node = this.nodes.get(row);
    node.classList.add("cnnviz-tree-cursor");
    this.tree.setAttribute("aria-activedescendant", node.id);
    this.revealCursor();
  }

  revealCursor() {
    const node = this.cursor && this.nodes.get(this.cursor);
    if (node && !node.hidden) reveal(this.tree, node.offsetTop, node.offsetTop + node.offsetHeight);
  }

  showSelected() {
    const selected = this.model.get("selected");
    for (const [row, node] of this.nodes) {
      if (row.layer) node.setAttribute("aria-selected", String(row.path === selected));
    }
  }

  /** The selection changed, here, in another view of this model or in Python. */
  followSelected() {
    const row = this.shared.rows.find(({ path }) => path === this.model.get("selected"));
    for (let group = row && row.parent; group; group = group.parent) this.collapsed.delete(group.path);
    this.filter();
    this.showSelected();
    if (row && this.visible.includes(row) && row !== this.cursor) this.moveTo(row);
  }

  /** Select a layer; a group that is none folds. @param {Row | null} row */
  choose(row) {
    if (!row) return;
    this.moveTo(row);
    if (row.layer) {
      setTrait(this.model, "selected", row.path);
      this.showSelected();
    } else this.fold(row, !this.collapsed.has(row.path));
  }

  /** @param {Row} row @param {boolean} folded */
  fold(row, folded) {
    if (folded) this.collapsed.add(row.path);
    else this.collapsed.delete(row.path);
    this.filter();
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const node = /** @type {Element} */ (event.target).closest(".cnnviz-tree-row");
    const row = node && this.byNode.get(node);
    if (!row) return;
    const onTwisty = /** @type {Element} */ (event.target).closest(".cnnviz-tree-twisty");
    if (onTwisty && node.hasAttribute("aria-expanded")) {
      this.moveTo(row);
      this.fold(row, !this.collapsed.has(row.path));
    } else this.choose(row);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { cursor, visible } = this;
    const next = event.key === "ArrowLeft" || event.key === "ArrowRight" ? null
      : indexAfter(event.key, cursor ? visible.indexOf(cursor) : -1, visible.length, 1, PAGE_ROWS);
    if (next !== null) this.moveTo(visible[next] || null);
    else if (event.key === "Enter" || event.key === " ") this.choose(cursor);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.onSideKey(event.key === "ArrowRight");
    else return;
    consume(event);
  }

  /** Right opens a group or enters it, left closes it or goes to the one around. @param {boolean} right */
  onSideKey(right) {
    const { cursor } = this;
    if (!cursor) return;
    const expanded = this.nodes.get(cursor).getAttribute("aria-expanded");
    if (right && expanded === "false") this.fold(cursor, false);
    else if (right && expanded === "true") this.moveTo(this.visible[this.visible.indexOf(cursor) + 1]);
    else if (!right && expanded === "true" && !this.searching) this.fold(cursor, true);
    else if (!right && cursor.parent) this.moveTo(cursor.parent);
  }

  /** Typing stays in the box. @param {KeyboardEvent} event */
  onSearchKey(event) {
    event.stopPropagation();
    if (event.key === "ArrowDown") {
      event.preventDefault();
      this.tree.focus();
      this.moveTo(this.matches[0] || this.cursor);
    } else if (event.key === "Enter") this.choose(this.matches[0] || null);
    else if (event.key === "Escape") {
      this.search.value = "";
      this.filter();
    }
  }

  close() {
    this.stopWatching();
    this.root.remove();
  }
}

export default () => {
  const shared = { rows: /** @type {Row[]} */ ([]), views: new Set() };
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const each = (act) => () => shared.views.forEach(act);
      shared.rows = rowsOf(model.get("layers") || []);
      const stops = [
        watch(model, ["layers"], () => {
          shared.rows = rowsOf(model.get("layers") || []);
          shared.views.forEach((view) => view.refresh());
        }),
        watch(model, ["main_only", "max_height"], each((view) => view.filter())),
        watch(model, ["selected"], each((view) => view.followSelected())),
      ];
      return () => stops.forEach((stop) => stop());
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new TreeView(model, el, shared);
      shared.views.add(view);
      return () => {
        shared.views.delete(view);
        view.close();
      };
    },
  };
};
