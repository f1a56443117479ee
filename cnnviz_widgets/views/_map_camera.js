/** The part of a map that is seen: where its middle is, how near, and how it gets elsewhere. Lengths are device pixels. */

const WORLD_PIXELS = 512;
const ZOOM_EASE = 70;
const GLIDE_EASE = 220;
const SLOWEST_GLIDE = 0.02;
const FLIGHT_CURVE = 1.42;
const CAMERA_TOLD_AFTER = 250;
const CAMERA_DIGITS = 1e9;
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

class MapCamera {
  constructor() {
    [this.x, this.y, this.zoom] = [0.5, 0.5, 0];
    [this.width, this.height] = [1, 1];
    [this.leastZoom, this.mostZoom] = [-8, 16];
    /** Whether it shows all there is, and follows when that changes. */
    this.whole = true;
    /** @type {{zoom: number, px: number, py: number, x: number, y: number} | null} zooming about a place of the screen */
    this.zooming = null;
    /** @type {{vx: number, vy: number} | null} pixels a millisecond */
    this.gliding = null;
    /** @type {{at(now: number): {x: number, y: number, zoom: number}, end: number, whole: boolean} | null} */
    this.flying = null;
    this.now = 0;
  }

  /** Device pixels per unit of the world. */
  get scale() {
    return WORLD_PIXELS * 2 ** this.zoom;
  }

  /** @param {number} x @param {number} y @returns {[number, number]} on the screen */
  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  /** @param {number} px @param {number} py @returns {[number, number]} in the world */
  toWorld(px, py) {
    return [this.x + (px - this.width / 2) / this.scale, this.y + (py - this.height / 2) / this.scale];
  }

  get moving() {
    return Boolean(this.zooming || this.gliding || this.flying);
  }

  stop() {
    [this.zooming, this.gliding, this.flying] = [null, null, null];
  }

  /** Place from which a layout is seen whole. @param {MapLayout} layout @param {number} margin */
  overview(layout, margin) {
    const across = Math.max(1, this.width - 2 * margin) / Math.max(1e-6, layout.right - layout.left);
    const down = Math.max(1, this.height - 2 * margin) / Math.max(1e-6, layout.bottom - layout.top);
    const scale = Math.min(across, down, Math.max(this.width, this.height));
    return {
      x: (layout.left + layout.right) / 2, y: (layout.top + layout.bottom) / 2, zoom: Math.log2(scale / WORLD_PIXELS),
    };
  }

  /** @param {MapPlace} place */
  jump(place) {
    this.stop();
    Object.assign(this, place);
  }

  /** @param {number} zoom */
  bounded(zoom) {
    return Math.min(this.mostZoom, Math.max(this.leastZoom, zoom));
  }

  /** Zoom in by some levels and keep what is at a place of the screen there. @param {number} levels @param {number} px @param {number} py */
  zoomBy(levels, px = this.width / 2, py = this.height / 2) {
    const from = this.zooming && this.zooming.px === px && this.zooming.py === py ? this.zooming.zoom : this.zoom;
    const [x, y] = this.toWorld(px, py);
    this.stop();
    this.whole = false;
    this.zooming = { zoom: this.bounded(from + levels), px, py, x, y };
    if (STILL.matches) this.stepZoom(Infinity);
  }

  /** At once, for two fingers. @param {number} levels @param {number} px @param {number} py */
  pinchBy(levels, px, py) {
    this.zoomBy(levels, px, py);
    this.stepZoom(Infinity);
  }

  /** @param {number} dx @param {number} dy pixels that what is seen moves by */
  panBy(dx, dy) {
    this.stop();
    this.whole = false;
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
  }

  /** @param {number} vx @param {number} vy */
  glide(vx, vy) {
    if (!STILL.matches && Math.hypot(vx, vy) > 10 * SLOWEST_GLIDE) this.gliding = { vx, vy };
  }

  /** @param {MapPlace} place @param {boolean} whole */
  flyTo(place, whole = false) {
    this.stop();
    this.whole = false;
    const flight = flightBetween(this, place, Math.max(this.width, this.height));
    if (STILL.matches || flight.duration < 1) {
      this.jump(place);
      this.whole = whole;
    } else this.flying = { ...flight, at: (now) => flight.at(now - this.start), end: flight.duration, whole };
    this.start = performance.now();
  }

  /** Bring what moves by itself to where it is now. @param {number} now */
  step(now) {
    const passed = Math.min(100, Math.max(0, now - this.now));
    this.now = now;
    if (this.flying) this.stepFlight(now);
    else if (this.zooming) this.stepZoom(passed);
    else if (this.gliding) this.stepGlide(passed);
    this.x = Math.min(1.2, Math.max(-0.2, this.x));
    this.y = Math.min(1.2, Math.max(-0.2, this.y));
  }

  /** @param {number} now */
  stepFlight(now) {
    const { at, end, whole } = this.flying;
    Object.assign(this, at(now));
    if (now - this.start < end) return;
    this.flying = null;
    this.whole = whole;
  }

  /** @param {number} passed */
  stepZoom(passed) {
    const { zoom, px, py, x, y } = this.zooming;
    const rest = (this.zoom - zoom) * Math.exp(-passed / ZOOM_EASE);
    this.zoom = Math.abs(rest) < 0.004 ? zoom : zoom + rest;
    this.x = x - (px - this.width / 2) / this.scale;
    this.y = y - (py - this.height / 2) / this.scale;
    if (this.zoom === zoom) this.zooming = null;
  }

  /** @param {number} passed */
  stepGlide(passed) {
    const { gliding } = this;
    const slower = Math.exp(-passed / GLIDE_EASE);
    this.x -= (gliding.vx * passed) / this.scale;
    this.y -= (gliding.vy * passed) / this.scale;
    this.gliding = { vx: gliding.vx * slower, vy: gliding.vy * slower };
    if (Math.hypot(this.gliding.vx, this.gliding.vy) < SLOWEST_GLIDE) this.gliding = null;
  }
}

/**
 * Where one looks as the model's trait `camera` has it: told when one has come to rest, and gone to when Python asks for it; see
 * _plane.py.
 *
 * @typedef {{x: number, y: number, zoom: number}} MapPlace
 */
class CameraTrait {
  /** @param {Model} model @param {MapCamera} camera */
  constructor(model, camera) {
    [this.model, this.camera] = [model, camera];
    /** How to go there in the next frame. @type {"" | "jump" | "fly"} */
    this.asked = "";
    /** Where to; null for where the trait says. @type {number[] | null} */
    this.wanted = null;
    [this.seen, this.timer] = ["", 0];
  }

  /**
   * @param {"jump" | "fly"} way what is just opened has nothing to fly from
   * @param {number[] | null} camera Python's; the trait may be the page's own newer one. null for the trait
   */
  ask(way, camera = null) {
    if (this.asked !== "jump") this.asked = way;
    this.wanted = camera;
    clearTimeout(this.timer);
  }

  /** A frame begins. @param {MapPlace} all from which all is seen @param {MapPlace} home where the overview is */
  follow(all, home) {
    const { camera, asked, wanted } = this;
    if (!asked) return;
    [this.asked, this.wanted] = ["", null];
    const [x, y, nearer] = wanted ?? this.model.get("camera");
    const whole = x === undefined;
    const place = whole ? home : { x, y, zoom: camera.bounded(all.zoom + nearer) };
    if (asked === "fly") {
      camera.flyTo(place, whole);
      return;
    }
    camera.jump(place);
    camera.whole = whole;
  }

  /** A frame ends. @param {MapPlace} all from which all is seen */
  tell(all) {
    const { x, y, zoom, whole } = this.camera;
    const now = whole ? [] : [x, y, zoom - all.zoom].map((value) => Math.round(value * CAMERA_DIGITS) / CAMERA_DIGITS);
    if (String(now) === this.seen) return;
    this.seen = String(now);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (String(this.model.get("camera")) !== this.seen) setTrait(this.model, "camera", now);
    }, CAMERA_TOLD_AFTER);
  }

  close() {
    clearTimeout(this.timer);
  }
}

/**
 * The way that seems shortest to the eye: out, over, in. J. J. van Wijk and W. A. A. Nuij, Smooth and efficient zooming
 * and panning, INFOVIS 2003, equations 9 to 11.
 * @param {{x: number, y: number, zoom: number}} from @param {{x: number, y: number, zoom: number}} to @param {number} size pixels
 */
function flightBetween(from, to, size) {
  const rho = FLIGHT_CURVE;
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const way = Math.hypot(dx, dy);
  const [w0, w1] = [from, to].map((place) => size / (WORLD_PIXELS * 2 ** place.zoom));
  if (way < 1e-9) {
    const duration = Math.min(900, 300 * Math.abs(to.zoom - from.zoom));
    const at = (passed) => {
      const share = Math.min(1, Math.max(0, passed / Math.max(1, duration)));
      return { x: to.x, y: to.y, zoom: from.zoom + (to.zoom - from.zoom) * share * share * (3 - 2 * share) };
    };
    return { duration, at };
  }
  const turn = (w, sign) => {
    const b = (w1 * w1 - w0 * w0 + sign * rho ** 4 * way * way) / (2 * w * rho * rho * way);
    return Math.log(Math.sqrt(b * b + 1) - b);
  };
  const [r0, r1] = [turn(w0, 1), turn(w1, -1)];
  const length = (r1 - r0) / rho;
  const duration = Math.min(1600, Math.max(250, 450 * length));
  const at = (passed) => {
    const share = Math.min(1, Math.max(0, passed / duration));
    if (share >= 1) return { x: to.x, y: to.y, zoom: to.zoom };
    const s = length * share * share * (3 - 2 * share);
    const along = ((w0 / (rho * rho)) * (Math.cosh(r0) * Math.tanh(rho * s + r0) - Math.sinh(r0))) / way;
    const w = (w0 * Math.cosh(r0)) / Math.cosh(rho * s + r0);
    return { x: from.x + dx * along, y: from.y + dy * along, zoom: Math.log2(size / (WORLD_PIXELS * w)) };
  };
  return { duration, at };
}
