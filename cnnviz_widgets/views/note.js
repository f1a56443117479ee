/** A short text that is never markup; see note.py for the traits. */

const NOTE_ROLES = { info: "status", error: "alert", code: "group" };
// The last character asks for the plain sign, not the coloured emoji.
const NOTE_ICONS = { info: "\u2139\ufe0e", error: "\u26a0\ufe0e", code: "" };
const SAID_FOR_MS = 2000;
const KEEPS_KEYS = "data-lm-suppress-shortcuts";

/**
 * Have Lumino leave the keys alone in the panel around an element. ipywidgets puts the element into the panel, and
 * the class onto the panel, only some time after this view was rendered, so wait for both.
 * @param {HTMLElement} el
 * @returns {() => void} stops waiting; a panel once marked stays marked
 */
function keepKeysInPanel(el) {
  const mark = () => {
    const panel = el.closest(".cnnviz-panel");
    if (panel && !panel.hasAttribute(KEEPS_KEYS)) {
      panel.setAttribute(KEEPS_KEYS, "true");
      // Notebook 7 binds the arrows to whatever has the focus, so the focused slider itself must carry the mark.
      panel.addEventListener("focusin", (event) => event.target.setAttribute(KEEPS_KEYS, "true"));
    }
    return Boolean(panel);
  };
  if (mark()) return () => {};
  const changes = new MutationObserver(() => mark() && changes.disconnect());
  changes.observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
  return () => changes.disconnect();
}

/** Copy where the page may not use the clipboard, as over plain http. @param {HTMLElement} node @returns {boolean} */
function copySelected(node) {
  getSelection()?.selectAllChildren(node);
  return document.execCommand("copy");
}

class NoteView {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.root = rootElement("note");
    this.icon = element("span", "cnnviz-note-icon", { "aria-hidden": "true" });
    this.text = element("div", "cnnviz-note-text");
    this.code = element("pre", "cnnviz-note-code", { tabindex: "0", "aria-label": "Code" });
    this.copying = button("Copy", "Copy", () => this.copy());
    this.said = element("span", "cnnviz-unseen", { role: "status" });
    this.body = element("div", "cnnviz-note-body", {}, this.icon, this.text, this.code, this.copying, this.said);
    this.root.append(this.body);
    el.append(this.root);
    this.stopWaiting = keepKeysInPanel(el);
    this.refresh();
  }

  refresh() {
    const [text, kind] = [this.model.get("text"), this.model.get("kind")];
    const isCode = kind === "code";
    this.el.classList.toggle("cnnviz-note-empty", text === "");
    this.root.dataset.kind = kind;
    // The role comes before the text: a screen reader announces what changes inside a region it knows.
    this.body.setAttribute("role", NOTE_ROLES[kind]);
    this.icon.textContent = NOTE_ICONS[kind];
    this.text.textContent = isCode ? "" : text;
    this.code.textContent = isCode ? text : "";
    this.code.hidden = this.copying.hidden = !isCode;
    this.say("Copy", "");
  }

  /** @param {string} label on the button @param {string} message for screen readers */
  say(label, message) {
    clearTimeout(this.timer);
    this.copying.textContent = label;
    this.copying.title = label;
    this.copying.setAttribute("aria-label", label);
    this.said.textContent = message;
  }

  async copy() {
    let done = false;
    try {
      await navigator.clipboard.writeText(this.model.get("text"));
      done = true;
    } catch {
      done = copySelected(this.code);
    }
    if (done) this.say("Copied", "Copied");
    else this.say("Press Ctrl+C", "The code is selected; press Ctrl+C to copy it");
    this.timer = setTimeout(() => this.say("Copy", ""), SAID_FOR_MS * (done ? 1 : 3));
  }

  close() {
    clearTimeout(this.timer);
    this.stopWaiting();
    this.el.classList.remove("cnnviz-note-empty");
    this.root.remove();
  }
}

export default () => {
  const views = new Set();
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      return watch(model, ["text", "kind"], () => views.forEach((view) => view.refresh()));
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new NoteView(model, el);
      views.add(view);
      return () => {
        views.delete(view);
        view.close();
      };
    },
  };
};
