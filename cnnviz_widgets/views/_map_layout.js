/**
 * Where the images of a map are, which of them are seen, and what lies where: the part of a map that is not drawn.
 *
 * The world is a square of side 1 with y growing downwards; a layout fills it along its longer side.
 *
 * @typedef {{places: Float32Array, left: number, top: number, right: number, bottom: number, missing: number}} MapLayout
 *   x and y per image, NaN for none, and the bounds of what there is
 */

/** Odd, so that multiplying by it modulo 2^32 is a shuffling without collisions; and the number that undoes it. */
const SHUFFLE = 2654435761;
const UNSHUFFLE = 244002641;
const PER_BUCKET = 4;
const MOST_BUCKETS = 512;

/** @param {Float32Array} raw @returns {MapLayout} */
function mapLayout(raw) {
  let [lowX, lowY, highX, highY] = [Infinity, Infinity, -Infinity, -Infinity];
  let missing = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const [x, y] = [raw[i], raw[i + 1]];
    // Taken from themselves, neither NaN nor infinity is 0.
    if (!(x - x === 0 && y - y === 0)) missing++;
    else {
      if (x < lowX) lowX = x;
      if (x > highX) highX = x;
      if (y < lowY) lowY = y;
      if (y > highY) highY = y;
    }
  }
  const span = Math.max(highX - lowX, highY - lowY) || 1;
  const [middleX, middleY] = [(lowX + highX) / 2, (lowY + highY) / 2];
  const places = new Float32Array(raw.length);
  for (let i = 0; i < raw.length; i += 2) {
    const known = raw[i] - raw[i] === 0 && raw[i + 1] - raw[i + 1] === 0;
    places[i] = known ? 0.5 + (raw[i] - middleX) / span : NaN;
    places[i + 1] = known ? 0.5 - (raw[i + 1] - middleY) / span : NaN;
  }
  const [w, h] = raw.length / 2 > missing ? [(highX - lowX) / span / 2, (highY - lowY) / span / 2] : [0, 0];
  return { places, left: 0.5 - w, right: 0.5 + w, top: 0.5 - h, bottom: 0.5 + h, missing };
}

/** @param {MapLayout} from @param {MapLayout} to @param {number} share @returns {MapLayout} */
function mixedLayout(from, to, share) {
  if (share <= 0) return from;
  if (share >= 1) return to;
  const mix = (a, b) => a + (b - a) * share;
  const places = new Float32Array(from.places.length);
  let missing = 0;
  for (let i = 0; i < places.length; i += 2) {
    places[i] = mix(from.places[i], to.places[i]);
    places[i + 1] = mix(from.places[i + 1], to.places[i + 1]);
    missing += Number(Number.isNaN(places[i] + places[i + 1]));
  }
  return {
    places, missing, left: mix(from.left, to.left), right: mix(from.right, to.right),
    top: mix(from.top, to.top), bottom: mix(from.bottom, to.bottom),
  };
}

/** Images that are seen, by place; always told in the order they are drawn in. */
class PlaceIndex {
  /** @param {Float32Array} places @param {Uint8Array} seen @param {Uint32Array} order of drawing */
  constructor(places, seen, order) {
    this.places = places;
    this.all = order.filter((i) => seen[i]);
    this.side = Math.min(MOST_BUCKETS, Math.max(1, Math.ceil(Math.sqrt(this.all.length / PER_BUCKET))));
    const buckets = new Int32Array(this.all.length);
    this.starts = new Int32Array(this.side * this.side + 1);
    for (let k = 0; k < buckets.length; k++) {
      const at = 2 * this.all[k];
      buckets[k] = this.bucket(places[at]) + this.side * this.bucket(places[at + 1]);
      this.starts[buckets[k] + 1]++;
    }
    for (let b = 0; b < this.side * this.side; b++) this.starts[b + 1] += this.starts[b];
    const next = this.starts.slice();
    /** Ranks in `all`, bucket after bucket. */
    this.ranks = new Uint32Array(buckets.length);
    for (let k = 0; k < buckets.length; k++) this.ranks[next[buckets[k]]++] = k;
    this.found = new Uint32Array(buckets.length);
  }

  /** @param {number} value */
  bucket(value) {
    return Math.min(this.side - 1, Math.max(0, Math.floor(value * this.side)));
  }

  /** Images in a rectangle. @param {number} left @param {number} top @param {number} right @param {number} bottom @returns {Uint32Array} */
  within(left, top, right, bottom) {
    const { all, ranks, starts, side, found } = this;
    const [firstColumn, lastColumn] = [this.bucket(left), this.bucket(right)];
    const [firstRow, lastRow] = [this.bucket(top), this.bucket(bottom)];
    let near = 0;
    for (let row = firstRow; row <= lastRow; row++) near += starts[row * side + lastColumn + 1] - starts[row * side + firstColumn];
    // Where there are many, looking at all in their order costs less than sorting these.
    if (near * 6 > all.length) return insideBox(this.places, all, all.length, found, left, top, right, bottom);
    let length = 0;
    for (let row = firstRow; row <= lastRow; row++) {
      const end = starts[row * side + lastColumn + 1];
      for (let k = starts[row * side + firstColumn]; k < end; k++) found[length++] = ranks[k];
    }
    found.subarray(0, length).sort();
    for (let k = 0; k < length; k++) found[k] = all[found[k]];
    return insideBox(this.places, found, length, found, left, top, right, bottom);
  }
}

/**
 * Those of some images that are in a rectangle.
 * @param {Float32Array} places @param {Uint32Array} images @param {number} count of them
 * @param {Uint32Array} found room for them; may be `images`
 * @param {number} left @param {number} top @param {number} right @param {number} bottom @returns {Uint32Array} a copy
 */
function insideBox(places, images, count, found, left, top, right, bottom) {
  let length = 0;
  for (let k = 0; k < count; k++) {
    const [x, y] = [places[2 * images[k]], places[2 * images[k] + 1]];
    if (x >= left && x <= right && y >= top && y <= bottom) found[length++] = images[k];
  }
  return found.slice(0, length);
}

/**
 * The order images are drawn in: one that has nothing to do with their labels, or the last label would cover all others, and
 * that is the same in all parts of a map.
 * @param {number} count @returns {Uint32Array}
 */
function drawingOrder(count) {
  const keys = Uint32Array.from({ length: count }, (_, i) => Math.imul(i + 1, SHUFFLE)).sort();
  return keys.map((key) => Math.imul(key, UNSHUFFLE) - 1);
}

/** Whether a place is inside a polygon, by counting the edges to its right. @param {number[]} polygon x, y, x, y, ... */
function insidePolygon(x, y, polygon) {
  let inside = false;
  for (let i = 0, j = polygon.length - 2; i < polygon.length; j = i, i += 2) {
    const [xi, yi, xj, yj] = [polygon[i], polygon[i + 1], polygon[j], polygon[j + 1]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/** Images on their way from where they are seen to where they belong. */
class MapMotion {
  /** @param {Float32Array} from @param {Float32Array} to @param {number} start @param {number} duration @param {boolean} flowing */
  constructor(from, to, start, duration, flowing) {
    this.from = from.slice();
    this.to = to;
    this.start = start;
    this.duration = duration;
    /** One that takes over from another keeps the pace; one from rest begins and ends gently. */
    this.flowing = flowing;
    for (let i = 0; i < to.length; i++) if (Number.isNaN(this.from[i])) this.from[i] = to[i];
  }

  /** @param {number} now @param {Float32Array} places are set @returns {boolean} whether it goes on */
  step(now, places) {
    const share = Math.min(1, Math.max(0, (now - this.start) / Math.max(1, this.duration)));
    if (share >= 1) {
      places.set(this.to);
      return false;
    }
    const eased = this.flowing ? share : share * share * (3 - 2 * share);
    const { from, to } = this;
    for (let i = 0; i < places.length; i++) places[i] = from[i] + (to[i] - from[i]) * eased;
    return true;
  }
}
