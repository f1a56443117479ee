/** Picture, scrubber and score curve of a run; see frame_player.py for traits and messages. */

const PLOT_HEIGHT = 112;
const CURVE_TALLEST = 320;
/** From this width on the legend stands beside the curve, below it otherwise. */
const LEGEND_BESIDE = 560;
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
    this.stopWatchingType = watchType(this.root, () => this.refresh());
    this.curveCanvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.curveCanvas.addEventListener("pointerdown", (event) => this.point(event.offsetX));
    this.curveCanvas.addEventListener("pointerleave", () => this.point(null));
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
    this.legend = element("ul", "cnnviz-player-legend", { "aria-label": "Lines of the score curve" });
    this.tip = element("div", "cnnviz-player-tip", { role: "tooltip", hidden: "" });
    this.plot = element("div", "cnnviz-player-plot", {}, this.track, this.curveCanvas, this.legend, this.tip);
    this.bar = element("div", "cnnviz-bar", {}, this.readout, this.liveButton);
    this.root.append(this.status, this.frame, this.bar, this.plot, this.caption, this.spoken);
    el.append(this.root);
  }

  /** Steps of the axis that the scrubber and the curve share. */
  get end() {
    const { lastStep, former } = this.stream;
    return Math.max(this.model.get("total") || 0, lastStep, ...former.map((curve) => curve.lastStep));
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
    this.showLegend();
    this.curveCanvas.setAttribute("aria-label", this.curveText());
    if (this.root.clientWidth <= 4 || !this.root.isConnected) return;
    const beside = !this.legend.hidden && this.root.clientWidth >= LEGEND_BESIDE;
    this.plot.classList.toggle("cnnviz-player-beside", beside);
    const width = this.track.offsetWidth;
    const needed = beside ? this.legend.scrollHeight - this.track.offsetHeight : 0;
    const marks = model.get("marks");
    const type = typeScale(this.curveCanvas);
    const { top, bottom } = curveEdges(type, marks);
    const height = Math.min(Math.max(PLOT_HEIGHT + top + bottom, needed), CURVE_TALLEST);
    this.curveView = { width, height, type, end: this.end, step: this.step, former: stream.former, marks };
    drawCurve(this.curveCanvas, stream.curve, this.curveView);
    this.point(this.pointedAt);
  }

  /** Show the texts of the marks at a place of the curve. @param {number | null | undefined} x CSS pixels, null to show none */
  point(x) {
    this.pointedAt = x;
    const near = x == null || !this.curveView ? [] : marksNear(x, this.curveView);
    this.tip.hidden = !near.length;
    if (!near.length) return;
    this.setText(this.tip, [`step ${near[0][0]}`, ...near.map(([, text]) => text)].join("\n"));
    const { width, height } = this.curveView;
    const at = curveX(near[0][0], this.curveView);
    this.tip.style.left = `${Math.max(0, Math.min(at + 8, width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${this.curveCanvas.offsetTop + height / 3}px`;
  }

  /** What the curve shows, for those who do not see it. @returns {string} */
  curveText() {
    const { low, high, length } = this.stream.curve;
    if (!length) return "Score curve, empty";
    const parts = [`Score over ${length} steps, from ${formatNumber(low)} to ${formatNumber(high)}`];
    const branches = this.model.get("branches");
    if (this.stream.former.length) parts.push(`pale: before the branch at step ${branches[branches.length - 1]}`);
    parts.push(...this.model.get("marks").slice(-20).map(([step, text]) => `step ${step}: ${text}`));
    return parts.join("; ");
  }

  /** Each line's colour, label and score at the step shown; nothing for a curve without labels that was not branched. */
  showLegend() {
    const [labels, branches] = [this.model.get("labels"), this.model.get("branches")];
    const { curve, former } = this.stream;
    const columns = labels.length ? Math.max(curve.images, labels.length) : 0;
    const entries = Array.from({ length: columns }, (_, image) => [labels[image] ?? `image ${image + 1}`, lineLook(image), 1]);
    if (former.length) {
      const look = columns === 0 && curve.images === 1 ? lineLook(0) : { color: "currentColor", style: "solid" };
      entries.push([`before the branch at step ${branches[branches.length - 1]}`, look, FORMER_OPACITY]);
    }
    this.legend.hidden = !entries.length;
    const wanted = JSON.stringify(entries);
    if (wanted !== this.legendShown) {
      this.legendShown = wanted;
      this.legend.replaceChildren(...entries.map(([text, look, opacity]) => {
        const swatch = element("span", "cnnviz-player-swatch", { "aria-hidden": "true" });
        Object.assign(swatch.style, { borderTopColor: look.color, borderTopStyle: look.style, opacity: String(opacity) });
        const label = element("span", "cnnviz-player-label", { title: text }, text);
        return element("li", "", {}, swatch, label, element("span", "cnnviz-player-score"));
      }));
    }
    const scores = this.step < 0 ? [] : curve.at(this.step);
    for (let image = 0; image < columns; image++) {
      this.setText(this.legend.children[image].lastChild, image < scores.length ? formatNumber(scores[image]) : "");
    }
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

  /** Step and, where no legend says them, scores as text, each with the colour of its line. */
  showReadout(step, end, live) {
    const { curve } = this.stream;
    const scores = step < 0 || this.model.get("labels").length ? [] : curve.at(step);
    const parts = scores.slice(0, 8).map((score, image) => {
      const mark = element("span", "cnnviz-player-mark", { "aria-hidden": "true" });
      mark.style.background = lineLook(image).color;
      return element("span", "cnnviz-player-score", {}, mark, formatNumber(score));
    });
    const text = step < 0 ? "no frame yet" : `${live ? "" : "looking back: "}step ${step} of ${end}`;
    this.readout.replaceChildren(element("span", "", {}, text), ...parts);
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
    this.stopWatchingType();
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
