/**
 * Shows recorded views in a page without Python; see standalone.py for what stands in the page.
 *
 * @typedef {{
 *   module: number, state: Record<string, any>, bytes: Record<string, number>,
 *   answers: {question: Record<string, string>, message: object, buffers: number[]}[],
 * }} RecordedView traits that are bytes, and the buffers of answers, by number; the fields of questions as JSON
 */

/** Bytes that stand in the page as base64. @param {number} number @returns {DataView} */
function bufferOf(number) {
  const text = atob(document.getElementById(`cnnviz-bytes-${number}`).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new DataView(bytes.buffer);
}

/** Whether an answer is to a message. @param {Record<string, string>} question @param {Record<string, any>} message */
function answers(question, message) {
  return Object.entries(question).every(([name, wanted]) => {
    const value = message[name];
    return JSON.stringify(value) === wanted || (Array.isArray(value) && value.some((part) => JSON.stringify(part) === wanted));
  });
}

/** Stands for the model that a notebook gives a view: keeps its traits, and answers what was recorded. */
class RecordedModel {
  /** @param {RecordedView} view */
  constructor(view) {
    /** Whether it answers at once or never. */
    this.recorded = true;
    this.state = { ...view.state };
    this.bytes = { ...view.bytes };
    this.answers = view.answers;
    /** @type {[string, Function][]} */
    this.handlers = [];
  }

  /** @param {string} name */
  get(name) {
    if (name in this.bytes) {
      this.state[name] = bufferOf(this.bytes[name]);
      delete this.bytes[name];
    }
    return this.state[name];
  }

  /** @param {string} name @param {any} value */
  set(name, value) {
    if (this.get(name) === value) return;
    this.state[name] = value;
    this.trigger(`change:${name}`, this, value);
    this.trigger("change", this);
  }

  save_changes() {}

  /** @param {Record<string, any>} message */
  send(message) {
    const found = this.answers.filter(({ question }) => answers(question, message));
    if (!found.length) return;
    // Not at once: a view may not have finished what it asks from.
    setTimeout(() => {
      for (const { message: answer, buffers } of found) this.trigger("msg:custom", answer, buffers.map(bufferOf));
    });
  }

  /** @param {string} event @param {Function} handler */
  on(event, handler) {
    this.handlers.push([event, handler]);
  }

  /** @param {string} event @param {Function} [handler] all of them without one */
  off(event, handler) {
    this.handlers = this.handlers.filter(([other, known]) => other !== event || (handler && known !== handler));
  }

  /** @param {string} event @param {...any} values */
  trigger(event, ...values) {
    for (const [other, handler] of [...this.handlers]) if (other === event) handler(...values);
  }
}

/** The definition of a view, loaded once for all that share it. @type {Map<number, Promise<any>>} */
const modules = new Map();

/** @param {number} number @param {string} text @returns {Promise<any>} */
function moduleOf(number, text) {
  if (!modules.has(number)) {
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    modules.set(number, import(url).finally(() => URL.revokeObjectURL(url)));
  }
  return modules.get(number);
}

/** @param {{modules: string[], views: RecordedView[]}} recorded @param {HTMLElement} place */
async function show(recorded, place) {
  const view = recorded.views[Number(place.dataset.recorded)];
  try {
    const { default: exported } = await moduleOf(view.module, recorded.modules[view.module]);
    const widget = typeof exported === "function" ? await exported() : exported;
    const model = new RecordedModel(view);
    await widget.initialize?.({ model });
    await widget.render({ model, el: place });
    place.dataset.shown = "true";
  } catch (error) {
    place.classList.add("page-failed");
    place.textContent = `This part can't be shown: ${error}`;
    console.error(error);
  }
}

/** Parts behind another choice wait until they are chosen. @param {{modules: string[], views: RecordedView[]}} recorded */
function showVisible(recorded) {
  for (const place of document.querySelectorAll(".page-view:not([data-begun])")) {
    if (place.closest("[hidden]")) continue;
    place.setAttribute("data-begun", "true");
    show(recorded, /** @type {HTMLElement} */ (place));
  }
}

const recorded = JSON.parse(document.getElementById("cnnviz-views").textContent);
for (const select of document.querySelectorAll("select.page-select")) {
  const choice = select.closest(".page-choice");
  const choose = () => {
    [...choice.querySelectorAll(":scope > .page-option")].forEach((option, i) => { option.hidden = i !== select.selectedIndex; });
    showVisible(recorded);
  };
  select.disabled = false;
  select.addEventListener("change", choose);
  // A browser that returns to the page has kept what was chosen.
  choose();
}
showVisible(recorded);
