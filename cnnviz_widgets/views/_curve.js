/** The score of every step of a run, one line per image. */

/** Told apart from each other and from a white or a dark ground. */
const CURVE_COLORS = ["#0f7fbf", "#d55e00", "#009e73", "#b86aa0", "#7f6ce0", "#a87000", "#5f8795", "#d0406a"];

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

/** Where the curve is in its canvas, in CSS pixels; the scrubber's track lines up with it. */
const CURVE_BOX = { left: 72, right: 14, top: 12, bottom: 26 };

/**
 * @param {HTMLCanvasElement} canvas @param {Curve} curve
 * @param {{width: number, height: number, end: number, step: number}} view size, last step of the axis, step of the cursor
 */
function drawCurve(canvas, curve, { width, height, end, step }) {
  const ratio = fitCanvas(canvas, width, height);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const { left, right, top, bottom } = CURVE_BOX;
  const flat = !(curve.high > curve.low);
  const [low, high] = flat ? [curve.low - 0.5, curve.high + 0.5] : [curve.low, curve.high];
  const x = (at) => left + (at / Math.max(end, 1)) * (width - left - right);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  drawAxes(context, canvas, curve, { width, height, end, flat });
  if (!curve.length || !Number.isFinite(curve.low)) return;
  const stride = Math.max(1, Math.floor(curve.length / (2 * width)));
  for (let image = curve.images - 1; image >= 0; image--) drawLine(context, curve, image, stride, x, y);
  drawCursor(context, canvas, curve, step, { x, y, height });
}

/** @param {CanvasRenderingContext2D} context */
function drawAxes(context, canvas, curve, { width, height, end, flat }) {
  const { left, right, top, bottom } = CURVE_BOX;
  const ink = themeColor(canvas, "--cnnviz-ink");
  context.strokeStyle = themeColor(canvas, "--cnnviz-line");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(left - 0.5, top);
  context.lineTo(left - 0.5, height - bottom + 0.5);
  context.lineTo(width - right, height - bottom + 0.5);
  context.stroke();
  context.fillStyle = ink;
  context.font = `14px ${getComputedStyle(canvas).fontFamily}`;
  context.textBaseline = "middle";
  context.textAlign = "right";
  if (curve.length && Number.isFinite(curve.low)) {
    if (!flat) context.fillText(formatNumber(curve.low), left - 6, height - bottom - 4);
    context.fillText(formatNumber(curve.high), left - 6, flat ? (top + height - bottom) / 2 : top + 4);
  }
  context.textBaseline = "bottom";
  context.textAlign = "left";
  context.fillText("step 0", left, height - 2);
  context.textAlign = "right";
  context.fillText(String(end), width - right, height - 2);
}

/** @param {CanvasRenderingContext2D} context */
function drawLine(context, curve, image, stride, x, y) {
  context.strokeStyle = CURVE_COLORS[image % CURVE_COLORS.length];
  context.lineWidth = 2;
  context.lineJoin = "round";
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
  add(curve.length - 1);
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context */
function drawCursor(context, canvas, curve, step, { x, y, height }) {
  if (step < 0) return;
  const { top, bottom } = CURVE_BOX;
  context.strokeStyle = themeColor(canvas, "--cnnviz-ink");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(x(step)) + 0.5, top);
  context.lineTo(Math.round(x(step)) + 0.5, height - bottom);
  context.stroke();
  curve.at(step).forEach((value, image) => {
    if (!Number.isFinite(value)) return;
    context.fillStyle = CURVE_COLORS[image % CURVE_COLORS.length];
    context.beginPath();
    context.arc(x(step), y(value), 4, 0, 2 * Math.PI);
    context.fill();
  });
}
