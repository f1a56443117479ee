/**
 * The texts of a poster: in sizes of the screen, so that they are read at every zoom, more of them from nearer. They grow with the
 * font-size of the element that they are drawn in; lengths here are CSS pixels where that is `USUAL_TYPE`.
 *
 * A heading stays at the edge of the screen while its band goes beyond it. Where headings have no room of their own, as from
 * afar, those that would cover others are left out.
 */

const HEADING_SIZES = [13, 22];
const LABEL_SIZES = [11, 18];
const HEADING_LIFT = 3;
/** A text of which less would be seen, its dots counted, is left out. */
const LEAST_LETTERS = 8;
const DETAIL_SIZE = 13;
const DETAIL_FROM = 170;
const MOST_DETAILS = 4;
const TEXT_EDGE = 6;
const MOST_FITTED = 10_000;
const MEASURED_AT = 64;

class PosterText {
  /** @param {PosterData} data @param {HTMLElement} node whose font it takes */
  constructor(data, node) {
    this.data = data;
    this.node = node;
    /** @type {Map<string, {text: string, width: number}>} */
    this.fitted = new Map();
    /** Where headings are, in device pixels. @type {{band: number, box: number[]}[]} */
    this.headings = [];
    [this.labels, this.details] = [0, 0];
    /** Font-size of the element, in CSS pixels. */
    this.type = USUAL_TYPE;
    /** Device pixels that a length of 1 takes. */
    this.unit = 1;
  }

  /** @param {number} size @param {number} weight */
  font(size, weight) {
    return `${weight} ${(size * this.unit).toFixed(1)}px ${this.family}`;
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {MapCamera} camera @param {number} ratio
   * @param {{ink: string, muted: string, paper: string}} colors @param {PosterPictures} pictures
   */
  draw(context, camera, ratio, colors, pictures) {
    const { fontFamily, fontSize } = getComputedStyle(this.node);
    this.family ||= fontFamily;
    this.type = parseFloat(fontSize);
    this.unit = (ratio * this.type) / USUAL_TYPE;
    [this.context, this.camera, this.colors] = [context, camera, colors];
    if (this.fitted.size > MOST_FITTED) this.fitted.clear();
    [this.headings, this.labels, this.details] = [[], 0, 0];
    context.textBaseline = "middle";
    this.drawLabels();
    this.drawDetails(pictures);
    this.data.bands.forEach((band, i) => this.drawHeading(band, i));
  }

  /** Width of a text in its size. @param {string} text @param {number} weight */
  widthOf(text, weight) {
    this.context.font = `${weight} ${MEASURED_AT}px ${this.family}`;
    return this.context.measureText(text).width / MEASURED_AT;
  }

  /**
   * A text as far as it fits, found once for all sizes.
   * @param {string} text @param {number} size @param {number} weight @param {number} most device pixels
   * @param {boolean} ends whether its end is kept and its middle left out, as names of layers end differently
   */
  fit(text, size, weight, most, ends = false) {
    const pixels = size * this.unit;
    const whole = this.known(`${weight}|${text}`, () => ({ text, width: this.widthOf(text, weight) }));
    if (whole.width * pixels <= most) return { text, width: whole.width * pixels };
    const room = Math.floor((4 * most) / pixels) / 4;
    const part = this.known(`${weight}|${ends}|${room}|${text}`, () => this.shortened(text, weight, room, ends));
    return { text: part.text, width: part.width * pixels };
  }

  /** @param {string} key @param {() => {text: string, width: number}} find */
  known(key, find) {
    let found = this.fitted.get(key);
    if (!found) this.fitted.set(key, found = find());
    return found;
  }

  /** @param {string} text @param {number} weight @param {number} room in the text's size @param {boolean} ends */
  shortened(text, weight, room, ends) {
    const letters = Array.from(text);
    const without = (/** @type {number} */ kept) => {
      const head = ends ? Math.ceil(kept / 2) : kept;
      return `${letters.slice(0, head).join("")}…${letters.slice(letters.length - (kept - head)).join("")}`;
    };
    let [low, high] = [0, letters.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.widthOf(without(middle), weight) <= room) low = middle;
      else high = middle - 1;
    }
    const shown = low ? without(low) : "";
    return { text: shown, width: shown ? this.widthOf(shown, weight) : 0 };
  }

  /** @param {number[]} box of the world @returns {[number, number, number, number]} of the screen */
  onScreen([x, y, width, height]) {
    const { scale } = this.camera;
    return [...this.camera.toScreen(x, y), width * scale, height * scale];
  }

  /** @param {number[]} box of the screen */
  inSight([x, y, width, height]) {
    return x < this.camera.width && y < this.camera.height && x + width > 0 && y + height > 0;
  }

  /** @param {PosterBand} band @param {number} index */
  drawHeading(band, index) {
    const { context, camera, unit, colors } = this;
    const box = this.onScreen(band.box);
    const room = band.room * camera.scale;
    if (!this.inSight([box[0], box[1], Math.max(box[2], room), box[3]])) return;
    const strip = this.data.heading * camera.scale;
    const size = Math.min(HEADING_SIZES[1], Math.max(HEADING_SIZES[0], (0.82 * strip) / unit));
    const [edge, height] = [TEXT_EDGE * unit, size * unit * 1.25];
    const stuck = box[0] < edge || box[1] + strip < height;
    const left = Math.max(box[0], edge);
    const lift = Math.min(HEADING_LIFT * unit, Math.max(0, strip - height));
    const top = Math.min(Math.max(box[1] + strip - height - lift, 0), box[1] + box[3] - height);
    const end = Math.min(box[0] + room, camera.width) - 2 * edge;
    const title = this.fit(band.title, size, 700, Math.max(end - left, Math.min(box[2], 60 * unit)), true);
    const rest = end - left - title.width - 1.5 * edge;
    const subtitle = rest > 60 * unit && band.subtitle ? this.fit(band.subtitle, 0.8 * size, 400, rest) : null;
    const shown = subtitle && subtitle.text === band.subtitle ? subtitle : null;
    const width = title.width + (shown ? shown.width + 1.5 * edge : 0);
    const taken = [left - edge / 2, top, width + edge, height];
    if (title.text !== band.title && title.text.length < LEAST_LETTERS) return;
    if (this.headings.some((other) => overlap(other.box, taken))) return;
    if (stuck || strip < height) this.drawPlate(taken);
    this.headings.push({ band: index, box: taken });
    context.textAlign = "left";
    context.font = this.font(size, 700);
    context.fillStyle = colors.ink;
    context.fillText(title.text, left, top + height / 2);
    if (!shown) return;
    context.font = this.font(0.8 * size, 400);
    context.fillStyle = colors.muted;
    context.fillText(shown.text, left + title.width + 1.5 * edge, top + height / 2);
  }

  /** @param {number[]} box */
  drawPlate([x, y, width, height]) {
    const { context, colors } = this;
    context.globalAlpha = 0.88;
    context.fillStyle = colors.paper;
    context.fillRect(x, y, width, height);
    context.globalAlpha = 1;
  }

  /** What stands below blocks, in bands where it can be told apart. */
  drawLabels() {
    const { context, unit, colors, data } = this;
    const strip = data.label * this.camera.scale;
    if (strip < LABEL_SIZES[0] * unit) return;
    const size = Math.min(LABEL_SIZES[1], Math.max(LABEL_SIZES[0], (0.72 * strip) / unit));
    const font = this.font(size, 500);
    const line = Math.min(strip, 1.5 * size * unit);
    context.textAlign = "center";
    data.bands.forEach((band, i) => {
      if (!this.inSight(this.onScreen(band.box))) return;
      const labelled = data.blocksOf[i].filter(({ label }) => label);
      const fitted = labelled.map(({ label, box }) => this.fit(label, size, 500, box[2] * this.camera.scale + 2 * unit).text);
      if (fitted.some((text, k) => text !== labelled[k].label && text.length < LEAST_LETTERS)) return;
      context.font = font;
      context.fillStyle = colors.ink;
      labelled.forEach(({ box }, k) => {
        const [x, y, width, height] = this.onScreen(box);
        if (!this.inSight([x, y, width, height])) return;
        context.fillText(fitted[k], x + width / 2, y + height - strip + line / 2);
        this.labels++;
      });
    });
  }

  /** What is told of pictures that are seen from near. @param {PosterPictures} pictures */
  drawDetails(pictures) {
    const { camera, data, unit } = this;
    const tiles = data.within(...camera.toWorld(0, 0), ...camera.toWorld(camera.width, camera.height));
    for (const index of tiles) {
      const [x, y, width, height] = this.onScreen(data.box(index));
      const lines = pictures.lines.get(index);
      if (width < DETAIL_FROM * unit || !lines?.length) continue;
      // The label of a block may be out of sight below it.
      const told = data.blockOf(index).count > 1 ? [data.name(index), ...lines] : lines;
      this.drawLines(told.slice(0, MOST_DETAILS), [x, y, width, height]);
      this.details++;
    }
  }

  /** @param {string[]} lines @param {number[]} box of the picture */
  drawLines(lines, [x, y, width, height]) {
    const { context, unit, colors } = this;
    const [edge, line] = [TEXT_EDGE * unit, DETAIL_SIZE * unit * 1.35];
    const font = this.font(DETAIL_SIZE, 400);
    const tall = lines.length * line + edge;
    const fitted = lines.map((text) => this.fit(text, DETAIL_SIZE, 400, width - 2 * edge));
    this.drawPlate([x, y + height - tall, Math.min(width, Math.max(...fitted.map((it) => it.width)) + 2 * edge), tall]);
    context.textAlign = "left";
    context.font = font;
    context.fillStyle = colors.ink;
    fitted.forEach(({ text }, i) => context.fillText(text, x + edge, y + height - tall + edge / 2 + (i + 0.5) * line));
  }

  /** The band whose heading is at a place of the screen, -1 for none. @param {number} px @param {number} py */
  headingAt(px, py) {
    const found = this.headings.find(({ box: [x, y, width, height] }) => px >= x && py >= y && px <= x + width && py <= y + height);
    return found ? found.band : -1;
  }
}

/** @param {number[]} a @param {number[]} b left, top, width and height */
function overlap([ax, ay, aw, ah], [bx, by, bw, bh]) {
  return ax < bx + bw && bx < ax + aw && ay < by + bh && by < ay + ah;
}
