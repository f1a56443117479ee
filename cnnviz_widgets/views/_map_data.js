/** What the traits of a map say, made ready to be drawn; one for all views of a model. */

const SLIDE = 120;
const SLIDE_STEP = 0.25;

class MapData {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** Grows when images are elsewhere, and when they are where they were but look different. */
    [this.placesRevision, this.looksRevision] = [0, 0];
    /** @type {MapMotion | null} */
    this.motion = null;
    this.read();
  }

  get moving() {
    return this.motion !== null;
  }

  /** Everything, at once. */
  read() {
    const { model } = this;
    this.version = model.get("version");
    const raw = numbersOf(model.get("points"), Float32Array);
    this.count = raw.length >> 1;
    this.order = drawingOrder(this.count);
    this.scratch = new Uint32Array(this.count);
    this.names = model.get("label_names");
    this.titles = model.get("titles");
    this.values = this.fitting(model.get("values"), Float32Array);
    this.unknown = this.values.reduce((sum, value) => sum + Number(!Number.isFinite(value)), 0);
    this.codes = this.fitting(model.get("codes"), Int32Array);
    this.counts = new Uint32Array(this.names.length);
    for (const code of this.codes) if (code >= 0) this.counts[code]++;
    this.range = finiteRange(this.values);
    this.palette = mapPalette(model, this.values.length > 0);
    this.colors = imageColors(this, this.range);
    [this.pointsSource, this.gridSource, this.motion] = [null, null, null];
    [this.gridFrom, this.gridNow] = [0, 0];
    this.readLayouts();
    this.places = this.layout.places.slice();
    this.bounds = this.layout;
    this.gridNow = this.gridShare;
    this.readSeams();
    this.readChosen();
    this.readSeen();
    this.placesRevision++;
  }

  /** A number per image, or none at all. @param {any} bytes @param {any} Type */
  fitting(bytes, Type) {
    const numbers = numbersOf(bytes, Type);
    return numbers.length === this.count ? numbers : new Type(0);
  }

  /** @returns {boolean} whether there are other layouts now */
  readLayouts() {
    const { model } = this;
    const [points, grid, morph] = [model.get("points"), model.get("grid"), model.get("morph")];
    if (points === this.pointsSource && grid === this.gridSource && morph === this.morph) return false;
    const raw = numbersOf(points, Float32Array);
    if (raw.length !== 2 * this.count) return false;
    if (points !== this.pointsSource) this.scattered = mapLayout(raw);
    // The seams of another grid come into sight when the images have come to it.
    this.gridFrom = grid === this.gridSource ? this.gridNow : 0;
    if (grid !== this.gridSource) {
      const other = numbersOf(grid, Float32Array);
      this.gridded = other.length === raw.length && raw.length ? mapLayout(other) : null;
    }
    const sliding = points === this.pointsSource && grid === this.gridSource && Math.abs(morph - this.morph) < SLIDE_STEP;
    this.duration = sliding ? SLIDE : model.get("duration");
    [this.pointsSource, this.gridSource, this.morph] = [points, grid, morph];
    this.layout = this.gridded ? mixedLayout(this.scattered, this.gridded, morph) : this.scattered;
    return true;
  }

  /** How much the layout is a grid, 0 to 1. */
  get gridShare() {
    return this.gridded ? this.morph : 0;
  }

  /** What is to be drawn of the seams now; null for nothing. @returns {{of: MapSeams, alpha: number} | null} */
  get seamsNow() {
    const alpha = (this.gridNow - SEAMS_FROM) / (1 - SEAMS_FROM);
    if (alpha <= 0 || !this.gridded || !this.seams.length) return null;
    this.seamed ||= new MapSeams(this.seams, this.gridded.places, this.seen);
    return this.seamed.count ? { of: this.seamed, alpha } : null;
  }

  readSeams() {
    this.seams = numbersOf(this.model.get("seams"), Float32Array);
    this.seamed = null;
    this.looksRevision++;
  }

  /** Other positions of the same images may be in the traits. @param {number} now */
  move(now) {
    const flowing = this.moving;
    if (!this.readLayouts()) return;
    this.motion = new MapMotion(this.places, this.layout.places, now, STILL.matches ? 0 : this.duration, flowing);
    this.from = this.bounds;
    this.readSeen();
  }

  /** @param {number} now */
  step(now) {
    const { motion, from, layout } = this;
    if (!motion) return;
    const goes = motion.step(now, this.places);
    const share = goes ? Math.min(1, Math.max(0, (now - motion.start) / Math.max(1, motion.duration))) : 1;
    const mix = (name) => from[name] + (layout[name] - from[name]) * share;
    this.gridNow = this.gridFrom + (this.gridShare - this.gridFrom) * share;
    this.bounds = goes ? { ...layout, left: mix("left"), right: mix("right"), top: mix("top"), bottom: mix("bottom") } : layout;
    if (goes) return;
    this.motion = null;
    this.placesRevision++;
    this.indexed = null;
  }

  /** Which images have a place and are not filtered out. */
  readSeen() {
    const hidden = new Set(this.model.get("hidden"));
    this.seen = new Uint8Array(this.count);
    this.seenCount = 0;
    const { places } = this.layout;
    for (let i = 0; i < this.count; i++) {
      const known = !Number.isNaN(places[2 * i] + places[2 * i + 1]);
      this.seen[i] = Number(known && !(this.codes.length && hidden.has(this.codes[i])));
      this.seenCount += this.seen[i];
    }
    [this.indexed, this.seamed] = [null, null];
    this.looksRevision++;
  }

  readChosen() {
    const chosen = numbersOf(this.model.get("chosen"), Int32Array).filter((image) => image >= 0 && image < this.count);
    this.chosenCount = chosen.length;
    /** @type {Uint8Array | null} */
    this.chosen = chosen.length ? new Uint8Array(this.count) : null;
    for (const image of chosen) this.chosen[image] = 1;
    this.looksRevision++;
  }

  /** @returns {PlaceIndex} of images at rest */
  get index() {
    this.indexed ||= new PlaceIndex(this.places, this.seen, this.order);
    return this.indexed;
  }

  /** Images in a rectangle of the world, also while they move. @returns {Uint32Array} in the order they are drawn */
  within(left, top, right, bottom) {
    if (!this.moving) return this.index.within(left, top, right, bottom);
    const shown = this.seenCount === this.count ? this.order : this.order.filter((i) => this.seen[i]);
    return insideBox(this.places, shown, shown.length, this.scratch, left, top, right, bottom);
  }

  /** Images whose middles are in a polygon. @param {number[]} polygon x, y, x, y, ... in the world @returns {Int32Array} growing */
  inside(polygon) {
    const { places } = this;
    const xs = polygon.filter((_, i) => i % 2 === 0);
    const ys = polygon.filter((_, i) => i % 2 === 1);
    const near = this.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    return Int32Array.from(near.filter((i) => insidePolygon(places[2 * i], places[2 * i + 1], polygon))).sort();
  }

  /** The nearest image that is seen in a direction; the way straight ahead counts less than that aside. */
  towards(image, dx, dy) {
    const { places, seen } = this;
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < this.count; i++) {
      if (!seen[i] || i === image) continue;
      const [x, y] = [places[2 * i] - places[2 * image], places[2 * i + 1] - places[2 * image + 1]];
      const ahead = x * dx + y * dy;
      const aside = Math.abs(x * dy - y * dx);
      const cost = ahead + 2 * aside;
      if (ahead > 0 && aside <= ahead && cost < least) [best, least] = [i, cost];
    }
    return best;
  }

  /** @param {number} image @returns {string} */
  label(image) {
    return this.codes.length ? this.names[this.codes[image]] || "no label" : "";
  }

  /** @param {number} image @returns {string} */
  value(image) {
    if (!this.values.length) return "";
    const value = this.values[image];
    return `${this.model.get("values_name")} ${Number.isFinite(value) ? formatNumber(value) : "not known"}`.trim();
  }

  /** What an image is called. @param {number} image @returns {string} */
  name(image) {
    return [this.titles[image], this.label(image), this.value(image)].filter(Boolean).join(" · ") || `image ${image}`;
  }
}
