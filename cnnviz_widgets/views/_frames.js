/**
 * The browser's side of a run's frames: one waiting frame, acknowledgements, and the past. See frame_player.py for
 * the messages.
 *
 * @typedef {{blob: Blob, step: number, number: number, exact: boolean}} Frame
 */

const ACK_EVERY = 200;
const FRAMES_KEPT = 600;
const BYTES_KEPT = 32e6;
const ASK_AGAIN = 1000;

/** Frames by step; when full, every second one goes. */
class FrameCache {
  constructor() {
    /** @type {Map<number, Blob>} */
    this.blobs = new Map();
    this.bytes = 0;
  }

  /** @param {number} step @param {Blob} blob */
  add(step, blob) {
    this.delete(step);
    this.blobs.set(step, blob);
    this.bytes += blob.size;
    if (this.blobs.size <= FRAMES_KEPT && this.bytes <= BYTES_KEPT) return;
    const steps = [...this.blobs.keys()].sort((a, b) => a - b);
    for (let i = 1; i < steps.length - 1; i += 2) this.delete(steps[i]);
  }

  /** @param {number} step */
  delete(step) {
    this.bytes -= this.blobs.get(step)?.size ?? 0;
    this.blobs.delete(step);
  }

  /** @param {number} step @returns {Frame | null} */
  nearest(step) {
    let best = null;
    for (const known of this.blobs.keys()) {
      if (best === null || Math.abs(known - step) < Math.abs(best - step)) best = known;
    }
    return best === null ? null : { blob: this.blobs.get(best), step: best, number: 0, exact: false };
  }
}

/** @param {Blob} blob @returns {Promise<ImageBitmap | null>} null if it is no image */
async function decoded(blob) {
  try {
    return await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    return null;
  }
}

class FrameStream {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** @type {Set<{refresh(): void}>} */
    this.views = new Set();
    this.curve = new Curve();
    /** What branches left behind. @type {Curve[]} */
    this.former = [];
    /** What is shown: `image`, its `step`, `number`, `run` and whether it is the lossless one. */
    this.picture = null;
    this.ackedAt = -Infinity;
    this.ackTimer = 0;
    this.reset();
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
    this.stopWatching = watch(model,
      ["run", "still", "step", "total", "curve", "curve_steps", "images", "labels", "marks", "branches", "former", "former_steps",
        "status", "caption", "size"], () => this.sync());
    this.stopLooking = watch(model, ["looking_at"], () => this.look());
    this.sync();
    this.look();
    model.send({ type: "hello", run: this.run });
  }

  /** Forget the run; the picture stays on the screen until the next one. */
  reset() {
    clearTimeout(this.ackTimer);
    clearTimeout(this.askTimer);
    [this.ackTimer, this.askTimer] = [0, 0];
    this.run = this.model.get("run");
    this.cache = new FrameCache();
    this.curve.clear(0);
    [this.slot, this.latest, this.still, this.stillSource, this.curveSource] = [null, null, null, null, null];
    [this.former, this.formerSource, this.branches] = [[], null, this.model.get("branches")];
    [this.received, this.handled, this.acked] = [0, 0, 0];
    [this.wanted, this.answered] = [null, new Set()];
  }

  get live() {
    return this.model.get("looking_at") < 0;
  }

  /** Last step known of. */
  get lastStep() {
    return Math.max(this.curve.lastStep, this.latest ? this.latest.step : 0, this.still ? this.still.step : 0);
  }

  /** Take over what the traits say. */
  sync() {
    const { model } = this;
    if (model.get("run") !== this.run) this.reset();
    const branches = model.get("branches");
    if (branches.length > this.branches.length) this.goBack(branches[branches.length - 1]);
    this.branches = branches;
    const [still, curve] = [model.get("still"), model.get("curve")];
    if (curve !== this.curveSource) {
      this.curveSource = curve;
      const steps = numbersOf(model.get("curve_steps"), Int32Array);
      const values = numbersOf(curve, Float32Array);
      if (steps.length && values.length === steps.length * model.get("images")) {
        this.curve.clear(model.get("images"));
        this.curve.splice(steps, values);
      }
    }
    const former = model.get("former");
    if (former !== this.formerSource) {
      this.formerSource = former;
      const steps = numbersOf(model.get("former_steps"), Int32Array);
      this.former = curvesOf(steps, numbersOf(former, Float32Array), model.get("images"));
    }
    if (still !== this.stillSource) {
      this.stillSource = still;
      const bytes = bytesOf(still);
      if (bytes.length) {
        this.still = { blob: new Blob([bytes], { type: "image/png" }), step: model.get("step"), number: this.received, exact: true };
        this.latest = this.still;
        if (this.live) this.slot = this.still;
        else this.look();
      }
    }
    this.refresh();
    this.pump();
  }

  refresh() {
    for (const view of this.views) view.refresh();
  }

  /** @param {any} message @param {DataView[]} buffers */
  receive(message, buffers) {
    if (this.model.get("run") !== this.run) this.sync();
    if (message.run !== this.run) return;
    if (message.type === "frame") this.takeFrame(message, buffers);
    else if (message.type === "past") this.takePast(message, buffers);
  }

  takeFrame({ step, number }, [jpeg, scores, steps]) {
    const blob = new Blob([bytesOf(jpeg)], { type: "image/jpeg" });
    if (this.lastStep >= step) this.forgetFrom(step);
    this.cache.add(step, blob);
    this.curve.splice(numbersOf(steps, Int32Array), numbersOf(scores, Float32Array));
    this.received = number;
    this.latest = { blob, step, number, exact: false };
    if (this.live) this.slot = this.latest;
    this.pump();
  }

  /** The run went back to a step: what came after it is no longer its past. @param {number} step */
  forgetFrom(step) {
    for (const known of [...this.cache.blobs.keys()]) if (known >= step) this.cache.delete(known);
    if (this.still && this.still.step >= step) this.still = null;
    this.answered.clear();
  }

  /** The run was branched: its newest frame is the one at that step, until it has another. @param {number} step */
  goBack(step) {
    this.forgetFrom(step + 1);
    if (this.still) this.latest = this.still;
    else if (this.latest && this.latest.step > step) this.latest = this.cache.nearest(step);
    if (this.live) this.slot = this.latest;
  }

  takePast({ step, wanted }, [jpeg]) {
    clearTimeout(this.askTimer);
    this.askTimer = 0;
    this.answered.add(wanted);
    if (jpeg) this.cache.add(step, new Blob([bytesOf(jpeg)], { type: "image/jpeg" }));
    this.look();
  }

  /** Show the frame that the reader looks at: the newest, or the nearest there is to a step, asking for a nearer one. */
  look() {
    const step = this.model.get("looking_at");
    if (step < 0) this.slot = this.latest;
    else {
      const near = this.cache.nearest(step);
      const still = this.still && (!near || Math.abs(this.still.step - step) <= Math.abs(near.step - step));
      const best = still ? this.still : near;
      this.slot = this.picture && best && this.picture.frame.blob === best.blob ? null : best;
      if (!best || best.step !== step) this.ask(step);
    }
    this.refresh();
    this.pump();
  }

  /** One question at a time; the newest waits. A lost one is asked again, unless all answers were recorded. @param {number} step */
  ask(step) {
    this.wanted = step;
    if (this.askTimer || this.answered.has(step)) return;
    this.model.send({ type: "want", run: this.run, step });
    if (this.model.recorded) return;
    this.askTimer = setTimeout(() => {
      this.askTimer = 0;
      if (!this.live && this.views.size) this.ask(this.wanted);
    }, ASK_AGAIN);
  }

  /** Draw what waits, one frame at a time; without a view nothing is drawn and so nothing acknowledged. */
  async pump() {
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (this.views.size && (this.slot || this.received > this.handled)) {
        const { slot, received, run, live } = this;
        this.slot = null;
        const image = slot && (await decoded(slot.blob));
        await new Promise(requestAnimationFrame);
        if (image && run === this.run && live === this.live) this.show(image, slot);
        else if (image) image.close();
        this.refresh();
        if (run === this.run && received > this.handled) {
          this.handled = received;
          this.acknowledge();
        }
      }
    } finally {
      this.pumping = false;
    }
  }

  /** @param {ImageBitmap} image @param {Frame} frame */
  show(image, frame) {
    if (this.picture) this.picture.image.close();
    this.picture = { image, frame, step: frame.step, number: frame.number, run: this.run };
  }

  /** Tell Python the last number drawn, five times a second at most and the final one surely. */
  acknowledge() {
    if (this.ackTimer || this.handled === this.acked) return;
    const wait = this.ackedAt + ACK_EVERY - performance.now();
    if (wait > 0) {
      this.ackTimer = setTimeout(() => {
        this.ackTimer = 0;
        this.acknowledge();
      }, wait);
      return;
    }
    this.acked = this.handled;
    this.ackedAt = performance.now();
    this.model.send({ type: "ack", run: this.run, number: this.handled });
  }

  stop() {
    clearTimeout(this.ackTimer);
    clearTimeout(this.askTimer);
    this.model.off("msg:custom", this.onMessage);
    this.stopWatching();
    this.stopLooking();
    this.views.clear();
    if (this.picture) this.picture.image.close();
  }
}
