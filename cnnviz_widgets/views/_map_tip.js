/** What is shown beside the pointer: the picture under it, large, and what it is called. */

const TIP_SIDE = 208;
const TIP_GAP = 18;
const ASK_AFTER = 60;
const MOST_LARGE = 48;

/** Large pictures of a model's images by index, asked for once. */
class LargePictures {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** Addresses in the browser's memory; empty while asked for. @type {Map<number, string>} */
    this.urls = new Map();
    this.version = model.get("version");
  }

  /** @param {number} index @returns {string} empty as long as it is not here */
  ask(index) {
    if (!this.urls.has(index)) {
      this.urls.set(index, "");
      this.model.send({ type: "large", version: this.version, index });
    }
    return this.urls.get(index);
  }

  /** @param {{version: number, index: number}} message @param {any[]} buffers */
  receive({ version, index }, buffers) {
    const bytes = bytesOf(buffers[0]);
    if (version !== this.version || !bytes.length) return;
    if (this.urls.get(index)) URL.revokeObjectURL(this.urls.get(index));
    this.urls.delete(index);
    this.urls.set(index, URL.createObjectURL(new Blob([bytes.slice()])));
    for (const [oldest, url] of this.urls) {
      if (this.urls.size <= MOST_LARGE) break;
      if (url) URL.revokeObjectURL(url);
      this.urls.delete(oldest);
    }
  }

  /** What is waited for may never come, as the newest question wins: forget that it was asked. @param {number} index */
  forget(index) {
    if (this.urls.get(index) === "") this.urls.delete(index);
  }

  clear() {
    this.urls.forEach((url) => url && URL.revokeObjectURL(url));
    this.urls.clear();
    this.version = this.model.get("version");
  }
}

class MapTip {
  /** @param {{data: MapData, pages: MapPages, large: LargePictures}} shared @param {MapSurface} surface */
  constructor(shared, surface) {
    this.shared = shared;
    this.surface = surface;
    this.image = -1;
    this.timer = 0;
    this.canvas = element("canvas", "", { width: String(TIP_SIDE), height: String(TIP_SIDE) });
    this.picture = element("img", "", { alt: "", draggable: "false" });
    this.text = element("div", "cnnviz-map-tip-text");
    this.root = element("div", "cnnviz-map-tip", { "aria-hidden": "true", hidden: "" }, this.canvas, this.picture, this.text);
    surface.viewport.append(this.root);
  }

  /** @param {number} image -1 for none */
  show(image) {
    if (image === this.image) return;
    clearTimeout(this.timer);
    this.image = image;
    this.root.hidden = image < 0;
    if (image < 0) return;
    this.root.dataset.image = String(image);
    this.text.textContent = this.shared.data.name(image);
    this.thumbnail(image);
    this.place();
    this.timer = setTimeout(() => this.enlarge(), this.shared.large.urls.get(image) ? 0 : ASK_AFTER);
  }

  /** What is there of the picture already, until the large one is here. @param {number} image */
  thumbnail(image) {
    const { pages } = this.shared;
    const page = pages.empty ? null : this.sharpest(image);
    this.picture.hidden = true;
    this.canvas.hidden = !page;
    if (!page) return;
    this.canvas.getContext("2d").drawImage(page.image, ...pages.boxOf(page, image), 0, 0, TIP_SIDE, TIP_SIDE);
  }

  /** @param {number} image @returns {MapPage | null} */
  sharpest(image) {
    return this.shared.pages.bestFor(image, this.shared.pages.sides.length - 1);
  }

  enlarge() {
    const { image, shared } = this;
    if (image < 0 || shared.pages.empty) return;
    const url = shared.large.ask(image);
    if (url) this.swap(image, url);
  }

  /** @param {number} image @param {string} url */
  async swap(image, url) {
    const picture = element("img", "", { alt: "", draggable: "false" });
    picture.src = url;
    try {
      await picture.decode();
    } catch {
      return;
    }
    if (this.image !== image) return;
    this.picture.replaceWith(picture);
    this.picture = picture;
    this.canvas.hidden = true;
    this.place();
  }

  /** Beside the image, on the side where there is room; never over it. */
  place() {
    const { surface, root, image } = this;
    if (image < 0) return;
    const { data } = this.shared;
    const [px, py] = surface.camera.toScreen(data.places[2 * image], data.places[2 * image + 1]);
    const [x, y] = [px / surface.ratio, py / surface.ratio];
    const gap = TIP_GAP + surface.shownSize / surface.ratio / 2;
    const { clientWidth, clientHeight } = surface.viewport;
    const [width, height] = [root.offsetWidth, root.offsetHeight];
    const left = x + gap + width <= clientWidth || x < clientWidth / 2 ? x + gap : x - gap - width;
    const top = Math.min(Math.max(4, y - height / 2), Math.max(4, clientHeight - height - 4));
    root.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  close() {
    clearTimeout(this.timer);
  }
}
