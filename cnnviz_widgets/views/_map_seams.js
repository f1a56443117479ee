/**
 * Where a grid tears neighbours apart: lines on the borders between cells whose images are far from each other.
 *
 * A seam's box is a rectangle of whole pixels, as borders lie along the axes: fast to fill in an array of pixels too.
 */

const SEAM_COLOR = packedColor(channelsOf("#f0127a"));
/** Light around the line, so that it is told from whatever photograph lies beside it. */
const SEAM_HALO = packedColor([255, 255, 255]);
const SEAM_WEAKEST = 0.02;
const SEAM_SHARE = 0.2;
const HALO_FROM = 5.5;
const SEAMS_A_TURN = 1500;
/** How much of a grid it must be for seams to begin to show. */
const SEAMS_FROM = 0.7;

class MapSeams {
  /**
   * @param {Float32Array} raw image, image and strength, again and again @param {Float32Array} places of the images on the grid
   * @param {Uint8Array} seen
   */
  constructor(raw, places, seen) {
    const known = (i) => Number.isInteger(i) && i >= 0 && i < seen.length && seen[i];
    const kept = [];
    for (let at = 0; at + 2 < raw.length; at += 3) {
      if (known(raw[at]) && known(raw[at + 1]) && raw[at + 2] > SEAM_WEAKEST) kept.push(at);
    }
    this.count = kept.length;
    this.middles = new Float32Array(2 * kept.length);
    this.strengths = Float32Array.from(kept, (at) => Math.min(1, raw[at + 2]));
    /** Whether the border goes up and down. */
    this.upright = new Uint8Array(kept.length);
    [this.cellWidth, this.cellHeight] = [Infinity, Infinity];
    kept.forEach((at, k) => this.place(k, places, 2 * raw[at], 2 * raw[at + 1]));
    if (this.cellWidth === Infinity) this.cellWidth = this.cellHeight;
    if (this.cellHeight === Infinity) this.cellHeight = this.cellWidth;
    const keys = Float64Array.from(this.strengths, (strength, k) => Math.round(strength * 1000) * 2 ** 30 + k).sort();
    this.index = new PlaceIndex(this.middles, new Uint8Array(kept.length).fill(1), Uint32Array.from(keys, (key) => key % 2 ** 30));
  }

  /** @param {number} k @param {Float32Array} places @param {number} a @param {number} b where the two images' places are */
  place(k, places, a, b) {
    const [dx, dy] = [Math.abs(places[a] - places[b]), Math.abs(places[a + 1] - places[b + 1])];
    this.middles[2 * k] = (places[a] + places[b]) / 2;
    this.middles[2 * k + 1] = (places[a + 1] + places[b + 1]) / 2;
    this.upright[k] = Number(dx > dy);
    if (dx > dy) this.cellWidth = Math.min(this.cellWidth, dx);
    else if (dy > 0) this.cellHeight = Math.min(this.cellHeight, dy);
  }

  /** Seams that reach into a rectangle of the world, the weakest first. */
  within(left, top, right, bottom) {
    const [x, y] = [0.6 * this.cellWidth, 0.6 * this.cellHeight];
    return this.index.within(left - x, top - y, right + x, bottom + y);
  }
}

/**
 * The boxes of a painting's seams, first the light around all of them, that no line is cut by that of another.
 * @param {Painting} painting @returns {Generator<{box: number[], color: number, alpha: number}>}
 */
function* seamBoxes({ seams, scale, left, top, width, height, ratio }) {
  const { of, alpha } = seams;
  const found = of.within(left / scale, top / scale, (left + width) / scale, (top + height) / scale);
  const cell = Math.min(of.cellWidth, of.cellHeight) * scale;
  const halo = cell >= HALO_FROM * ratio ? Math.max(1, Math.round(Math.min(1.5 * ratio, cell / 10))) : 0;
  for (const around of halo ? [halo, 0] : [0]) {
    for (const k of found) {
      const strength = of.strengths[k];
      const most = Math.max(SEAM_SHARE * cell, 2 * ratio * strength);
      const thick = Math.max(1, Math.round(Math.min(ratio * (1 + 3 * strength), most)));
      const long = Math.round((of.upright[k] ? of.cellHeight : of.cellWidth) * scale);
      const [w, h] = of.upright[k] ? [thick, long] : [long, thick];
      const [x, y] = [of.middles[2 * k] * scale - left - w / 2, of.middles[2 * k + 1] * scale - top - h / 2];
      const box = [Math.round(x) - around, Math.round(y) - around, w + 2 * around, h + 2 * around];
      yield { box, color: around ? SEAM_HALO : SEAM_COLOR, alpha: alpha * (around ? strength ** 2 : 0.3 + 0.7 * strength) };
    }
  }
}

/** @param {Uint32Array} target @param {Painting} painting */
function* paintSeams(target, painting) {
  const { width, height } = painting;
  let turn = 0;
  for (const { box: [x, y, w, h], color, alpha } of seamBoxes(painting)) {
    const cover = Math.round(255 * alpha);
    for (let row = Math.max(0, y); row < Math.min(height, y + h); row++) {
      for (let at = row * width + Math.max(0, x); at < row * width + Math.min(width, x + w); at++) {
        target[at] = overPixel(target[at], color, cover);
      }
    }
    if (++turn % SEAMS_A_TURN === 0) yield;
  }
}

/** @param {CanvasRenderingContext2D} context @param {Painting} painting */
function drawSeams(context, painting) {
  for (const { box, color, alpha } of seamBoxes(painting)) {
    context.globalAlpha = alpha;
    context.fillStyle = cssColor(color);
    context.fillRect(...box);
  }
  context.globalAlpha = 1;
}
