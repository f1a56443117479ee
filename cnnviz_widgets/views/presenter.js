/** A bar that leads through scenes, by buttons and by the keys of a clicker; see presenter.py for traits and messages. */

const STAGES = [".cnnviz-explorer", ".cnnviz-panel"];
const KEYS_TOLD = "Page Down and Page Up: the next and the previous scene. Home: the first. B: black. F: full screen. Esc: end.";
const SETTLED_MS = 5000;
const NOT_TEXT = new Set(["button", "checkbox", "color", "file", "image", "radio", "range", "reset", "submit"]);
const TAKES_ARROWS =
  "select, input, canvas, summary, [role=slider], [role=grid], [role=tree], [role=listbox], [role=radiogroup], [role=tablist]," +
  " [role=application], .noUi-handle";
const DESTINATIONS = {
  PageDown: "next", PageUp: "previous", ArrowRight: "next", ArrowDown: "next", ArrowLeft: "previous", ArrowUp: "previous",
  Home: "first",
};

/** What is enlarged and fills the screen: the panel around an element, else the nearest that holds one. @param {Element} el */
function stageOf(el) {
  const around = STAGES.map((name) => el.closest(name)).find(Boolean);
  if (around) return around;
  let holder = el.parentElement;
  while (holder && holder !== document.body && !holder.querySelector(STAGES[1])) holder = holder.parentElement;
  return holder && holder !== document.body ? holder : null;
}

/** Whether keys are text where the event happens. @param {Event} event @returns {boolean} */
function isTyping(event) {
  const node = event.composedPath()[0];
  if (!(node instanceof HTMLElement)) return false;
  if (node instanceof HTMLInputElement) return !NOT_TEXT.has(node.type);
  return node instanceof HTMLTextAreaElement || node.isContentEditable;
}

/** @param {KeyboardEvent} event @param {HTMLElement} bar @returns {boolean} whether what has the focus has a use for the key */
function isTaken(event, bar) {
  const node = event.composedPath()[0];
  if (!(node instanceof HTMLElement) || bar.contains(node) || event.key.startsWith("Page") || event.key === "F5") return false;
  if (event.key.length === 1) return node instanceof HTMLSelectElement;
  return event.key !== "Escape" && node.closest(TAKES_ARROWS) !== null;
}

class PresenterView {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    this.root = rootElement("presenter");
    this.previous = button("‹", "The scene before this one", () => this.go("previous"));
    this.place = element("span", "cnnviz-line cnnviz-presenter-place", { role: "status" });
    this.next = button("›", "The next scene", () => this.go("next"));
    this.reset = button("Reset", "Back to how it was in the beginning", () => this.go("reset"));
    this.large = button("Large type", "Write everything larger, for the back row", () => this.toggle("large"));
    this.present = button("Present", "Have a clicker's keys act wherever the focus is", () => this.toggle("presenting"));
    this.full = button("Full screen", "Fill the screen with the panel", () => this.toggleFull());
    this.keys = element("p", "cnnviz-presenter-keys");
    const buttons = [this.previous, this.next, this.place, this.reset, this.large, this.present, this.full];
    this.bar = element("div", "cnnviz-presenter-bar", { role: "toolbar", "aria-label": "Scenes" }, ...buttons);
    this.root.append(this.bar, this.keys);
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    el.append(this.root);
    // ipywidgets puts the element into the panel, and the class onto the panel, only later
    this.changes = new MutationObserver(() => this.enlarge());
    this.refresh();
  }

  refresh() {
    const [names, at] = [this.model.get("names"), this.model.get("at")];
    const [large, presenting] = [this.model.get("large"), this.model.get("presenting")];
    const count = names.length === 1 ? "1 scene" : `${names.length} scenes`;
    this.place.textContent = at >= 0 && at < names.length ? `${at + 1} of ${names.length}: ${names[at]}` : count;
    this.previous.disabled = at <= 0;
    this.next.disabled = at >= names.length - 1;
    this.large.setAttribute("aria-pressed", String(large));
    this.present.setAttribute("aria-pressed", String(presenting));
    this.keys.textContent = presenting ? KEYS_TOLD : "";
    this.enlarge();
  }

  /** Put the class where it belongs now. */
  enlarge() {
    const large = this.model.get("large");
    const stage = large ? stageOf(this.root) : null;
    if (stage !== this.enlarged) this.enlarged?.classList.remove("cnnviz-large");
    // to add a class anew counts as a change, which would be told without end
    if (stage && !stage.classList.contains("cnnviz-large")) stage.classList.add("cnnviz-large");
    this.enlarged = stage;
    if (large && !this.waiting && !stage?.matches(STAGES.join())) {
      this.changes.observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
      this.waiting = setTimeout(() => this.changes.disconnect(), SETTLED_MS);
    }
  }

  /** @param {"next" | "previous" | "first" | "reset"} to */
  go(to) {
    this.lighten();
    this.model.send({ type: "go", to });
  }

  /** @param {"large" | "presenting"} name */
  toggle(name) {
    if (name === "large") setTrait(this.model, "large", !this.model.get("large"));
    else setTrait(this.model, "presenting", !this.model.get("presenting"));
  }

  /** @param {KeyboardEvent} event on the bar, or anywhere while presenting */
  pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event) || isTaken(event, this.root)) return;
    if (event.key in DESTINATIONS) this.go(DESTINATIONS[event.key]);
    else if (event.key === "." || event.key.toLowerCase() === "b") this.toggleBlack();
    else if (event.key === "F5" || event.key.toLowerCase() === "f") this.toggleFull();
    else if (event.key === "Escape" && this.black) this.lighten();
    else if (event.key === "Escape" && this.model.get("presenting")) setTrait(this.model, "presenting", false);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  toggleBlack() {
    if (this.black) {
      this.lighten();
      return;
    }
    this.black = button("", "The screen is black; press B or click", () => this.lighten());
    this.black.className = "cnnviz-presenter-black";
    this.black.addEventListener("keydown", (event) => this.pressed(event));
    // what is not inside of the element that fills the screen is behind it
    (document.fullscreenElement ?? document.body).append(this.black);
    this.before = document.activeElement;
    this.black.focus();
  }

  lighten() {
    if (!this.black) return;
    this.black.remove();
    this.black = null;
    if (this.before instanceof HTMLElement) this.before.focus({ preventScroll: true });
  }

  async toggleFull() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await (stageOf(this.root) ?? this.root).requestFullscreen();
    } catch {
      this.keys.textContent = "The browser does not allow full screen here; F11 is its own.";
    }
  }

  close() {
    clearTimeout(this.waiting);
    this.changes.disconnect();
    this.enlarged?.classList.remove("cnnviz-large");
    this.lighten();
    this.root.remove();
  }
}

export default () => {
  const views = new Set();
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const pressed = (event) => {
        // one of several views of one bar
        const view = [...views].find(({ root }) => root.isConnected);
        if (view && model.get("presenting")) view.pressed(event);
      };
      // the window comes before the document, where JupyterLab listens: there B would insert a cell
      window.addEventListener("keydown", pressed, true);
      const stop = watch(model, ["names", "at", "large", "presenting"], () => views.forEach((view) => view.refresh()));
      return () => {
        window.removeEventListener("keydown", pressed, true);
        stop();
      };
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new PresenterView(model, el);
      views.add(view);
      return () => {
        views.delete(view);
        view.close();
      };
    },
  };
};
