/** Picture, scrubber and score curve of a run; see frame_player.py for traits and messages. */

const CURVE_HEIGHT = 150;
const SPEAK_EVERY = 5000;

class PlayerView {
  /** @param {Model} model @param {HTMLElement} el @param {FrameStream} stream */
  constructor(model, el, stream) {
    this.model = model;
    this.stream = stream;
    this.spokenAt = -Infinity;
    this.drawnPicture = null;
    this.build(el);
    this.refresh = inNextFrame(() => this.draw());
    this.stopWatching = watchShown(this.root, () => this.refresh());
    this.scrubber.addEventListener("input", () => this.scrub(Number(this.scrubber.value)));
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    this.refresh();
  }

  /** @param {HTMLElement} el */
  build(el) {
    this.root = rootElement("player");
    this.canvas = element("canvas", "cnnviz-player-picture", { role: "img", width: "1", height: "1" });
    this.frame = element("div", "cnnviz-player-frame", {}, this.canvas);
    this.scrubber = element("input", "cnnviz-player-scrubber", {
      type: "range", min: "0", max: "0", step: "1", "aria-label": "Step to look at", title: "Step to look at",
    });
    this.liveButton = button("● live", "Go back to the newest frame", () => this.lookAt(-1));
    this.readout = element("div", "cnnviz-line cnnviz-player-readout");
    this.curveCanvas = element("canvas", "cnnviz-player-curve", { role: "img" });
    this.status = element("div", "cnnviz-player-status");
    this.spoken = element("div", "cnnviz-unseen", { "aria-live": "polite" });
    this.caption = element("p", "cnnviz-caption");
    this.track = element("div", "cnnviz-player-track", {}, this.scrubber);
    this.bar = element("div", "cnnviz-bar", {}, this.readout, this.liveButton);
    this.root.append(this.status, this.frame, this.bar, this.track, this.curveCanvas, this.caption, this.spoken);
    el.append(this.root);
  }

  /** Steps of the axis that the scrubber and the curve share. */
  get end() {
    return Math.max(this.model.get("total") || 0, this.stream.lastStep);
  }

  /** Step of the picture on the screen, -1 before the first. */
  get step() {
    const { picture, run } = this.stream;
    return picture && picture.run === run ? picture.step : -1;
  }

  draw() {
    const { model, stream } = this;
    const size = model.get("size");
    this.root.style.maxWidth = `${Math.max(size, 320) + 4}px`;
    this.setText(this.status, model.get("status"));
    this.setText(this.caption, model.get("caption"));
    this.drawPicture(size);
    this.showStep();
    const width = this.root.clientWidth - 4;
    if (width <= 0 || !this.root.isConnected) return;
    drawCurve(this.curveCanvas, stream.curve, { width, height: CURVE_HEIGHT, end: this.end, step: this.step });
  }

  /** Leaves a node alone that says it already. @param {HTMLElement} node @param {string} text */
  setText(node, text) {
    if (node.textContent !== (text || "")) node.textContent = text || "";
  }

  /** @param {number} size */
  drawPicture(size) {
    const { picture } = this.stream;
    const { canvas } = this;
    canvas.dataset.live = String(this.stream.live);
    this.frame.style.maxWidth = `${size}px`;
    this.frame.classList.toggle("cnnviz-player-empty", !picture);
    if (!picture) return;
    const { image, step, number, run } = picture;
    const longer = Math.max(image.width, image.height);
    if (picture !== this.drawnPicture) {
      if (canvas.width !== image.width || canvas.height !== image.height) {
        [canvas.width, canvas.height] = [image.width, image.height];
      }
      canvas.getContext("2d").drawImage(image, 0, 0);
      this.drawnPicture = picture;
      Object.assign(canvas.dataset, { step: String(step), number: String(number), run: String(run) });
      canvas.setAttribute("aria-label", `Picture of step ${step}`);
    }
    canvas.style.width = `${(100 * image.width) / longer}%`;
    const scale = this.frame.clientWidth / longer;
    canvas.style.imageRendering = scale >= 3 ? "pixelated" : "auto";
  }

  showStep() {
    const { stream, scrubber, step, end } = this;
    const { live } = stream;
    const known = stream.curve.length > 0 || stream.still !== null || stream.latest !== null;
    scrubber.disabled = !known;
    scrubber.max = String(end);
    const value = live ? Math.max(step, 0) : this.model.get("looking_at");
    if (Number(scrubber.value) !== value) scrubber.value = String(value);
    scrubber.setAttribute("aria-valuetext", `step ${value} of ${end}`);
    this.liveButton.disabled = live;
    this.showReadout(known ? Math.max(step, 0) : -1, end, live);
    const now = performance.now();
    if (known && now - this.spokenAt > SPEAK_EVERY) {
      this.spokenAt = now;
      this.spoken.textContent = this.model.get("status") || `step ${step} of ${end}`;
    }
  }

  /** Step and scores as text, each score with the colour of its line. */
  showReadout(step, end, live) {
    const { curve } = this.stream;
    const scores = step < 0 ? [] : curve.at(step);
    const parts = scores.slice(0, 8).map((score, image) => {
      const mark = element("span", "cnnviz-player-mark", { "aria-hidden": "true" });
      mark.style.background = CURVE_COLORS[image % CURVE_COLORS.length];
      return element("span", "cnnviz-player-score", {}, mark, formatNumber(score));
    });
    const text = step < 0 ? "no frame yet" : `${live ? "" : "looking back: "}step ${step} of ${end}`;
    this.readout.replaceChildren(element("span", "", {}, text), ...parts);
    const { low, high, length } = curve;
    this.curveCanvas.setAttribute("aria-label", length
      ? `Score over ${length} steps, from ${formatNumber(low)} to ${formatNumber(high)}` : "Score curve, empty");
  }

  /** @param {number} step */
  scrub(step) {
    this.lookAt(step >= this.stream.lastStep ? -1 : step);
  }

  /** @param {number} step -1 is live */
  lookAt(step) {
    setTrait(this.model, "looking_at", step);
    this.stream.look();
  }

  /** The scrubber handles its keys by itself; they only must not reach the notebook. @param {KeyboardEvent} event */
  onKey(event) {
    const keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown", "Enter", " "];
    if (keys.includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  }

  close() {
    this.stopWatching();
    this.refresh.cancel();
    this.root.remove();
  }
}

export default () => {
  /** @type {FrameStream} */
  let stream;
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      stream = new FrameStream(model);
      return () => stream.stop();
    },
    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const view = new PlayerView(model, el, stream);
      stream.views.add(view);
      stream.pump();
      return () => {
        stream.views.delete(view);
        view.close();
      };
    },
  };
};
