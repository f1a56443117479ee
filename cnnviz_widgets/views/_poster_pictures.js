/**
 * A poster's pictures in the browser: asked for when needed, kept encoded, decoded as long as there is room; see poster.py.
 *
 * @typedef {{
 *   index: number, level: number, revision: number, finest: boolean, gone: boolean, bytes: Uint8Array | null,
 *   image: ImageBitmap | null, decoding: boolean, shared: boolean, x: number, y: number, width: number, height: number,
 * }} PosterPicture `shared` while it is a part of the coarse sheet, at `x` and `y` of it
 */

const MOST_DECODED_BYTES = 160e6;
const MOST_KEPT_BYTES = 240e6;
const MOST_QUESTIONS = 2;
const MOST_DECODING_PICTURES = 4;
const LONGEST_WAIT = 8000;
/** How much a question may ask for, and how much of that a picture of each level is. */
const QUESTION_SIZE = 48;
const LEVEL_COSTS = [1, 1.5, 3, 8, 24];
/** A picture may be enlarged by so much before the next level is asked for. */
const ENLARGED_BY = 1.25;

class PosterPictures {
  /**
   * @param {Model} model
   * @param {{arrived(): void, outdated(tiles: number[]): void, filled(): void}} news a picture can be drawn; pictures are no
   *   longer those that Python has; the coarse sheet is here
   */
  constructor(model, news) {
    this.model = model;
    this.news = news;
    this.version = model.get("version");
    /** @type {number[]} */
    this.sides = model.get("sides");
    this.revisions = numbersOf(model.get("revisions"), Int32Array);
    /** By index and level, the longest unused first. @type {Map<string, PosterPicture>} */
    this.kept = new Map();
    [this.decodedBytes, this.keptBytes, this.decoding] = [0, 0, 0];
    /** @type {Map<number, string[]>} */
    this.lines = new Map();
    /** Asked for and not here, with the question's number. @type {Map<string, number>} */
    this.asked = new Map();
    /** Being decoded for the first time, by index and level. @type {Map<string, number>} */
    this.arriving = new Map();
    /** When each question that is not answered was asked. @type {Map<number, number>} */
    this.questions = new Map();
    /** The most urgent first. @type {string[]} */
    this.wanted = [];
    [this.numberAsked, this.timer, this.closed] = [0, 0, false];
    /** Grows when a picture arrives that can be drawn. */
    this.revision = 0;
    /** What the pieces of a drawn sheet ask: whether a picture that they miss can be drawn now. */
    this.decoded = { has: (/** @type {string} */ key) => this.isHere(key) };
    this.readCoarse(model.get("coarse"));
  }

  /** @param {any} value of the trait */
  async readCoarse(value) {
    const bytes = bytesOf(value);
    const { length } = this.revisions;
    if (!length || bytes.length <= 12 * length) return;
    const head = new DataView(bytes.buffer, bytes.byteOffset, 12 * length);
    const image = await createImageBitmap(new Blob([bytes.slice(12 * length)])).catch(() => null);
    if (!image || this.closed) return;
    const columns = Math.ceil(Math.sqrt(length));
    const side = image.width / columns;
    for (let index = 0; index < length; index++) {
      const [revision, width, height] = [0, 4, 8].map((at) => head.getInt32(12 * index + at, true));
      if (!revision || this.kept.has(`${index}/0`)) continue;
      this.kept.set(`${index}/0`, {
        index, level: 0, revision, finest: false, gone: false, bytes: null, image, decoding: false, shared: true, width, height,
        x: (index % columns) * side, y: Math.floor(index / columns) * side,
      });
    }
    this.revision++;
    this.news.filled();
  }

  /** Pictures were replaced in Python. */
  readRevisions() {
    const before = this.revisions;
    this.revisions = numbersOf(this.model.get("revisions"), Int32Array);
    this.news.outdated([...this.revisions.keys()].filter((i) => this.revisions[i] !== before[i]));
  }

  /** The level whose pictures need not be enlarged much for a size. @param {number} size device pixels of the longer side */
  levelFor(size) {
    const level = this.sides.findIndex((side) => side * ENLARGED_BY >= size);
    return level < 0 ? this.sides.length - 1 : level;
  }

  /** @param {string} key of a level and revision @returns {boolean} */
  isHere(key) {
    const [index, level, revision] = key.split("/");
    const picture = this.kept.get(`${index}/${level}`);
    return Boolean(picture && picture.revision >= Number(revision) && (picture.image || picture.gone));
  }

  /** Whether a key is not of a picture that was replaced since. @param {string} key */
  isNewest(key) {
    const [index, , revision] = key.split("/").map(Number);
    return this.revisions[index] <= revision;
  }

  /** The picture that would show a tile better than it can be shown now, null for none. @param {number} index @param {number} level */
  missing(index, level) {
    const revision = this.revisions[index];
    if (!revision || level < 0) return null;
    if (!this.sides.some((_, l) => this.kept.get(`${index}/${l}`))) return `${index}/0/${revision}`;
    for (let l = 0; l < this.sides.length; l++) {
      const picture = this.kept.get(`${index}/${l}`);
      if (!picture || picture.revision < revision || (l < level && !picture.finest)) continue;
      return picture.image || picture.gone ? null : `${index}/${l}/${revision}`;
    }
    return `${index}/${level}/${revision}`;
  }

  /** What to draw of a tile now, null for nothing. @param {number} index @param {number} level @returns {PosterPicture | null} */
  best(index, level) {
    const found = this.sides.map((_, l) => this.kept.get(`${index}/${l}`)).filter(Boolean);
    if (found.some((picture) => picture.gone && picture.revision >= this.revisions[index])) return null;
    const drawable = found.filter((picture) => picture.image);
    const current = drawable.filter((picture) => picture.revision >= this.revisions[index]);
    const sharp = current.find((picture) => picture.level >= level || picture.finest);
    const best = sharp || drawable.find((picture) => picture.level >= level) || drawable[drawable.length - 1];
    if (best) this.touch(best);
    return best || null;
  }

  /** @param {PosterPicture} picture */
  touch(picture) {
    const key = `${picture.index}/${picture.level}`;
    this.kept.delete(key);
    this.kept.set(key, picture);
  }

  /** Say what is needed; what is not any more is not asked for. @param {string[]} keys the most urgent first */
  want(keys) {
    this.wanted = keys;
    for (const key of keys) {
      if (this.decoding >= MOST_DECODING_PICTURES) break;
      const [index, level] = key.split("/");
      const picture = this.kept.get(`${index}/${level}`);
      if (picture && picture.revision >= this.revisions[picture.index]) this.decode(picture);
    }
    this.ask();
  }

  /** One picture before all others, and what is told of it. @param {number} index @param {number} level */
  hurry(index, level) {
    const key = this.missing(index, level) || (this.lines.has(index) || !this.sides.length ? null : `${index}/0/0`);
    if (!key) return;
    const [, at, revision] = key.split("/").map(Number);
    const picture = this.kept.get(`${index}/${at}`);
    if (picture?.bytes && picture.revision >= revision) this.decode(picture);
    else if (!this.asked.has(`${index}/${at}/${revision}!`)) this.send([[index, at]], true, [`${index}/${at}/${revision}!`]);
  }

  ask() {
    const now = performance.now();
    clearTimeout(this.timer);
    for (const [number, at] of this.questions) if (now - at > LONGEST_WAIT) this.answered(number);
    while (this.questions.size < MOST_QUESTIONS) {
      const places = [];
      const keys = [];
      let size = 0;
      for (const key of this.wanted) {
        const [index, level, revision] = key.split("/").map(Number);
        const picture = this.kept.get(`${index}/${level}`);
        if (this.asked.has(key) || this.arriving.get(`${index}/${level}`) >= revision) continue;
        if (picture && picture.revision >= revision && !picture.shared) continue;
        if (size && size + LEVEL_COSTS[level] > QUESTION_SIZE) break;
        size += LEVEL_COSTS[level];
        places.push([index, level]);
        keys.push(key);
      }
      if (!places.length) break;
      this.send(places, false, keys);
    }
    if (this.questions.size) this.timer = setTimeout(() => this.ask(), LONGEST_WAIT);
  }

  /** @param {number[][]} wanted @param {boolean} urgent @param {string[]} keys */
  send(wanted, urgent, keys) {
    const number = ++this.numberAsked;
    // Of urgent questions Python answers the newest; the others may never be answered.
    if (urgent) for (const key of [...this.asked.keys()]) if (key.endsWith("!")) this.asked.delete(key);
    for (const key of keys) this.asked.set(key, number);
    if (!urgent) this.questions.set(number, performance.now());
    this.model.send({ type: "pictures", version: this.version, wanted, urgent });
  }

  /** @param {number} number of a question */
  answered(number) {
    this.questions.delete(number);
    for (const [key, other] of this.asked) if (other === number) this.asked.delete(key);
  }

  /** @param {{version: number, tiles: [number, number, number, string[], boolean][]}} message @param {any[]} buffers */
  receive({ version, tiles }, buffers) {
    if (version !== this.version) return;
    tiles.forEach(([index, level, revision, lines, finest], i) => {
      this.put(index, level, revision, finest, bytesOf(buffers[i]));
      this.lines.set(index, lines);
    });
    this.news.arrived();
    this.ask();
  }

  /** @param {number} index @param {number} level @param {number} revision @param {boolean} finest @param {Uint8Array} bytes */
  put(index, level, revision, finest, bytes) {
    for (const [key, number] of this.asked) if (key.startsWith(`${index}/${level}/`)) this.settle(key, number);
    const former = this.kept.get(`${index}/${level}`);
    if (former && !former.shared && former.revision >= revision) return;
    if (this.arriving.get(`${index}/${level}`) >= revision) return;
    this.arriving.set(`${index}/${level}`, revision);
    const gone = !bytes.length;
    const picture = {
      index, level, revision, finest, gone, bytes: gone ? null : bytes.slice(), image: null, decoding: false, shared: false,
      x: 0, y: 0, width: 0, height: 0,
    };
    if (gone) this.take(picture);
    else this.decode(picture);
  }

  /** A picture is here: a question is answered when all of its are. @param {string} key @param {number} number */
  settle(key, number) {
    this.asked.delete(key);
    for (const other of this.asked.values()) if (other === number) return;
    this.questions.delete(number);
  }

  /** @param {PosterPicture} picture */
  async decode(picture) {
    if (picture.image || picture.gone || picture.decoding || !picture.bytes) return;
    picture.decoding = true;
    this.decoding++;
    const image = await createImageBitmap(new Blob([picture.bytes])).catch(() => null);
    this.decoding--;
    picture.decoding = false;
    if (this.closed) return image?.close();
    picture.image = image;
    picture.gone = !image;
    if (image) [picture.width, picture.height] = [image.width, image.height];
    this.take(picture);
    this.news.arrived();
    return undefined;
  }

  /** Keep a picture that can be drawn now in the place of the former one. @param {PosterPicture} picture */
  take(picture) {
    const key = `${picture.index}/${picture.level}`;
    const former = this.kept.get(key);
    if (this.arriving.get(key) === picture.revision) this.arriving.delete(key);
    if (former && former !== picture) {
      if (!former.shared && former.revision >= picture.revision) return picture.image?.close();
      this.drop(key, former);
    }
    if (former !== picture) this.keptBytes += picture.bytes ? picture.bytes.length : 0;
    if (picture.image) this.decodedBytes += 4 * picture.width * picture.height;
    this.kept.set(key, picture);
    this.touch(picture);
    this.revision++;
    return this.tidy();
  }

  /** Forget pictures that were not drawn for long, as far as there is no room; small ones stay. */
  tidy() {
    const fits = () => this.decodedBytes <= MOST_DECODED_BYTES && this.keptBytes <= MOST_KEPT_BYTES;
    if (fits()) return;
    for (const [key, picture] of [...this.kept]) {
      if (fits()) return;
      if (picture.level === 0 || picture.gone || picture.decoding) continue;
      this.release(picture);
      if (this.keptBytes > MOST_KEPT_BYTES) this.drop(key, picture);
    }
  }

  /** @param {PosterPicture} picture */
  release(picture) {
    if (!picture.image || picture.shared) return;
    this.decodedBytes -= 4 * picture.width * picture.height;
    picture.image.close();
    picture.image = null;
  }

  /** @param {string} key @param {PosterPicture} picture */
  drop(key, picture) {
    this.release(picture);
    this.keptBytes -= picture.bytes ? picture.bytes.length : 0;
    this.kept.delete(key);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    for (const [key, picture] of this.kept) this.drop(key, picture);
  }
}
