/**
 * The horizontal axis of a histogram: round numbers for its ticks, and where the labels of marks go above it.
 *
 * @typedef {{left: number, right: number, top: number, bottom: number, low: number, high: number}} Plot
 *   where it is, in CSS pixels, and the values at its left and its right
 * @typedef {{at: number, left: number, right: number, row: number, cost: number}} LabelPlace
 *   of the line, and of the text in which row above the plot, in CSS pixels
 */

const LABEL_ROWS = 3;
const LABEL_GAP = 5;
const NO_LABEL_COST = 100;
const MOST_TRIES = 20000;

/** Digits that tell numbers of a size apart that differ by a step. @param {number} size @param {number} step */
function digitsFor(size, step) {
  const digits = Math.ceil(Math.log10(size / step)) + 1;
  return Math.min(12, Math.max(3, Number.isFinite(digits) ? digits : 3));
}

/**
 * The smallest of 1, 2 and 5 times a power of ten that divides a span into at most so many parts.
 * @param {number} span @param {number} most @returns {number}
 */
function niceStep(span, most) {
  const power = 10 ** Math.floor(Math.log10(span / most));
  return [1, 2, 5].map((factor) => factor * power).find((step) => span / step <= most) || 10 * power;
}

/** Multiples of a step from low to high. @param {number} low @param {number} high @param {number} step @returns {number[]} */
function multiples(low, high, step) {
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}

/**
 * Horizontal place of a value. Of halves, as the difference of two numbers may be larger than any number.
 * @param {Plot} plot @param {number} value @returns {number}
 */
function placeOf({ left, right, low, high }, value) {
  return left + ((value / 2 - low / 2) / (high / 2 - low / 2)) * (right - left);
}

/**
 * Whether two labels and the lines that lead up to them keep clear of each other.
 * @param {LabelPlace} one @param {LabelPlace} other @returns {boolean}
 */
function apart(one, other) {
  const near = (left, right, text, gap) => left < text.right + gap && text.left < right + gap;
  const crosses = (line, text) => line.row >= text.row && near(line.at, line.at, text, LABEL_GAP - 1);
  if (one.row === other.row && near(one.left, one.right, other, 2 * LABEL_GAP)) return false;
  return !crosses(one, other) && !crosses(other, one);
}

/**
 * Places for a label: right or left of its line, low or high.
 * @param {{at: number, width: number}} label @param {number} low @param {number} high @returns {LabelPlace[]}
 */
function labelPlaces({ at, width }, low, high) {
  const places = [];
  for (let row = 0; row < LABEL_ROWS; row++) {
    for (const left of [at + LABEL_GAP, at - LABEL_GAP - width]) {
      const right = left + width;
      if (left >= low && right <= high) places.push({ at, left, right, row, cost: row + (left < at ? 0.5 : 0) });
    }
  }
  return places;
}

/**
 * The best way to write as many labels as possible in as few rows as possible; few marks make trying all of them cheap.
 * @param {{at: number, width: number}[]} labels from right to left, which finds a good way first
 * @param {number} low @param {number} high @returns {(LabelPlace | null)[]} null where there is no room
 */
function placeLabels(labels, low, high) {
  const choices = labels.map((label) => labelPlaces(label, low, high));
  let best = { cost: Infinity, places: /** @type {(LabelPlace | null)[]} */ ([]) };
  let tries = MOST_TRIES;
  const visit = (places, cost) => {
    if (cost >= best.cost || tries-- < 0) return;
    if (places.length === labels.length) {
      best = { cost, places };
      return;
    }
    for (const place of choices[places.length]) {
      if (places.every((other) => !other || apart(place, other))) visit([...places, place], cost + place.cost);
    }
    visit([...places, null], cost + NO_LABEL_COST);
  };
  visit([], 0);
  return labels.map((_, i) => best.places[i] ?? null);
}
