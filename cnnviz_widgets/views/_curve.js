/** The score of every step of a run, one line per image. */

/** Told apart from each other and from a white or a dark ground. */
const CURVE_COLORS = ["#0f7fbf", "#d55e00", "#009e73", "#b86aa0", "#7f6ce0", "#a87000", "#5f8795", "#d0406a"];
/** Where the colours come round again, the lines are broken differently; as CSS calls it and as a canvas does. */
const CURVE_DASHES = [["solid", []], ["dashed", [7, 4]], ["dotted", [2, 4]]];

/** @param {number} image @returns {{color: string, style: string, dash: number[]}} */
function lineLook(image) {
  const [style, dash] = CURVE_DASHES[Math.floor(image / CURVE_COLORS.length) % CURVE_DASHES.length];
  return { color: CURVE_COLORS[image % CURVE_COLORS.length], style, dash };
}

class Curve {
  constructor() {
    this.clear(0);
  }

  /** @param {number} images */
  clear(images) {
    this.images = images;
    this.length = 0;
    this.steps = new Int32Array(256);
    this.values = new Float32Array(256 * Math.max(images, 1));
    [this.low, this.high] = [Infinity, -Infinity];
  }

  /** Add rows; rows of the first of these steps and of later ones are dropped. @param {Int32Array} steps @param {Float32Array} values */
  splice(steps, values) {
    if (steps.length === 0) return;
    const images = values.length / steps.length;
    if (images !== this.images) this.clear(images);
    const keep = this.rowBefore(steps[0] - 1) + 1;
    if (keep < this.length) this.measure(this.values.subarray(0, keep * images), true);
    this.reserve(keep + steps.length);
    this.steps.set(steps, keep);
    this.values.set(values, keep * images);
    this.length = keep + steps.length;
    this.measure(values, false);
  }

  /** @param {number} rows */
  reserve(rows) {
    if (rows <= this.steps.length) return;
    const size = Math.max(rows, 2 * this.steps.length);
    const [steps, values] = [new Int32Array(size), new Float32Array(size * this.images)];
    steps.set(this.steps);
    values.set(this.values);
    [this.steps, this.values] = [steps, values];
  }

  /** @param {Float32Array} values @param {boolean} anew */
  measure(values, anew) {
    if (anew) [this.low, this.high] = [Infinity, -Infinity];
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < this.low) this.low = value;
      if (value > this.high) this.high = value;
    }
  }

  get lastStep() {
    return this.length ? this.steps[this.length - 1] : 0;
  }

  /** Last row at or before a step, -1 if none. @param {number} step */
  rowBefore(step) {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle] <= step) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Scores at a step. @param {number} step @returns {number[]} */
  at(step) {
    const row = this.rowBefore(step);
    return row < 0 ? [] : Array.from(this.values.subarray(row * this.images, (row + 1) * this.images));
  }
}

/**
 * Curves one after the other in one table: each ends where the steps grow no further.
 * @param {Int32Array} steps @param {Float32Array} values @param {number} images
 * @returns {Curve[]} none if the numbers do not fit together
 */
function curvesOf(steps, values, images) {
  const curves = [];
  if (values.length !== steps.length * images) return curves;
  for (let from = 0, to = 1; to <= steps.length; to++) {
    if (to < steps.length && steps[to] > steps[to - 1]) continue;
    const curve = new Curve();
    curve.splice(steps.subarray(from, to), values.subarray(from * images, to * images));
    curves.push(curve);
    from = to;
  }
  return curves;
}

/** Of the scrubber's thumb. */
const THUMB_HALF = 8;
/** Size of the texts and rows of marks above the curve, in CSS pixels where the type is the usual one; see `typeScale`. */
const CURVE_TYPE = 14;
const MARK_ROW = 20;
const MARK_ROWS = 2;
const MARK_REACH = 8;
const FORMER_OPACITY = 0.5;

/**
 * @typedef {{
 *   width: number, height: number, type: number, end: number, step: number, former: Curve[], marks: [number, string][],
 * }} CurveView size in CSS pixels, scale of the type, last step of the axis, step of the cursor, curves left behind, what was
 *   changed when
 */

/**
 * Room around the curve in its canvas, in CSS pixels; the scrubber's track lines up with it.
 * @param {number} type scale of the type @param {[number, string][]} marks their texts take some above
 */
function curveEdges(type, marks) {
  const rows = MARK_ROW * Math.min(marks.length, MARK_ROWS);
  return { left: 64 * type + THUMB_HALF, right: 6 + THUMB_HALF, top: (12 + rows) * type, bottom: 26 * type };
}

/** Where a step is in the canvas. @param {number} step @param {CurveView} view */
function curveX(step, { width, end, type, marks }) {
  const { left, right } = curveEdges(type, marks);
  return left + (step / Math.max(end, 1)) * (width - left - right);
}

/** @param {HTMLCanvasElement} canvas @param {number} type */
function curveFont(canvas, type) {
  return `${(CURVE_TYPE * type).toFixed(1)}px ${getComputedStyle(canvas).fontFamily}`;
}

/** Marks near a place, the one a reader means when pointing there. @param {number} x @param {CurveView} view */
function marksNear(x, view) {
  const distance = ([step]) => Math.abs(curveX(step, view) - x);
  const nearest = Math.min(...view.marks.map(distance));
  return nearest > MARK_REACH ? [] : view.marks.filter((mark) => distance(mark) === nearest);
}

/**
 * @param {HTMLCanvasElement} canvas @param {Curve} curve @param {CurveView} view
 */
function drawCurve(canvas, curve, view) {
  const { width, height, type, former, marks } = view;
  const ratio = fitCanvas(canvas, width, height);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const { top, bottom } = curveEdges(type, marks);
  const curves = [curve, ...former];
  const range = { low: Math.min(...curves.map((one) => one.low)), high: Math.max(...curves.map((one) => one.high)) };
  const flat = !(range.high > range.low);
  const [low, high] = flat ? [range.low - 0.5, range.high + 0.5] : [range.low, range.high];
  const x = (at) => curveX(at, view);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  drawAxes(context, canvas, { ...view, ...range, flat });
  drawMarks(context, canvas, view);
  if (!Number.isFinite(range.low)) return;
  context.globalAlpha = FORMER_OPACITY;
  for (const one of former) drawLines(context, one, width, x, y);
  context.globalAlpha = 1;
  drawLines(context, curve, width, x, y);
  drawCursor(context, canvas, curve, view.step, { x, y, top, bottom: height - bottom });
}

/** @param {CanvasRenderingContext2D} context */
function drawAxes(context, canvas, { width, height, type, marks, end, low, high, flat }) {
  const { left, right, top, bottom } = curveEdges(type, marks);
  const ink = themeColor(canvas, "--cnnviz-ink");
  context.strokeStyle = themeColor(canvas, "--cnnviz-line");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(left - 0.5, top);
  context.lineTo(left - 0.5, height - bottom + 0.5);
  context.lineTo(width - right, height - bottom + 0.5);
  context.stroke();
  context.fillStyle = ink;
  context.font = curveFont(canvas, type);
  context.textBaseline = "middle";
  context.textAlign = "right";
  if (Number.isFinite(low)) {
    if (!flat) context.fillText(formatNumber(low), left - 6, height - bottom - 4 * type);
    context.fillText(formatNumber(high), left - 6, flat ? (top + height - bottom) / 2 : top + 4 * type);
  }
  context.textBaseline = "bottom";
  context.textAlign = "left";
  context.fillText("step 0", left, height - 2);
  context.textAlign = "right";
  context.fillText(String(end), width - right, height - 2);
}

/** A line for each mark and, newest first, its text where it meets no other. @param {CanvasRenderingContext2D} context */
function drawMarks(context, canvas, view) {
  const { width, height, type, marks } = view;
  const { top, bottom } = curveEdges(type, marks);
  context.font = curveFont(canvas, type);
  const places = markPlaces(marks.map(([step, text]) => [curveX(step, view), context.measureText(text).width]), width);
  context.strokeStyle = themeColor(canvas, "--cnnviz-muted");
  context.lineWidth = 1;
  context.setLineDash([3, 3]);
  context.beginPath();
  for (const step of new Set(marks.map(([at]) => at))) {
    const at = Math.round(curveX(step, view)) + 0.5;
    context.moveTo(at, top - 6 * type);
    context.lineTo(at, height - bottom);
  }
  context.stroke();
  context.setLineDash([]);
  context.fillStyle = themeColor(canvas, "--cnnviz-ink");
  context.textBaseline = "bottom";
  context.textAlign = "left";
  places.forEach((place, index) => {
    if (place) context.fillText(marks[index][1], place.left, top - (7 + place.row * MARK_ROW) * type);
  });
}

/**
 * Where the texts of marks go, the newest choosing first: right or left of their line, in one of the rows.
 * @param {[number, number][]} texts where the line is and how wide the text, in CSS pixels @param {number} width
 * @returns {({left: number, row: number} | null)[]} null where there is no room
 */
function markPlaces(texts, width) {
  const taken = Array.from({ length: Math.min(texts.length, MARK_ROWS) }, () => []);
  const place = ([at, wide]) => {
    for (let row = 0; row < taken.length; row++) {
      for (const left of [at - 2, at - wide + 2]) {
        const free = taken[row].every(([from, to]) => left > to + 12 || left + wide < from - 12);
        if (left < 2 || left + wide > width - 2 || !free) continue;
        taken[row].push([left, left + wide]);
        return { left, row };
      }
    }
    return null;
  };
  return [...texts].reverse().map(place).reverse();
}

/** @param {CanvasRenderingContext2D} context */
function drawLines(context, curve, width, x, y) {
  const stride = Math.max(1, Math.floor(curve.length / (2 * width)));
  for (let image = curve.images - 1; image >= 0; image--) drawLine(context, curve, image, stride, x, y);
}

/** @param {CanvasRenderingContext2D} context */
function drawLine(context, curve, image, stride, x, y) {
  const { color, dash } = lineLook(image);
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.lineJoin = "round";
  context.setLineDash(dash);
  context.beginPath();
  let drawing = false;
  const add = (row) => {
    const value = curve.values[row * curve.images + image];
    if (Number.isFinite(value)) {
      if (drawing) context.lineTo(x(curve.steps[row]), y(value));
      else context.moveTo(x(curve.steps[row]), y(value));
    }
    drawing = Number.isFinite(value);
  };
  for (let row = 0; row < curve.length - 1; row += stride) add(row);
  if (curve.length) add(curve.length - 1);
  context.stroke();
  context.setLineDash([]);
}

/** @param {CanvasRenderingContext2D} context */
function drawCursor(context, canvas, curve, step, { x, y, top, bottom }) {
  if (step < 0) return;
  context.strokeStyle = themeColor(canvas, "--cnnviz-ink");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(x(step)) + 0.5, top);
  context.lineTo(Math.round(x(step)) + 0.5, bottom);
  context.stroke();
  curve.at(step).forEach((value, image) => {
    if (!Number.isFinite(value)) return;
    context.fillStyle = lineLook(image).color;
    context.beginPath();
    context.arc(x(step), y(value), 4, 0, 2 * Math.PI);
    context.fill();
  });
}
