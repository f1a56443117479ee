/** A button that opens an image, a place to drop one, a target to paste one; see image_upload.py for the messages. */

const LONGEST_SIDE = 2048;
const SMALLEST_SIDE = 16;
const JPEG_QUALITY = 0.92;
const DROP_HINT = "or drop or paste an image here";

/** @param {number} bytes @returns {string} such as "12.3 MB" */
function sizeText(bytes) {
  if (bytes < 1e3) return `${bytes} bytes`;
  return bytes < 1e6 ? `${formatNumber(bytes / 1e3)} kB` : `${formatNumber(bytes / 1e6)} MB`;
}

/**
 * @param {ImageBitmap} bitmap @param {number} longest pixels of the longer side
 * @returns {Promise<Blob | null>} null where the browser cannot make it
 */
function jpegOf(bitmap, longest) {
  const scale = longest / Math.max(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  // JPEG has no transparency; what was transparent would come out black.
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
}

/** @param {File} file @returns {Promise<ImageBitmap | null>} upright; null where this browser cannot decode it */
async function decoded(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}

/** @param {ImageBitmap} bitmap @param {number} limit bytes @returns {Promise<Blob | null>} null where none is that small */
async function jpegWithin(bitmap, limit) {
  let longest = Math.min(LONGEST_SIDE, Math.max(bitmap.width, bitmap.height));
  for (;;) {
    const blob = await jpegOf(bitmap, longest);
    if (!blob || blob.size <= limit) return blob;
    longest = Math.floor(longest * Math.min(0.8, Math.sqrt(limit / blob.size)));
    if (longest < SMALLEST_SIDE) return null;
  }
}

/**
 * What to send of a file.
 * @param {File} file @param {number} limit bytes @param {boolean} whole scale nothing down
 * @returns {Promise<{bytes: ArrayBuffer, scaled: boolean} | {reason: string}>}
 */
async function contentOf(file, limit, whole) {
  if (file.size === 0) return { reason: "the file is empty; choose another one" };
  if (file.size <= limit) {
    try {
      return { bytes: await file.arrayBuffer(), scaled: false };
    } catch {
      return { reason: "the browser cannot read it; if it is a folder, choose an image in it" };
    }
  }
  const given = `${sizeText(file.size)} is above the limit of ${sizeText(limit)}`;
  if (whole) return { reason: `${given} and only the file as it is would do; choose a smaller one` };
  const bitmap = await decoded(file);
  if (!bitmap) {
    return { reason: `${given} and this browser cannot decode it to scale it down; save it as a smaller JPEG or PNG` };
  }
  try {
    const blob = await jpegWithin(bitmap, limit);
    if (blob) return { bytes: await blob.arrayBuffer(), scaled: true };
    return { reason: `${given} and it cannot be scaled down that far; choose a smaller image` };
  } finally {
    bitmap.close();
  }
}

/** The files given to one model, whichever of its views they came through. */
class Uploads {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.views = new Set();
    this.number = 0;
    /** What happened here, shown until Python says more. @type {{text: string, error: boolean} | null} */
    this.note = null;
  }

  /** @param {FileList | File[]} files the first is sent */
  async take(files) {
    const number = ++this.number;
    const [file] = files;
    const { name, size } = file;
    this.say(`Reading ${name}…`);
    const found = await contentOf(file, this.model.get("limit"), this.model.get("whole"));
    if (number !== this.number) return;
    if ("reason" in found) {
      this.model.send({ type: "refused", name, size, reason: found.reason, number });
      this.say(`${name}: ${found.reason}`, true);
      return;
    }
    const { bytes, scaled } = found;
    this.model.send({ type: "file", name, size, scaled, number }, undefined, [bytes]);
    const which = files.length > 1 ? ` (the first of ${files.length} files)` : "";
    const how = scaled ? `scaled down from ${sizeText(size)} to ${sizeText(bytes.byteLength)}` : sizeText(size);
    this.say(`${name}${which}, ${how}`);
  }

  /** @param {string} text @param {boolean} error */
  say(text, error = false) {
    this.note = { text, error };
    this.views.forEach((view) => view.refresh());
  }

  statusChanged() {
    // Python empties the status when a file arrives and may have nothing to add.
    if (this.model.get("status")) this.note = null;
    this.views.forEach((view) => view.refresh());
  }

  close() {
    this.number += 1;
  }
}

class UploadView {
  /** @param {Uploads} uploads @param {HTMLElement} el */
  constructor(uploads, el) {
    this.uploads = uploads;
    this.root = rootElement("upload");
    this.input = element("input", "", { type: "file", hidden: "" });
    this.opener = button("", "", () => this.open());
    this.status = element("span", "cnnviz-line", { role: "status" });
    this.root.append(this.opener, this.input, this.status);
    el.append(this.root);
    this.input.addEventListener("change", () => this.chosen());
    this.root.addEventListener("click", (event) => this.onClick(event));
    this.root.addEventListener("dragenter", (event) => this.onDrag(event));
    this.root.addEventListener("dragover", (event) => this.onDrag(event));
    this.root.addEventListener("dragleave", (event) => this.onDragLeave(event));
    this.root.addEventListener("drop", (event) => this.onDrop(event));
    this.root.addEventListener("paste", (event) => this.onPaste(event));
    this.refresh();
  }

  refresh() {
    const { model, note } = this.uploads;
    const label = model.get("label");
    const title = `${label} ${DROP_HINT}`.trim();
    this.opener.textContent = label;
    this.opener.title = title;
    this.opener.setAttribute("aria-label", title);
    this.input.accept = model.get("accept");
    const text = note ? note.text : model.get("status");
    this.status.classList.toggle("cnnviz-upload-error", Boolean(note?.error));
    this.status.classList.toggle("cnnviz-upload-hint", !text);
    this.status.textContent = text || DROP_HINT;
  }

  open() {
    // Otherwise choosing the same file again would be no change.
    this.input.value = "";
    this.input.click();
  }

  chosen() {
    if (this.input.files.length) this.uploads.take([...this.input.files]);
  }

  /** A paste goes to what has the focus, and people click the place before they paste. @param {MouseEvent} event */
  onClick(event) {
    if (event.target !== this.input && getSelection()?.isCollapsed !== false) this.opener.focus({ preventScroll: true });
  }

  /** @param {DragEvent} event */
  onDrag(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    consume(event);
    event.dataTransfer.dropEffect = "copy";
    this.root.classList.add("cnnviz-upload-over");
  }

  /** @param {DragEvent} event */
  onDragLeave(event) {
    if (!this.root.contains(event.relatedTarget)) this.root.classList.remove("cnnviz-upload-over");
  }

  /** @param {DragEvent} event */
  onDrop(event) {
    this.root.classList.remove("cnnviz-upload-over");
    if (!event.dataTransfer?.files.length) return;
    consume(event);
    this.uploads.take([...event.dataTransfer.files]);
  }

  /** @param {ClipboardEvent} event */
  onPaste(event) {
    consume(event);
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) this.uploads.take(files);
    else this.uploads.say("there is no image on the clipboard; copy one and paste again", true);
  }

  close() {
    this.root.remove();
  }
}

export default () => {
  /** @type {Uploads} */
  let uploads;
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      uploads = new Uploads(model);
      const stops = [
        watch(model, ["status"], () => uploads.statusChanged()),
        watch(model, ["label", "accept", "limit"], () => uploads.views.forEach((view) => view.refresh())),
      ];
      return () => {
        stops.forEach((stop) => stop());
        uploads.close();
      };
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ el }) {
      const view = new UploadView(uploads, el);
      uploads.views.add(view);
      return () => {
        uploads.views.delete(view);
        view.close();
      };
    },
  };
};
