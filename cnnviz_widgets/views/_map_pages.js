/**
 * The pages of thumbnails in the browser: asked for when needed, kept encoded, decoded a few at a time; see atlas.py.
 *
 * @typedef {{
 *   level: number, number: number, bytes: Uint8Array | null, askedAt: number, tries: number, gone: boolean,
 *   decoding: boolean, image: CanvasImageSource | null, pixels: Uint32Array | null,
 * }} MapPage `pixels` of small cells, which are faster copied one by one than drawn
 */

const MAP_PAGE_SIDE = 2048;
const MOST_DECODED = 12;
const MOST_ASKED = 3;
const MOST_DECODING = 2;
const ASK_AGAIN_AFTER = 8000;
const MOST_ENCODED_BYTES = 160e6;
/** Cells up to this side are copied pixel by pixel. */
const LARGEST_COPIED = 16;
/** So are cells up to this side while images move, where a single page holds them all. */
const LARGEST_COPIED_MOVING = 64;
const ROWS_READ = 256;

class MapPages {
  /** @param {Model} model @param {() => void} onChange */
  constructor(model, onChange) {
    this.model = model;
    this.onChange = onChange;
    this.version = model.get("version");
    /** @type {number[]} */
    this.sides = model.get("sides") || [];
    const order = numbersOf(model.get("order"), Int32Array);
    /** Cell of each image. */
    this.cells = new Int32Array(order.length);
    order.forEach((image, cell) => { this.cells[image] = cell; });
    this.perPage = this.sides.map((side) => (MAP_PAGE_SIDE / side) ** 2);
    /** @type {Map<string, MapPage>} */
    this.pages = new Map();
    /** Decoded ones, the longest unused first. @type {Map<string, MapPage>} */
    this.decoded = new Map();
    /** The same by level and number, as they are looked up for each image. @type {(MapPage | undefined)[][]} */
    this.table = this.sides.map(() => []);
    /** @type {string[]} the most urgent first */
    this.wanted = [];
    /** Grows when a page arrives that can be drawn. */
    this.revision = 0;
    this.closed = false;
    this.timer = 0;
  }

  get empty() {
    return !this.sides.length || !this.cells.length;
  }

  /** The coarsest level whose cells need not be enlarged much for a size. @param {number} size device pixels */
  levelFor(size) {
    const level = this.sides.findIndex((side) => side >= (side > LARGEST_COPIED ? 0.8 : 1) * size);
    return level < 0 ? this.sides.length - 1 : level;
  }

  /** Different pages that images are on. @param {ArrayLike<number>} images @param {number} level @returns {string[]} */
  keysOf(images, level) {
    const numbers = new Set();
    const perPage = this.perPage[level];
    for (let k = 0; k < images.length; k++) numbers.add(Math.floor(this.cells[images[k]] / perPage));
    return Array.from(numbers, (number) => `${level}/${number}`);
  }

  /** How many pages beside the coarsest can be decoded at once. */
  get most() {
    return Math.max(1, MOST_DECODED - this.pageCount(0) - 1);
  }

  /** Whether the cells of a level are also there as pixels. @param {number} level */
  copied(level) {
    const side = this.sides[level];
    return side <= LARGEST_COPIED || (side <= LARGEST_COPIED_MOVING && this.pageCount(level) === 1);
  }

  /** Where an image is on a page. @param {MapPage} page @param {number} image @returns {[number, number, number, number]} */
  boxOf(page, image) {
    const side = this.sides[page.level];
    const columns = MAP_PAGE_SIDE / side;
    const cell = this.cells[image] % this.perPage[page.level];
    return [(cell % columns) * side, Math.floor(cell / columns) * side, side, side];
  }

  /** @param {number} level */
  pageCount(level) {
    return Math.ceil(this.cells.length / this.perPage[level]);
  }

  /** The level that is wanted for images, or a coarser one if they are on too many pages. @param {ArrayLike<number>} images @param {number} level */
  affordable(images, level) {
    let keys = this.keysOf(images, level);
    for (; level > 0 && keys.length > this.most; keys = this.keysOf(images, level)) level--;
    return { level, keys };
  }

  /** A decoded page, noted as used; null for another. @param {string} key @returns {MapPage | null} */
  drawable(key) {
    const page = this.decoded.get(key);
    if (!page) return null;
    this.decoded.delete(key);
    this.decoded.set(key, page);
    return page;
  }

  /** The decoded page that an image is on. @param {number} image @param {number} level @returns {MapPage | undefined} */
  pageOf(image, level) {
    return this.table[level][Math.floor(this.cells[image] / this.perPage[level])];
  }

  /** The page that shows an image best: of a level, else of a coarser one, else of a finer one. @param {number} image @param {number} level */
  bestFor(image, level) {
    for (let l = level; l >= 0; l--) if (this.pageOf(image, l)) return this.pageOf(image, l);
    for (let l = level + 1; l < this.sides.length; l++) if (this.pageOf(image, l)) return this.pageOf(image, l);
    return null;
  }

  /** Say which pages are needed now, the most urgent first; the coarsest come before all others. @param {string[]} keys */
  want(keys) {
    if (this.empty) return;
    const coarse = Array.from({ length: this.pageCount(0) }, (_, number) => `0/${number}`);
    const missing = (key) => !this.decoded.has(key) && !this.pages.get(key)?.gone;
    this.wanted = [...new Set([...coarse, ...keys])].filter(missing);
    this.pump();
  }

  /** Ask for what is missing and decode what is here. */
  pump() {
    if (this.closed || !this.wanted.length) return;
    const now = performance.now();
    const known = [...this.pages.values()];
    const stale = (page) => now - page.askedAt > ASK_AGAIN_AFTER * page.tries;
    let asked = known.filter((page) => page.askedAt && !page.bytes && !page.gone && !stale(page)).length;
    let decoding = known.filter((page) => page.decoding).length;
    const asking = [];
    for (const key of this.wanted) {
      const page = this.page(key);
      if (page.bytes && !page.decoding && decoding < MOST_DECODING) {
        decoding++;
        this.decode(key, page);
      } else if (!page.bytes && !page.gone && asked < MOST_ASKED && (!page.askedAt || stale(page))) {
        [page.askedAt, page.tries] = [now, page.tries + 1];
        asking.push([page.level, page.number]);
        asked++;
      }
    }
    if (asking.length) this.model.send({ type: "pages", version: this.version, wanted: asking });
    clearTimeout(this.timer);
    if (asked) this.timer = setTimeout(() => this.pump(), ASK_AGAIN_AFTER + 50);
  }

  /** @param {string} key @returns {MapPage} */
  page(key) {
    let page = this.pages.get(key);
    if (!page) {
      const [level, number] = key.split("/").map(Number);
      page = {
        level, number, bytes: null, askedAt: 0, tries: 0, gone: false, decoding: false, image: null, pixels: null,
      };
      this.pages.set(key, page);
    }
    return page;
  }

  /** @param {{version: number, level: number, number: number}} message @param {any[]} buffers */
  receive({ version, level, number }, buffers) {
    if (version !== this.version || this.closed) return;
    const page = this.page(`${level}/${number}`);
    // The message's memory may hold other buffers as well.
    const bytes = bytesOf(buffers[0]).slice();
    if (bytes.length) page.bytes = bytes;
    else page.gone = true;
    this.forgetEncoded();
    this.onChange();
    this.pump();
  }

  /** Give up the encoded pages that were asked for first, if there are too many; they would be asked for again. */
  forgetEncoded() {
    let total = 0;
    for (const [key, page] of [...this.pages].reverse()) {
      total += page.bytes?.length || 0;
      if (total > MOST_ENCODED_BYTES && page.level > 0 && !this.wanted.includes(key)) {
        [page.bytes, page.askedAt, page.tries] = [null, 0, 0];
      }
    }
  }

  /** @param {string} key @param {MapPage} page */
  async decode(key, page) {
    page.decoding = true;
    try {
      const image = await createImageBitmap(new Blob([page.bytes], { type: "image/jpeg" }));
      page.image = image;
      if (this.copied(page.level)) await this.readPixels(page, image);
      if (this.closed) return this.release(page);
      this.decoded.set(key, page);
      this.table[page.level][page.number] = page;
      this.forgetDecoded();
    } catch {
      page.gone = true;
    }
    page.decoding = false;
    this.revision++;
    this.onChange();
    this.pump();
  }

  /**
   * The pixels of small cells, cell after cell, so that copying one reads one piece of memory. Strip by strip, so that no
   * frame waits for a whole page.
   * @param {MapPage} page @param {ImageBitmap} image
   */
  async readPixels(page, image) {
    const { width, height } = image;
    const side = this.sides[page.level];
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const pixels = new Uint32Array(width * height);
    for (let top = 0; top < height; top += ROWS_READ) {
      const rows = Math.min(ROWS_READ, height - top);
      context.drawImage(image, 0, top, width, rows, 0, top, width, rows);
      const strip = new Uint32Array(context.getImageData(0, top, width, rows).data.buffer);
      for (let y = 0, at = 0; y < rows; y++) {
        const row = Math.floor((top + y) / side) * side * width + ((top + y) % side) * side;
        for (let x = 0; x < width; x += side) for (let i = 0; i < side; i++) pixels[row + x * side + i] = strip[at++];
      }
      if (top + rows < height) await new Promise((go) => setTimeout(go));
    }
    page.pixels = pixels;
    // Tiles are drawn from large cells, for which a bitmap may be at hand where drawing is done.
    if (side > LARGEST_COPIED) return;
    image.close();
    page.image = canvas;
  }

  /** Of the decoded pages the longest unused go, but for those that are seen. */
  forgetDecoded() {
    const kept = new Set(this.seen || []);
    for (const [key, page] of this.decoded) {
      if (this.decoded.size <= MOST_DECODED) break;
      if (kept.has(key) || page.level === 0) continue;
      this.decoded.delete(key);
      this.release(page);
    }
  }

  /** @param {MapPage} page */
  release(page) {
    delete this.table[page.level][page.number];
    if (page.image instanceof ImageBitmap) page.image.close();
    [page.image, page.pixels] = [null, null];
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.decoded.forEach((page) => this.release(page));
    this.decoded.clear();
    this.pages.clear();
  }
}
