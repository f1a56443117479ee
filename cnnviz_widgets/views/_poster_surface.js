/** The canvas of a poster: what is drawn when, and what lies under a place of it. */

const POSTER_MARGIN = 16;
/** Pixels that are painted at most in a frame, while something moves and while nothing does. */
const PIXELS_MOVING = 250_000;
const PIXELS_RESTING = 1_500_000;
const POSTER_TIMES_KEPT = 2000;
/** Shares of the screen that a tile takes when one comes as near as possible, and when one flies to it. */
const NEAREST = 2;
const SEEN_FROM_NEAR = 0.62;

class PosterSurface {
  /** @param {{data: PosterData, pictures: PosterPictures}} shared @param {() => void} onDrawn */
  constructor(shared, onDrawn) {
    this.shared = shared;
    this.onDrawn = onDrawn;
    this.camera = new MapCamera();
    this.cameraTrait = new CameraTrait(shared.data.model, this.camera);
    this.tiles = new MapTiles((tile, canvas) => this.begin(tile, canvas));
    this.canvas = element("canvas", "cnnviz-poster-canvas", { "aria-hidden": "true" });
    this.viewport = element("div", "cnnviz-poster-viewport", { tabindex: "0", role: "application" }, this.canvas);
    this.live = document.createElement("canvas");
    this.text = new PosterText(shared.data, this.viewport);
    /** @type {MapTile[]} */
    this.shown = [];
    this.signs = new PosterSigns(this);
    /** A rectangle being drawn, on the screen, in device pixels. @type {number[] | null} */
    this.outline = null;
    /** Where painting begins: where the pointer is. @type {[number, number] | null} */
    this.focus = null;
    /** @type {[number, number] | null} */
    this.pressed = null;
    [this.ratio, this.draws, this.state, this.drawnState] = [1, 0, "", ""];
    /** @type {number[]} */
    this.times = [];
    this.viewport.addEventListener("pointerdown", (event) => { this.pressed = this.pixelOf(event); }, { capture: true });
    this.redraw = inNextFrame(() => this.frame());
    this.stopWatching = watchShown(this.viewport, () => this.redraw());
    this.stopWatchingType = watchType(this.viewport, () => this.redraw());
  }

  /** Other bands came. */
  reset() {
    this.tiles.clear();
    this.text = new PosterText(this.shared.data, this.viewport);
    this.camera.stop();
    this.camera.whole = true;
    this.cameraTrait.ask("jump");
    this.signs.hovered = -1;
    this.state = "";
    this.redraw();
  }

  /** Draw, and again in the next frame as long as something moves or is left to do. */
  frame() {
    const { viewport, canvas, camera, shared } = this;
    const [width, height] = [viewport.clientWidth, viewport.clientHeight];
    if (!width || !height || !viewport.isConnected || !shared.data.bands.length) return;
    const now = performance.now();
    this.ratio = fitCanvas(canvas, width, height);
    [camera.width, camera.height] = [canvas.width, canvas.height];
    this.measure();
    this.cameraTrait.follow(this.home, this.home);
    camera.step(now);
    this.readColors();
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "low";
    const busy = this.drawTiles(context, now);
    this.text.draw(context, camera, this.ratio, this.colors, shared.pictures);
    this.signs.draw(context);
    this.report(busy || camera.moving, now);
  }

  /** Where all is seen, and how near one may come. */
  measure() {
    const { camera, shared, ratio } = this;
    const { data } = shared;
    this.home = camera.overview(data.bounds, POSTER_MARGIN * ratio);
    let smallest = 1;
    for (let at = 0; at < data.boxes.length; at += 4) smallest = Math.min(smallest, Math.max(data.boxes[at + 2], data.boxes[at + 3]));
    camera.leastZoom = this.home.zoom - 1;
    const nearest = Math.log2((NEAREST * Math.min(camera.width, camera.height)) / (smallest * WORLD_PIXELS));
    camera.mostZoom = Math.max(this.home.zoom + 2, nearest);
    if (camera.whole) camera.jump(this.home);
  }

  /** Pieces that show what is not so any more are forgotten. */
  readColors() {
    const { viewport, ratio } = this;
    const names = ["ink", "muted", "paper", "raised", "line", "accent"];
    this.colors = Object.fromEntries(names.map((name) => [name, themeColor(viewport, `--cnnviz-${name}`)]));
    const state = [ratio, this.shared.data.version, this.colors.raised, this.colors.line].join();
    if (state !== this.state) this.tiles.clear();
    this.state = state;
  }

  /** Begin a piece. @param {MapTile} tile @param {HTMLCanvasElement} canvas */
  begin(tile, canvas) {
    const step = 2 ** -tile.z;
    const [left, top] = [tile.column * step, tile.row * step];
    const painting = this.painting(left, top, left + step, top + step, WORLD_PIXELS / step);
    return { work: paintPoster(canvas, painting), missing: this.missing(painting) };
  }

  /** What there is to paint in a part of the world. @returns {PosterPainting} */
  painting(left, top, right, bottom, scale) {
    const { data, pictures } = this.shared;
    const { line, raised: ground } = this.colors;
    const tiles = data.within(left, top, right, bottom);
    return { tiles, data, pictures, left, top, scale, line, ground, ratio: this.ratio, hurried: false };
  }

  /** Pictures that would show it better. @param {PosterPainting} painting @returns {string[]} */
  missing({ tiles, data, pictures, scale }) {
    const keys = tiles.map((index) => {
      const [, , width, height] = data.box(index);
      return pictures.missing(index, pictures.levelFor(Math.max(width, height) * scale));
    });
    return keys.filter(Boolean);
  }

  /** Pictures were replaced: pieces that show them wait for the new ones, and show the old until then. @param {number[]} indices */
  outdate(indices) {
    const { data, pictures } = this.shared;
    for (const tile of this.tiles.tiles.values()) {
      const step = 2 ** -tile.z;
      const [left, top] = [tile.column * step, tile.row * step];
      for (const index of indices) {
        const [x, y, width, height] = data.box(index);
        if (x > left + step || y > top + step || x + width < left || y + height < top) continue;
        const key = pictures.missing(index, pictures.levelFor((Math.max(width, height) * WORLD_PIXELS) / step));
        if (!key) continue;
        tile.missing.push(key);
        if (tile.work) tile.draftMissing.push(key);
      }
    }
    this.redraw();
  }

  /** Pieces in sight, the nearest to where one looks first. @returns {MapTile[]} */
  tilesInSight() {
    const { camera, tiles } = this;
    const { bounds } = this.shared.data;
    const z = Math.round(camera.zoom);
    const [left, top] = camera.toWorld(0, 0);
    const [right, bottom] = camera.toWorld(camera.width, camera.height);
    const at = (value) => Math.floor(value * 2 ** z);
    const found = [];
    for (let row = at(Math.max(top, bounds.top)); row <= at(Math.min(bottom, bounds.bottom)); row++) {
      for (let column = at(Math.max(left, bounds.left)); column <= at(Math.min(right, bounds.right)); column++) found.push([column, row]);
    }
    const [fx, fy] = this.focus ? camera.toWorld(...this.focus) : [camera.x, camera.y];
    const away = ([column, row]) => Math.hypot((column + 0.5) * 2 ** -z - fx, (row + 0.5) * 2 ** -z - fy);
    found.sort((a, b) => away(a) - away(b));
    return found.map(([column, row]) => tiles.at(z, column, row));
  }

  /** @param {CanvasRenderingContext2D} context @param {number} now @returns {boolean} whether something is left to do */
  drawTiles(context, now) {
    const { camera, tiles } = this;
    this.shown = this.tilesInSight();
    const left = this.paint(camera.moving ? PIXELS_MOVING : PIXELS_RESTING);
    tiles.forget([...this.shown, ...this.piecesOfAll()]);
    const drawing = new TileDrawing(context, camera, tiles, now);
    const holes = this.shown.filter((tile) => drawing.isHole(tile));
    if (holes.length) {
      this.drawLive();
      for (const tile of holes) drawing.fill(tile, this.live);
    }
    for (const tile of this.shown) drawing.draw(tile);
    return left || drawing.fading;
  }

  /** Paint what lags, up to a number of pixels. @param {number} pixels @returns {boolean} whether something is left to paint */
  paint(pixels) {
    const { tiles } = this;
    const { pictures } = this.shared;
    for (const tile of this.shown) {
      while (tile.work || tiles.lags(tile, pictures)) {
        if (pixels <= 0) return true;
        if (!tile.work) tiles.start(tile, pictures);
        const { done, value } = tile.work.next();
        if (done) tiles.finish(tile);
        else pixels -= value;
      }
    }
    return false;
  }

  /** Those that show all of the sheet are kept, as what stands for finer ones that are not painted yet. @returns {MapTile[]} */
  piecesOfAll() {
    const z = Math.round(this.home.zoom);
    return [...this.tiles.tiles.values()].filter((tile) => tile.z === z);
  }

  /** What the pieces in sight miss, the nearest first. @returns {string[]} */
  get wanted() {
    const { pictures } = this.shared;
    const keys = this.shown.flatMap((tile) => (tile.work ? tile.draftMissing : tile.missing));
    return [...new Set(keys)].filter((key) => !pictures.isHere(key) && pictures.isNewest(key));
  }

  /** All that is in sight, quickly. */
  drawLive() {
    const { camera, live } = this;
    if (live.width !== camera.width || live.height !== camera.height) [live.width, live.height] = [camera.width, camera.height];
    const [left, top] = camera.toWorld(0, 0);
    const painting = this.painting(left, top, ...camera.toWorld(camera.width, camera.height), camera.scale);
    for (const _ of paintPoster(live, { ...painting, hurried: true })) continue;
  }

  /** Left, top, width and height on the screen. @param {number} index @returns {[number, number, number, number]} */
  boxOnScreen(index) {
    const [x, y, width, height] = this.shared.data.box(index);
    const { scale } = this.camera;
    return [...this.camera.toScreen(x, y), width * scale, height * scale];
  }

  /** Say what is drawn, and go on if need be. @param {boolean} busy @param {number} now */
  report(busy, now) {
    const { canvas, camera, shared, text } = this;
    const { wanted } = this;
    this.lacking = wanted;
    if (this.wasBusy) this.times.push(now - this.drawnAt);
    if (this.times.length > POSTER_TIMES_KEPT) this.times.shift();
    [this.wasBusy, this.drawnAt] = [busy, now];
    const settled = !busy && !wanted.length;
    Object.assign(canvas.dataset, {
      count: String(shared.data.count), tiles: String(this.tiles.tiles.size), painted: String(this.tiles.painted),
      settled: String(settled), view: `${camera.x} ${camera.y} ${camera.scale}`, selected: String(this.signs.selected),
      headings: String(text.headings.length), labels: String(text.labels), details: String(text.details), type: String(text.type),
    });
    const state = [this.state, camera.x, camera.y, camera.scale, shared.pictures.revision, text.type].join();
    if (settled && state !== this.drawnState) {
      this.drawnState = state;
      canvas.dataset.drawn = String(++this.draws);
    }
    if (!busy && this.times.length) this.reportTimes();
    this.cameraTrait.tell(this.home);
    this.onDrawn();
    if (busy) this.redraw();
  }

  /** Frames a second since something began to move. */
  reportTimes() {
    const middle = [...this.times].sort((a, b) => a - b)[this.times.length >> 1];
    this.canvas.dataset.fps = (1000 / middle).toFixed(1);
    this.times = [];
  }

  /** @param {{clientX: number, clientY: number}} event @returns {[number, number]} device pixels */
  pixelOf({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [(clientX - box.left) * this.ratio, (clientY - box.top) * this.ratio];
  }

  /** The tile at a place of the screen; what lies under a heading is not hit. @param {number} px @param {number} py */
  hit(px, py) {
    if (!this.home || this.text.headingAt(px, py) >= 0) return -1;
    return this.shared.data.at(...this.camera.toWorld(px, py));
  }

  /** Place from which a box is seen from near. @param {ArrayLike<number>} box of the world @param {number} share of the screen */
  placeOf(box, share = SEEN_FROM_NEAR) {
    const { camera } = this;
    const scale = share * Math.min(camera.width / box[2], camera.height / box[3]);
    return { x: box[0] + box[2] / 2, y: box[1] + box[3] / 2, zoom: camera.bounded(Math.log2(scale / WORLD_PIXELS)) };
  }

  close() {
    this.stopWatching();
    this.stopWatchingType();
    this.cameraTrait.close();
    this.redraw.cancel();
    this.tiles.clear();
  }
}
